"""Let no more than so many records a second through."""

import struct
import time
from math import ceil
from typing import Annotated, Final

from msgspec import Meta

from shipper import Duration, Processor, Record
from shipper_processors._memory import KEY_SIZE, ByKeys, Clock, Keys, opened, saved, span

_HEAD: Final = struct.Struct("<Q")
"""The time of the state, in milliseconds of the clock."""
_ROW: Final = struct.Struct(f"<{KEY_SIZE}sd")
"""A key, and when its bucket is full again (milliseconds of the clock)."""
_NO_KEY: Final = bytes(KEY_SIZE)


class Throttle(ByKeys, Processor):
    """Let ``rate`` records a second through, and drop those above it; they are counted.

    It is a token bucket: after a quiet time up to ``burst`` records go on at once. With ``by`` there is a bucket for
    each value of these fields, so that one loud service does not silence the others.

    The time is that at which records are read, and it stands still while the program is down. So it holds back a
    backlog too, which is read as fast as can be: to spare that, give it a ``where``, or throttle what is least wanted.

    Example::

        processors:
          - throttle: {rate: 100, by: [service], where: "level == 'debug'"}
          - throttle: {rate: 5, per: 1m, burst: 20, by: [file, level]}
    """

    rate: Annotated[float, Meta(gt=0, le=1e9)]
    """So many records go on, on average."""
    per: Duration = Duration(1)
    """The span of time that ``rate`` is for."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """So many may go on at once. Without it as many as ``rate``."""
    max_keys: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """So many buckets are there at most; then the one that was made first is forgotten, which is as if it were full.
    Each that is not full takes 16 bytes of the state, which is written to disk with every batch of which any record
    went on."""

    @staticmethod
    def seconds() -> float:
        """The clock that is read. A test has its own."""
        return time.monotonic()

    def setup(self) -> None:
        """:raises ValueError: there is no time between records, or ``by`` names no field."""
        if self.per <= 0:
            raise ValueError("per is 0; write a span of time, as in 1s or 1m")
        self.keys = Keys(self.by)
        self.clock = Clock(self.seconds)
        self.step = self.per * 1000 / self.rate
        self.slack = self.step * ((ceil(self.rate) if self.burst is None else self.burst) - 1)
        self.full_at: dict[bytes, float] = {}
        """When the bucket of a key is full again. One that is not here is full."""
        self.now = 0
        self.state = b""
        self.changed = False

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take out what is above the rate."""
        self.now = self.clock.now()
        labels = self.labels
        kept = [record for record in records if self.goes_on(self.keys.of(record, labels) if self.by else _NO_KEY)]
        self.changed = self.changed or bool(kept)
        return kept

    def goes_on(self, key: bytes) -> bool:
        """Take a token of a bucket; False where there is none."""
        full_at = max(self.full_at.get(key, 0.0), float(self.now))
        if full_at - self.now > self.slack:
            return False
        if key not in self.full_at and len(self.full_at) >= self.max_keys:
            self.full_at = self.not_full()
            if len(self.full_at) >= self.max_keys:
                del self.full_at[next(iter(self.full_at))]
        self.full_at[key] = full_at + self.step
        return True

    def why_dropped(self, record: Record) -> str:
        """Whose bucket is empty, and for how long."""
        key = self.keys.of(record, self.labels) if self.by else _NO_KEY
        wait = self.full_at.get(key, 0.0) - self.now - self.slack
        whose = f" for this {', '.join(self.by)}" if self.by else ""
        return f"{self.rate:g} in {self.per} have gone on{whose}; the next one may in {span(wait)}"

    def not_full(self) -> dict[bytes, float]:
        """The buckets that are worth remembering."""
        return {key: full_at for key, full_at in self.full_at.items() if full_at > self.now}

    def snapshot(self) -> bytes:
        """The buckets that are not full. It stays the same until a record went on."""
        if self.changed:
            self.full_at = self.not_full()
            self.state = saved(_HEAD.pack(self.now) + b"".join(_ROW.pack(*row) for row in self.full_at.items()))
            self.changed = False
        return self.state

    def restore(self, state: bytes) -> None:
        """:raises ValueError: it is no state of this processor."""
        body = opened(state, _HEAD.size, _ROW.size)
        (self.now,) = _HEAD.unpack_from(body)
        self.full_at = dict(_ROW.iter_unpack(body[_HEAD.size :]))
        self.clock.go_on(self.now)
        self.state = state
