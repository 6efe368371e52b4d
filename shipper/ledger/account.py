"""What became of one file generation, or of what another source or an upstream stream gave: its account. Sans-IO."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from shipper.batch import ELSEWHERE, SourceRange
from shipper.ledger.extent import MOST_COUNTED, Extent, Span, holes, merged, without

HOLES_KEPT: Final = 64
"""Holes that an account tells apart; of more, the smallest are covered over and counted in ``blurred``."""
REASONS_KEPT: Final = 64
"""Reasons of a kind that an account tells apart; what there is beside them counts as ``OTHERS``."""
OTHERS: Final = "others"
WITHIN: Final = frozenset({"too_long"})
"""Losses that lie within lines that were read."""
_LONGEST: Final = 256
"""Characters of a name, of what senders name; of a path more."""

Why = Callable[[bytes, int], str]
"""Why what was due in a stream after a number (the ``seq`` of an account) is missing; empty where nobody knows."""


class Account(msgspec.Struct, array_like=True):
    """One account. On disk and in the collector's database: only append fields, with defaults."""

    source: str
    """The source's name in the config that read it."""
    host: str = ""
    file: str = ""
    """The path under which it was read last; empty for what is no file. Positions count bytes where it is given."""
    stream: bytes = b""
    """The stream in which it came; empty: this spool's own."""
    seq: int = 0
    """The number of the last frame in that stream that told of it."""
    covered: list[Span] = []
    lost: dict[str, Extent] = {}
    """By reason: why nobody can read it any more; it may lie within what was read (``too_long``)."""
    missing: dict[str, Extent] = {}
    """By reason: its frames did not come, and why. ``elsewhere``: another collector has them."""
    twice: Extent = msgspec.field(default_factory=Extent)
    forgone: dict[str, dict[str, Extent]] = {}
    """By sink and reason: what the sink was to get and will not."""
    read: int = 0
    kept: int = 0
    failed: int = 0
    dropped: dict[str, int] = {}
    """Records, by ``processor/reason``."""
    blurred: int = 0
    since: int = 0
    """The number, in this spool, of the entry that opened it: higher than that of an earlier one of the generation."""
    failed_here: int = 0
    dropped_here: dict[str, int] = {}
    """Of the records that came kept, what became of them at the hop that keeps the book."""
    refused: dict[str, dict[str, int]] = {}
    """By sink: records that it refused, by what became of them (``Refused``)."""

    def enter(self, span: SourceRange, stream: bytes, seq: int, why: Why) -> None:
        """Take a range into account, told of by frame ``seq`` of ``stream``."""
        if span.lost:
            kind = self.missing if span.lost == ELSEWHERE else self.lost
            kind.setdefault(among(kind, span.lost), Extent()).add(span.start, span.end)
            self._cover(span.start, span.end, stream, why)
        else:
            covered, start, end = self.covered, span.start, span.end
            if covered and covered[-1][1] == start <= end:  # so it nearly always is
                covered[-1] = (covered[-1][0], end)
            else:
                self.twice_within(start, self._cover(start, end, stream, why), end)
            self.read += span.read
            self.kept += span.kept
            if self.read > MOST_COUNTED or self.kept > MOST_COUNTED:  # both are cut only where a sender claims too much
                self.read, self.kept = min(self.read, MOST_COUNTED), min(self.kept, MOST_COUNTED)
            if span.failed:
                self.failed = min(self.failed + span.failed, MOST_COUNTED)
            if span.dropped:
                add_counts(self.dropped, span.dropped)
        self.stream, self.seq = stream, seq

    def enter_here(self, span: SourceRange) -> None:
        """Take into account what became of records at this hop."""
        self.failed_here = min(self.failed_here + span.failed, MOST_COUNTED)
        add_counts(self.dropped_here, span.dropped)

    def twice_within(self, start: int, known: int, end: int) -> None:
        """Of a range ``known`` bytes had been told of before, but for those that were lost then."""
        if known and not any(s <= start and end <= e for extent in self.lost.values() for s, e in extent.spans):
            self.twice.add(start, min(end, start + known))

    def _cover(self, start: int, end: int, stream: bytes, why: Why) -> int:
        covered = self.covered
        due = covered[-1][1] if covered else start
        if start > due and (reason := why(stream, self.seq if stream == self.stream else 0)):
            self.missing.setdefault(among(self.missing, reason), Extent()).add(due, start)
            merged(covered, due, start)
        known = merged(covered, start, end)
        if len(covered) > HOLES_KEPT:
            smallest = min(holes(covered), key=lambda hole: hole[1] - hole[0])
            merged(covered, *smallest)
            self.blurred += smallest[1] - smallest[0]
        return known

    def forgo(self, sink: str, reason: str, start: int, end: int) -> None:
        """A sink will not get this range."""
        self.forgone.setdefault(sink, {}).setdefault(reason, Extent()).add(start, end)

    def refuse(self, sink: str, outcome: str, records: int) -> None:
        """A sink refused some records."""
        add_counts(self.refused.setdefault(sink, {}), {outcome: records})

    @property
    def begin(self) -> int:
        """From where on it is told of."""
        return self.covered[0][0] if self.covered else 0

    @property
    def end(self) -> int:
        """Up to where it is told of."""
        return self.covered[-1][1] if self.covered else 0

    @property
    def holes(self) -> list[Span]:
        """What nobody told of, between what is told of."""
        return holes(self.covered)

    def added(self, before: "Account | None") -> list[Span]:
        """What is covered that an earlier copy of the account did not cover."""
        return without(self.covered, before.covered if before else [])


def among(known: Collection[str], name: str, most: int = REASONS_KEPT) -> str:
    """The name under which something is counted where these are known already: senders may name it as they like."""
    name = short(name)
    return name if len(known) < most or name in known else OTHERS


def short(name: str, longest: int = _LONGEST) -> str:
    """A name, cut where it is longer than any that means something."""
    return name if len(name) <= longest else name[:longest]


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Count records by reason."""
    for reason, count in more.items():
        known = reason if reason in counts else among(counts, reason)
        counts[known] = min(counts.get(known, 0) + count, MOST_COUNTED)
