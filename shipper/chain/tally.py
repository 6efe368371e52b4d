"""Counting a batch's records into its source ranges."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from itertools import accumulate

import msgspec

from shipper.batch import Batch, Payload, SourceRange

FAILED = ""
"""In place of a reason for dropping: the record went to the dead letters."""


class Tally:
    """What became of the records of one batch."""

    def __init__(self, batch: Batch, count: int) -> None:
        self._ranges = _ranges(batch, count)
        self._fallback = SourceRange(batch.source, b"", 0, 0)
        sizes = [span.read for span in self._ranges]
        self._bounds = [0, *accumulate(sizes)][:-1] if sum(sizes) == count else [0] * len(sizes)
        """The index of each range's first record; where the ranges do not say so, the last range stands for all."""
        self._gone: Counter[tuple[int, str]] = Counter()
        """By the record's index and why; the index is 0 where nobody needs to know it."""
        self._indices: set[int] = set()

    @property
    def one_range(self) -> bool:
        """Nobody needs to know which of the records are gone, only how many."""
        return len(self._ranges) < 2

    def gone(self, index: int, why: str) -> None:
        """The record of that index does not go on."""
        self._gone[index, why] += 1
        self._indices.add(index)

    def filtered(self, count: int, why: str) -> None:
        """So many records do not go on."""
        self._gone[0, why] += count

    def has_gone(self, index: int) -> bool:
        """Whether that record was counted already."""
        return index in self._indices

    def place(self, index: int) -> tuple[SourceRange, int]:
        """The range that held a record, and the record's index in it."""
        if not self._ranges:
            return self._fallback, index
        at = self._range(index)
        return self._ranges[at], index - self._bounds[at]

    def ranges(self, survivors: Collection[int]) -> list[SourceRange]:
        """The ranges with their counts. ``survivors``: of each record that goes on, the index it was read with."""
        kept = {0: len(survivors)} if self.one_range else Counter(map(self._range, survivors))
        gone: dict[int, dict[str, int]] = {}
        for (index, why), count in self._gone.items():
            whys = gone.setdefault(0 if self.one_range else self._range(index), {})
            whys[why] = whys.get(why, 0) + count
        return [_counted(span, kept.get(at, 0), gone.get(at, {})) for at, span in enumerate(self._ranges)]

    def _range(self, index: int) -> int:
        return bisect_right(self._bounds, index) - 1


def _ranges(batch: Batch, count: int) -> list[SourceRange]:
    """The ranges that the batch covers. Of a frame that is taken apart it is its place in the upstream's stream."""
    if not isinstance(batch.payload, (Payload, list)):
        frame, upstream = batch.payload, batch.upstream
        stream, seq = (frame.stream, frame.seq) if upstream is None else (upstream.stream, upstream.seq)
        return [SourceRange(batch.source, stream, seq, seq + 1, read=count)]
    if len(batch.ranges) == 1 and not batch.ranges[0].read:
        return [msgspec.structs.replace(batch.ranges[0], read=count)]
    return batch.ranges


def _counted(span: SourceRange, kept: int, gone: dict[str, int]) -> SourceRange:
    failed = span.failed + gone.pop(FAILED, 0)
    dropped = {**span.dropped}
    for why, count in gone.items():
        dropped[why] = dropped.get(why, 0) + count
    return msgspec.structs.replace(span, kept=kept, dropped=dropped, failed=failed)
