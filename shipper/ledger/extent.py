"""Sets of byte ranges that stay small: neighbours merge, and of many only the bytes and the first ranges are kept."""

from itertools import pairwise
from typing import Final

import msgspec

SHOWN: Final = 32
"""Ranges that an ``Extent`` names; of those after them it has the bytes."""

MOST_COUNTED: Final = 2**63 - 1
"""All counting stops here: senders may claim anything, and more could not be written."""
Span = tuple[int, int]
"""First byte, and the first byte after those meant."""


def merged(spans: list[Span], start: int, end: int) -> int:
    """Put a range into sorted, disjoint ``spans`` and merge neighbours; how many of its bytes were there already."""
    if start >= end:
        return 0
    if not spans or spans[-1][1] < start:
        spans.append((start, end))
        return 0
    if spans[-1][1] == start:
        spans[-1] = (spans[-1][0], end)
        return 0
    touched = [span for span in spans if span[0] <= end and start <= span[1]]
    known = sum(max(0, min(end, span[1]) - max(start, span[0])) for span in touched)
    first, last = min([start, *(s for s, _ in touched)]), max([end, *(e for _, e in touched)])
    spans[:] = sorted([*(span for span in spans if span not in touched), (first, last)])
    return known


def without(spans: list[Span], others: list[Span]) -> list[Span]:
    """What of ``spans`` is not in ``others``; both sorted and disjoint."""
    left = []
    for begin, end in spans:
        at = begin
        for start, stop in others:
            if stop > at and start < end:
                if start > at:
                    left.append((at, start))
                at = max(at, stop)
        if at < end:
            left.append((at, end))
    return left


def holes(spans: list[Span]) -> list[Span]:
    """What lies between sorted, disjoint ranges."""
    return [(before[1], after[0]) for before, after in pairwise(spans)]


def size(spans: list[Span]) -> int:
    """The bytes of disjoint ranges."""
    return sum([end - start for start, end in spans])


class Extent(msgspec.Struct, array_like=True):
    """Byte ranges to be counted and shown. On disk: only append fields, with defaults."""

    bytes: int = 0
    spans: list[Span] = []
    """The first of them, merged."""

    def add(self, start: int, end: int) -> None:
        """Count a range; what is known to be counted is not counted again."""
        if len(self.spans) < SHOWN or any((s <= start and end <= e) or e == start for s, e in self.spans):
            self.count(max(0, end - start) - merged(self.spans, start, end))
        else:
            self.count(max(0, end - start))

    def count(self, size: int) -> None:
        """Count bytes without saying which."""
        self.bytes = min(self.bytes + size, MOST_COUNTED)
