"""Times as logs write them -> RFC 3339 in UTC, with the digits of the second that they had, nine at most.

A format is a regular expression whose groups are named as the directives of ``strptime``: ``Y`` (year), ``y`` (two
digits of it), ``m``, ``b`` (month), ``d`` (day), ``j`` (day of the year), ``H``, ``I``, ``p``, ``M``, ``S``, ``f``
(digits behind the second's point), ``z`` (offset), ``s`` (seconds since 1970). Names of months are English, whatever
the locale. Each takes linear time.

- A second 60 is a leap second: at 23:59 UTC it is the second that follows, elsewhere there is no such time.
- A time that was skipped when clocks went forward is read by the offset before; of one that came twice the first
  is meant, or, where the year is missing, the one that is nearer to now.
- A missing year is the one that brings the time nearest to now.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = "(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_MONTH: Final = (
    "(?P<b>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_OFFSET: Final = r"(?P<z>z|utc|gmt|[+-][0-9]{2}(?::?[0-5][0-9])?)"
_TIME: Final = r"(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
_DIRECTIVES: Final = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "b": _MONTH,
    "B": _MONTH,
    "h": _MONTH,
    "d": "(?P<d>[0-9]{1,2})",
    "e": " ?(?P<d>[0-9]{1,2})",
    "j": "(?P<j>[0-9]{1,3})",
    "a": _DAYS,
    "A": _DAYS,
    "H": "(?P<H>[0-9]{1,2})",
    "k": " ?(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})",
    "l": " ?(?P<I>[0-9]{1,2})",
    "p": r"(?P<p>[ap]\.?m\.?)",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2})",
    "f": "(?P<f>[0-9]{1,30})",
    "z": _OFFSET,
    "Z": _OFFSET,
    "s": "(?P<s>-?[0-9]{1,12})",
    "T": _TIME,
    "R": "(?P<H>[0-9]{2}):(?P<M>[0-9]{2})",
    "F": "(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})",
    "D": "(?P<m>[0-9]{2})/(?P<d>[0-9]{2})/(?P<y>[0-9]{2})",
    "%": "%",
}
_NAMED: Final = {
    "iso8601": r"(?P<Y>[0-9]{4})-?(?P<m>[0-9]{2})-?(?P<d>[0-9]{2})"
    r"(?:[Tt _](?P<H>[0-9]{2}):?(?P<M>[0-9]{2})(?::?(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]+))?)? ?" + _OFFSET + "?)?",
    "rfc3339": r"(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})[Tt ]" + _TIME + r"(?:\.(?P<f>[0-9]+))?"
    r"(?P<z>[Zz]|[+-][0-9]{2}:[0-5][0-9])",
    "rfc3164": _MONTH + r" {1,2}(?P<d>[0-9]{1,2}) (?:(?P<Y>[0-9]{4}) )?" + _TIME + r"(?:[.,](?P<f>[0-9]+))?",
    "common_log": r"\[?(?P<d>[0-9]{2})/" + _MONTH + r"/(?P<Y>[0-9]{4}):" + _TIME + r" (?P<z>[+-][0-9]{2}[0-5][0-9])\]?",
}
NAMES: Final = tuple(_NAMED)
"""The formats that have a name."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED: Final = 4096
"""Seconds whose text is kept: the records of one second share it, and come in together."""
_HOUR: Final = 3600


def pattern(text: str) -> re.Pattern[str]:
    """The regular expression of a format: one of ``NAMES``, or directives of ``strptime``.

    :raises ValueError: it is none; the message says what would be.
    """
    if text in _NAMED:
        return re.compile(_NAMED[text], re.IGNORECASE | re.ASCII)
    parts = re.split(r"%[-_]?(.?)", text)
    if len(parts) == 1:
        raise ValueError(f"{text!r} is no format; write one of {', '.join(_NAMED)}, or directives such as %Y-%m-%d")
    written = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            written += re.sub(r"(?:\\\s)+", r"\\s+", re.escape(part))
        elif part in _DIRECTIVES:
            written += _DIRECTIVES[part]
        else:
            raise ValueError(f"%{part} is not known in {text!r}; there are %{' %'.join(_DIRECTIVES)}")
    try:
        compiled = re.compile(written, re.IGNORECASE | re.ASCII)
    except re.error:
        raise ValueError(f"{text!r} has the same part of a time twice") from None
    names = compiled.groupindex.keys()
    if not ({"s"} <= names or {"j"} <= names or ({"d"} <= names and names & {"m", "b"})):
        raise ValueError(f"{text!r} names no day: a month and a day (%m or %b, and %d), %j or %s must be there")
    if "p" in names and "I" not in names:
        raise ValueError(f"{text!r} has %p, which belongs to hours of %I")
    return compiled


