"""Two accounts of one file generation made into one: the book closed it, and it was told of again. Sans-IO.

An account that the book lets go of has its last word in the database. When a range of the same generation comes later,
the book opens a new account that knows nothing of the first. The database adds the two up.
"""

from copy import deepcopy

from shipper.batch import ELSEWHERE
from shipper.ledger.account import HOLES_KEPT, Account, add_counts, among
from shipper.ledger.book import Break
from shipper.ledger.extent import MOST_COUNTED, Extent, Span, holes, merged, size, without


def bridged(earlier: Account, later: Account, broken: Break) -> Account:
    """The earlier account, with what lies before the later one as missing where the stream's breaks tell why."""
    first = later.covered[0][0] if later.covered else earlier.end
    seq = earlier.seq if earlier.stream == later.stream else 0
    reason = broken.reason if broken.gap > seq else ELSEWHERE if broken.jump > seq else ""
    whole = deepcopy(earlier)
    if reason and earlier.end < first:
        whole.missing.setdefault(among(whole.missing, reason), Extent()).add(earlier.end, first)
        merged(whole.covered, earlier.end, first)
    return whole


def joined(earlier: Account, later: Account) -> Account:
    """Both as one. What both were told of counts as ``twice``, but for what was lost to the earlier one."""
    whole = deepcopy(earlier)
    lost_before = [span for extent in earlier.lost.values() for span in extent.spans]
    for span in _common(earlier.covered, later.covered):
        for start, end in without([span], sorted(lost_before)):
            whole.twice.add(start, end)
    for start, end in later.covered:
        merged(whole.covered, start, end)
    while len(whole.covered) > HOLES_KEPT:
        smallest = min(holes(whole.covered), key=lambda hole: hole[1] - hole[0])
        merged(whole.covered, *smallest)
        whole.blurred += smallest[1] - smallest[0]
    _extend(whole.twice, later.twice)
    _extend_all(whole.lost, later.lost)
    _extend_all(whole.missing, later.missing)
    for sink, reasons in later.forgone.items():
        _extend_all(whole.forgone.setdefault(sink, {}), reasons)
    for sink, outcomes in later.refused.items():
        add_counts(whole.refused.setdefault(sink, {}), outcomes)
    add_counts(whole.dropped, later.dropped)
    add_counts(whole.dropped_here, later.dropped_here)
    whole.read = min(whole.read + later.read, MOST_COUNTED)
    whole.kept = min(whole.kept + later.kept, MOST_COUNTED)
    whole.failed = min(whole.failed + later.failed, MOST_COUNTED)
    whole.failed_here = min(whole.failed_here + later.failed_here, MOST_COUNTED)
    whole.blurred += later.blurred
    whole.source, whole.host, whole.file = later.source, later.host, later.file
    whole.stream, whole.seq, whole.since = later.stream, later.seq, later.since
    return whole


def _common(spans: list[Span], others: list[Span]) -> list[Span]:
    """What is in both; both sorted and disjoint."""
    return without(spans, without(spans, others))


def _extend(extent: Extent, other: Extent) -> None:
    for start, end in other.spans:
        extent.add(start, end)
    extent.count(other.bytes - size(other.spans))  # those of the other that it does not name


def _extend_all(extents: dict[str, Extent], others: dict[str, Extent]) -> None:
    for reason, other in others.items():
        _extend(extents.setdefault(among(extents, reason), Extent()), other)
