"""Which records of a log are decided: committed ones come out, aborted ones do not. Sans-IO.

The log is read as it is, with what open transactions wrote, and each transaction is judged here by its marker. A reader
that asks the broker for committed records only would not get past the first transaction that is open, whoever's it is:
one shipper that died would hold up the starts of all others until its transaction times out.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class LogRecord(NamedTuple):
    """A record of a partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    """None: a tombstone."""


class Transcript:
    """One partition, batch by batch in its order. A producer has at most one transaction open."""

    def __init__(self) -> None:
        self._open: dict[int, list[LogRecord]] = {}

    @property
    def pending(self) -> Iterator[LogRecord]:
        """What open transactions wrote: nobody knows yet what becomes of it."""
        return (record for records in self._open.values() for record in records)

    def data(self, producer: int | None, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """A batch; ``producer``: the producer id that wrote it in a transaction. Returns what is committed by it."""
        if producer is None:
            return records
        self._open.setdefault(producer, []).extend(records)
        return []

    def marker(self, producer: int, *, committed: bool) -> Sequence[LogRecord]:
        """The end of a transaction; returns what is committed by it.

        Of two records of one key the later one in the log counts, also where its transaction was committed first: that
        is the one that compaction leaves. So compare their offsets.
        """
        records = self._open.pop(producer, [])
        return records if committed else []