class Reader:
    """Reads times of one format. It remembers the last seconds."""

    def __init__(self, expression: re.Pattern[str], zone: tzinfo | None, clock: Callable[[], float]) -> None:
        """``zone``: that of times that name none; None: this machine's. ``clock``: seconds since 1970."""
        self._match = expression.fullmatch
        self._zone = zone
        self._clock = clock
        self._hour = 0.0
        self._known: dict[tuple[str | None, ...], str] = {}

    def read(self, text: str) -> str | None:
        """RFC 3339 in UTC; None where the text is not of this format.

        :raises ValueError: it is, but there is no such time.
        """
        match = self._match(text)
        if match is None:
            return None
        parts = match.groupdict()
        fraction = parts.pop("f", None)
        if parts.get("Y") is None:
            hour = self._clock() // _HOUR
            if hour != self._hour:  # which year is nearest changes with it
                self._known.clear()
                self._hour = hour
        key = tuple(parts.values())
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            try:
                known = self._known[key] = _seconds(self._moment(parts))
            except (ValueError, OverflowError, OSError):  # the last: years that this system cannot convert
                raise ValueError(f"there is no such time: {text[:60]}") from None
        return f"{known}.{fraction[:9]}Z" if fraction else known + "Z"

    def _moment(self, parts: dict[str, str | None]) -> datetime:
        if parts.get("s") is not None:
            return _EPOCH + timedelta(seconds=_number(parts, "s"))
        if parts.get("Y") is not None:
            return self._in_year(parts, _number(parts, "Y"), 0)
        if parts.get("y") is not None:
            short = _number(parts, "y")
            return self._in_year(parts, short + (1900 if short >= 69 else 2000), 0)  # as POSIX has it
        now = _EPOCH + timedelta(seconds=self._clock())
        return min(
            self._in_years(parts, now.year, 1) or self._in_years(parts, now.year, 8),  # the 29th of February
            key=lambda moment: abs(moment - now),
        )

    def _in_years(self, parts: dict[str, str | None], middle: int, around: int) -> list[datetime]:
        """The moments in so many years before and after one."""
        found = []
        for year in range(middle - around, middle + around + 1):
            for fold in (0, 1):
                try:
                    found.append(self._in_year(parts, year, fold))
                except ValueError:  # no February 29th in this year
                    continue
        return found

    def _in_year(self, parts: dict[str, str | None], year: int, fold: int) -> datetime:
        second = _number(parts, "S")
        moment = _day(parts, year).replace(
            hour=_hour(parts), minute=_number(parts, "M"), second=59 if second == 60 else second, fold=fold
        )
        offset = parts.get("z")
        if offset is not None:
            moment = moment.replace(tzinfo=_fixed(offset))
        elif self._zone is not None:
            moment = moment.replace(tzinfo=self._zone)
        moment = moment.astimezone(UTC)  # without a zone: from this machine's
        if second != 60:
            return moment
        if (moment.hour, moment.minute) != (23, 59):
            raise ValueError("a leap second comes at 23:59:60 UTC")
        return moment + timedelta(seconds=1)


class EpochReader:
    """Reads numbers of seconds, or of parts of seconds, since 1970. It remembers the last seconds."""

    _NUMBER: Final = re.compile(r"([+-]?)([0-9]{1,30})(?:\.([0-9]{1,30}))?", re.ASCII)

    def __init__(self, digits: int) -> None:
        """``digits``: 0 for seconds, 3 for milliseconds, 6 and 9."""
        self._digits = digits
        self._known: dict[int, str] = {}

    def read(self, text: str) -> str | None:
        """RFC 3339 in UTC; None where the text is no number.

        :raises ValueError: it is beyond the years 1 to 9999.
        """
        match = self._NUMBER.fullmatch(text)
        if match is None:
            return None
        sign, whole, behind = match.groups(default="")
        digits = self._digits + len(behind)
        value = int(f"{sign}{whole}{behind}")
        seconds, rest = divmod(value, 10**digits)
        known = self._known.get(seconds)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            try:
                known = self._known[seconds] = _seconds(_EPOCH + timedelta(seconds=seconds))
            except OverflowError:
                raise ValueError(f"there is no such time: {text[:60]}") from None
        return f"{known}.{str(rest).zfill(digits)[:9]}Z" if digits else known + "Z"


def _seconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


def _number(parts: dict[str, str | None], name: str) -> int:
    return int(parts.get(name) or "0")


def _day(parts: dict[str, str | None], year: int) -> datetime:
    """Midnight. :raises ValueError: there is no such day."""
    if parts.get("j") is not None:
        day = datetime(year, 1, 1) + timedelta(days=_number(parts, "j") - 1)  # noqa: DTZ001 - its zone comes later
        if day.year != year:
            raise ValueError("there is no such day in the year")
        return day
    name = parts.get("b")
    month = _number(parts, "m") if name is None else _MONTHS.index(name[:3].lower()) + 1
    return datetime(year, month, _number(parts, "d"))  # noqa: DTZ001 - its zone comes later


def _hour(parts: dict[str, str | None]) -> int:
    """:raises ValueError: there is no such hour."""
    if parts.get("I") is None:
        return _number(parts, "H")
    hour = _number(parts, "I")
    if not 1 <= hour <= 12:
        raise ValueError("an hour of twelve is 1 to 12")
    return hour % 12 + (12 if (parts.get("p") or "a").lower().startswith("p") else 0)


def _fixed(offset: str) -> tzinfo:
    """:raises ValueError: a day or more."""
    if offset.lower() in {"z", "utc", "gmt"}:
        return UTC
    away = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]) if len(offset) > 3 else 0)
    return timezone(-away if offset[0] == "-" else away)
