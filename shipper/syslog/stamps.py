"""Timestamps of syslog messages -> RFC 3339. Sans-IO: the time of receipt is given.

A timestamp of RFC 3164 (``Oct 11 22:14:15``) has neither year nor zone. The zone is configured, or this machine's. The
year is the one that brings the timestamp nearest to the time of receipt: ``Dec 31`` received on January 1st is last
year's, ``Jan 1`` received before midnight is next year's. Of an hour that comes twice, the nearer one is taken.
"""

from collections.abc import Hashable
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REMEMBERED: Final = 4096
"""Seconds whose text is kept: messages of one second share it, and come in together."""
_HOUR: Final = 3600
_SECONDS: Final = len("2003-10-11T22:14:15")
_OFFSET: Final = len("+00:00")


class Bsd(NamedTuple):
    """A timestamp of RFC 3164, and what some devices add to it."""

    month: str
    """``Jan`` to ``Dec``."""
    day: str
    time: str
    """``22:14:15``."""
    year: str | None = None
    utc: bool = False
    """It says that it is in UTC."""


class Stamps:
    """Makes RFC 3339 of timestamps in one zone; None: the zone of this machine."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._known: dict[Hashable, tuple[str, str] | None] = {}
        self._hour = 0.0

    def iso(self, seconds: str, zone: str | None, fraction: str | None) -> str | None:
        """Of ``2003-10-11T22:14:15``, ``Z`` or ``+02:00`` or nothing, and digits after the point, which stay as they
        are. None where there is no such time.
        """
        key = seconds, zone
        if key not in self._known:
            self._remember(key, self._parts(seconds, zone))
        return _joined(self._known[key], fraction)

    def bsd(self, stamp: Bsd, fraction: str | None, received: float) -> str | None:
        """``received``: seconds since 1970. None where there is no such time."""
        hour = received // _HOUR
        if hour != self._hour:  # which year is nearest changes with it
            self._known.clear()
            self._hour = hour
        if stamp not in self._known:
            self._remember(stamp, self._nearest(stamp, datetime.fromtimestamp(received, UTC)))
        return _joined(self._known[stamp], fraction)

    def _remember(self, key: Hashable, parts: tuple[str, str] | None) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = parts

    def _parts(self, seconds: str, zone: str | None) -> tuple[str, str] | None:
        try:
            time = datetime.fromisoformat(seconds)
            if zone is None:
                return _split(self._aware(time))
            if zone in {"Z", "z", "-00:00"}:  # -00:00: UTC, and nobody knows where
                return seconds, "Z"
            datetime.fromisoformat(seconds + zone)
        except (ValueError, OverflowError, OSError):  # years that this system cannot convert
            return None
        return seconds, zone

    def _nearest(self, stamp: Bsd, received: datetime) -> tuple[str, str] | None:
        years = range(received.year - 1, received.year + 2) if stamp.year is None else (int(stamp.year),)
        hour, minute, second = map(int, stamp.time.split(":"))
        found = []
        for year in years:
            try:
                time = datetime(year, _MONTHS.index(stamp.month) + 1, int(stamp.day), hour, minute, second, tzinfo=UTC)
                if stamp.utc:
                    found.append(time)
                else:
                    found += [self._aware(time.replace(tzinfo=None, fold=fold)) for fold in (0, 1)]
            except (ValueError, OverflowError, OSError):  # no February 29th in this year
                continue
        return _split(min(found, key=lambda time: abs(time - received))) if found else None

    def _aware(self, time: datetime) -> datetime:
        return time.astimezone() if self._zone is None else time.replace(tzinfo=self._zone)


def _split(time: datetime) -> tuple[str, str]:
    text = time.isoformat()
    if len(text) != _SECONDS + _OFFSET:  # offsets of the 19th century have seconds, those of RFC 3339 have none
        text = time.astimezone(UTC).isoformat()
    offset = text[_SECONDS:]
    return text[:_SECONDS], "Z" if offset == "+00:00" else offset


def _joined(parts: tuple[str, str] | None, fraction: str | None) -> str | None:
    if parts is None:
        return None
    return f"{parts[0]}.{fraction}{parts[1]}" if fraction else parts[0] + parts[1]
