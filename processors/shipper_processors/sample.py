"""Keep some records of many."""

from typing import Annotated, Final

from msgspec import Meta

from shipper import Processor, Record
from shipper_processors._memory import ByKeys, Keys, opened, saved

_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: its multiples are spread evenly, and no rhythm of the records meets theirs."""
_ALL: Final = 1 << 64


class Sample(ByKeys, Processor):
    """Keep a share of the records; the others are counted as dropped.

    With ``by``, records with the same values of these fields have the same fate, everywhere and always: all of a trace,
    or nothing. Without it the share is kept exactly: of any stretch of records about so many, also over a restart.

    Example::

        processors:
          - sample: {rate: 0.1, where: "level == 'debug'"}  # a tenth of these, and all others
          - sample: {rate: 0.05, by: [trace_id]}            # every twentieth trace, whole
          - sample: {every: 100}                            # the first of every hundred
    """

    rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The share that is kept, from 0 to 1."""
    every: Annotated[int, Meta(ge=1)] | None = None
    """In place of ``rate``: of so many records one is kept, the first."""

    def setup(self) -> None:
        """:raises ValueError: not exactly one of ``rate`` and ``every``, or ``by`` beside ``every``."""
        if (self.rate is None) == (self.every is None):
            raise ValueError("write either rate or every, as in rate: 0.1 or every: 10")
        if self.by and self.every is not None:
            raise ValueError("by goes with rate: write rate: 0.1 in place of every: 10")
        self.keys = Keys(self.by)
        self.below = 0 if self.rate is None else int(self.rate * _ALL)
        self.seen = 0

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Keep those whose turn it is, or whose key is among the chosen ones."""
        below = self.below
        if self.by:
            key, labels = self.keys.of, self.labels
            return [record for record in records if int.from_bytes(key(record, labels), "little") < below]
        first = self.seen
        self.seen += len(records)
        if self.every is not None:
            return records[-first % self.every :: self.every]
        return [record for at, record in enumerate(records, first) if at * _GOLDEN % _ALL < below]

    def why_dropped(self, record: Record) -> str:
        """By which share, and of what."""
        del record
        if self.by:
            return f"this {', '.join(self.by)} is not in the share of {self.rate:g}"
        share = f"one of {self.every} goes on" if self.rate is None else f"a share of {self.rate:g} goes on"
        return f"{share}, and this was number {self.seen}"

    def snapshot(self) -> bytes:
        """How many were seen; nothing where keys decide."""
        return b"" if self.by else saved(self.seen.to_bytes(8, "little"))

    def restore(self, state: bytes) -> None:
        """:raises ValueError: it is no state of this processor."""
        if state:
            self.seen = int.from_bytes(opened(state, 8), "little")
