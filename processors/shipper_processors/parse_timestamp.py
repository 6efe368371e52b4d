"""Parse times."""

import re
import time
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec

from shipper import OnError, Processor, Record
from shipper_processors import _paths
from shipper_processors._moments import NAMES, EpochReader, Reader, pattern
from shipper_processors._zones import zone

_EPOCHS: Final = {"epoch": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
_USUAL: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_SECOND: Final = len("2026-03-01T12:00:00")
_OFFSET: Final = len("+01:00")


class ParseTimestamp(Processor):
    """Read the time in a field; it becomes the record's ``timestamp``, in UTC as RFC 3339 has it.

    It keeps the digits of the second that it had, nine at most. The field goes, unless ``keep`` is set. The formats are
    tried in turn; the first that fits counts:

    - ``iso8601``: ``2026-03-01T12:00:00.123+01:00``, also with a blank for the ``T``, a comma, without seconds, zone,
      time, dashes or colons. ``rfc3339``: the same as strictly as the RFC has it, with a zone.
    - ``epoch``, ``epoch_ms``, ``epoch_us``, ``epoch_ns``: seconds since 1970 and their parts, as numbers or as text.
    - ``rfc3164``: ``Mar  1 12:00:00``, the year is the one that brings it nearest to now. ``common_log``:
      ``01/Mar/2026:12:00:00 +0100``.
    - Directives of ``strptime``: ``%Y %y %m %b %B %d %e %j %H %k %I %l %p %M %S %f %z %Z %s %a %A %F %T %R %D %h %%``.
      Names are English; ``%f`` takes any number of digits; ``%Z`` knows UTC and GMT; days of the week are not checked.
      A format without a year is treated as ``rfc3164`` is.

    A second 60 is a leap second: it becomes the second that follows. A time that the clocks skipped in spring is read
    by winter time; of an hour that comes twice in autumn the first is taken, as a field cannot tell. What fits no
    format, or is no time that there is, goes on as it was, with the reason in ``parse_error``; the record's
    ``timestamp`` stays then.

    Example::

        processors:
          - parse_timestamp: {field: "@timestamp"}
          - parse_timestamp: {field: time, formats: [epoch_ms, iso8601], keep: true}
          # {"time": 1772366400123} -> {"time": 1772366400123, "timestamp": "2026-03-01T12:00:00.123Z"}
          - parse_timestamp: {field: date, formats: ["%d.%m.%Y %H:%M:%S,%f"], timezone: Europe/Berlin}
    """

    field: str
    """The field that holds the time, written as in a condition: ``event.time`` is inside ``event``."""
    formats: list[str] = msgspec.field(default_factory=lambda: ["iso8601"])
    """What the time may look like, the likeliest first."""
    timezone: str | None = None
    """The zone of times that name none, as in ``Europe/Berlin`` or ``UTC``. Default: this machine's."""
    keep: bool = False
    """Keep the field as it is."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"
    clock = staticmethod(time.time)  # seconds since 1970; a test has another

    def setup(self) -> None:
        """:raises ValueError: the field's name, a format or the zone is none."""
        self.path = _paths.parse(self.field)
        self.known: dict[tuple[str, str], str] = {}
        if not self.formats:
            raise ValueError(
                f"formats is empty: write some of {', '.join((*NAMES, *_EPOCHS))}, or as %Y-%m-%d %H:%M:%S"
            )
        of_times = zone(self.timezone)
        self.readers = [
            EpochReader(_EPOCHS[text]) if text in _EPOCHS else Reader(pattern(text), of_times, self.clock)
            for text in self.formats
        ]
        self.numbers = [reader for reader in self.readers if isinstance(reader, EpochReader)]

    @property
    def reads(self) -> frozenset[str] | None:
        """The field."""
        return frozenset((self.path[0],))

    @property
    def writes(self) -> frozenset[str] | None:
        """The field, the timestamp, and the reason why there is none."""
        return frozenset((self.path[0], "timestamp", self.error_field))

    def process(self, record: Record) -> Record:
        """Read the time."""
        timestamp = self._timestamp(_paths.get(record, self.path))
        if not self.keep:
            _paths.pop(record, self.path)
        record["timestamp"] = timestamp
        return record

    def _timestamp(self, value: Any) -> str:
        if isinstance(value, str):
            return self._of_text(value)
        if value is _paths.ABSENT:
            raise ValueError(f"the field {self.field} is missing")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"the field {self.field} is neither text nor a number")  # noqa: TRY004 - of a record
        if not self.numbers:
            raise ValueError(f"the field {self.field} is a number, and no format is one of {', '.join(_EPOCHS)}")
        text = format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
        return self._first(self.numbers, text)

    def _of_text(self, text: str) -> str:
        # Nearly all times are written like this, and many are of the same second.
        zone_at = -1 if text.endswith("Z") else -_OFFSET
        known = self.known.get((text[:_SECOND], text[zone_at:]))
        if known is not None:
            fraction = text[_SECOND + 1 : zone_at]
            if text[_SECOND] == "." and fraction.isdigit() and fraction.isascii():
                return f"{known}.{fraction[:9]}Z"
        timestamp = self._first(self.readers, text.strip())
        if self.formats[0] in {"iso8601", "rfc3339"} and _USUAL.fullmatch(text):
            self.known = {(text[:_SECOND], text[zone_at:]): timestamp[:_SECOND]}
        return timestamp

    def _first(self, readers: "list[EpochReader | Reader] | list[EpochReader]", text: str) -> str:
        """What the first reader that understands the text makes of it. :raises ValueError: none does."""
        wrong: ValueError | None = None
        for reader in readers:
            try:
                timestamp = reader.read(text)
            except ValueError as error:
                wrong = wrong or error
                continue
            if timestamp is not None:
                return timestamp
        raise wrong or ValueError(f"{text[:60]!r} is not written as {' or '.join(self.formats)}")
