"""Drop repeats."""

import struct
import time
from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta

from shipper import Duration, Processor, Record
from shipper_processors import _digest, _paths
from shipper_processors._memory import KEY_SIZE, Clock, opened, saved, span
from shipper_processors._walk import outermost, paths_of, values_of

_HEAD: Final = struct.Struct("<Q")
"""The time of the state, in milliseconds of the clock."""
_ROW: Final = struct.Struct(f"<{KEY_SIZE}sII")
"""A key, how long before that time its record went on (milliseconds), and how many were dropped since."""
_LONGEST: Final = 2**32 - 1


class Dedupe(Processor):
    """Drop records that repeat one that went on a moment ago; they are counted as dropped.

    The first of equal records goes on. Those that follow within ``window`` are dropped; then the next one goes on, and
    so forth: of what is logged without end, one record a window is left. Two records are equal when all their fields
    are, but for ``timestamp``, or when these ``fields`` are.

    The time is that at which records are read, and it stands still while the program is down: the times in the records
    are not looked at. So more is dropped of a backlog, which is read in a moment.

    Example::

        processors:
          - dedupe                                            # equal lines within a minute
          - dedupe: {fields: [level, message], window: 10s, count_field: repeated}
    """

    fields: list[str] | None = None
    """Records are equal when these fields are; nested ones as in a condition. A record that has none of them goes on.
    Without it all fields but ``timestamp`` are compared."""
    window: Duration = Duration(60)
    """So long after a record that went on, its repeats are dropped; at most ``40d``."""
    max_keys: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """So many different records are remembered; then the one that went on first is forgotten. Each takes 16 bytes of
    the state, which is written to disk with every batch in which a new one came."""
    count_field: str | None = None
    """The field, at the top, in which the next one that goes on says how many were dropped in between, if any were."""

    bisect: ClassVar[bool] = False

    @staticmethod
    def seconds() -> float:
        """The clock that is read. A test has its own."""
        return time.monotonic()

    def setup(self) -> None:
        """:raises ValueError: ``fields`` or the window cannot be used."""
        if not 0 < self.window * 1000 < _LONGEST:
            raise ValueError(f"window is {self.window}; it must be more than 0s and at most 40d")
        self.paths = paths_of(self.fields)
        self.counted = None if self.count_field is None else _paths.top(self.count_field, "count_field")
        self.clock = Clock(self.seconds)
        self.went_on: dict[bytes, tuple[int, int]] = {}
        """When the record of a key went on, and how many were dropped since; the oldest first."""
        self.now = 0
        self.state = b""
        self.changed = False

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields that are compared."""
        return outermost(self.fields)

    @property
    def writes(self) -> frozenset[str] | None:
        """``count_field``, if there is one: else it only takes records out."""
        return frozenset() if self.counted is None else frozenset({self.counted})

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take the repeats out."""
        self.now = self.clock.now()
        kept = [record for record in records if self.goes_on(record)]
        if self.counted is None:  # what is over makes no difference any more
            over = self.now - self.window * 1000
            while self.went_on and next(iter(self.went_on.values()))[0] <= over:
                del self.went_on[next(iter(self.went_on))]
        return kept

    def goes_on(self, record: Record) -> bool:
        """Whether a record is no repeat."""
        key = self.key(record)
        if key is None:
            return True
        at, dropped = self.went_on.get(key, (None, 0))
        if at is not None and self.now - at < self.window * 1000:
            if self.counted is not None:
                self.went_on[key] = at, min(dropped + 1, _LONGEST)
                self.changed = True
            return False
        if self.counted is not None and dropped:
            record[self.counted] = dropped
        self.went_on.pop(key, None)  # so that the order is that in which they went on
        self.went_on[key] = self.now, 0
        self.changed = True
        if len(self.went_on) > self.max_keys:
            del self.went_on[next(iter(self.went_on))]
        return True

    def why_dropped(self, record: Record) -> str:
        """When the one that it repeats went on."""
        at, _ = self.went_on.get(self.key(record) or b"", (self.now, 0))
        equal = "it" if self.fields is None else f"its {', '.join(self.fields)}"
        return f"{equal} went on {span(self.now - at)} ago; window is {self.window}"

    def key(self, record: Record) -> bytes | None:
        """What is equal for equal records; None: there is nothing to compare."""
        if self.paths is None:
            values: list[Any] | None = [{name: value for name, value in record.items() if name != "timestamp"}]
        else:
            values = values_of(record, self.paths)
        return None if values is None else _digest.digest(_digest.canonical(values), KEY_SIZE)

    def snapshot(self) -> bytes:
        """The keys that are remembered. It stays the same until another one came."""
        if self.changed:
            rows = (
                _ROW.pack(key, min(self.now - at, _LONGEST), dropped) for key, (at, dropped) in self.went_on.items()
            )
            self.state = saved(_HEAD.pack(self.now) + b"".join(rows))
            self.changed = False
        return self.state

    def restore(self, state: bytes) -> None:
        """:raises ValueError: it is no state of this processor."""
        body = opened(state, _HEAD.size, _ROW.size)
        (self.now,) = _HEAD.unpack_from(body)
        rows = _ROW.iter_unpack(body[_HEAD.size :])
        self.went_on = {key: (self.now - ago, dropped) for key, ago, dropped in rows}
        self.clock.go_on(self.now)
        self.state = state
