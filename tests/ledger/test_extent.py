"""Ranges against the sets of their bytes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import as_set

from shipper.ledger.extent import SHOWN, Extent, Span, holes, merged, size, without

ranges = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def union(some: list[Span]) -> list[Span]:
    spans: list[Span] = []
    for start, end in some:
        merged(spans, start, end)
    return spans


@given(st.lists(ranges, max_size=20))
def test_merged_ranges_are_the_same_bytes_sorted_apart_and_few(some: list[Span]) -> None:
    spans: list[Span] = []
    seen: set[int] = set()
    for start, end in some:
        new = set(range(start, end))
        assert merged(spans, start, end) == len(seen & new), "the bytes that were there already"
        seen |= new
        assert as_set(spans) == seen
        assert all(before[1] < after[0] for before, after in pairwise(spans)), "neighbours are one"
    assert size(spans) == len(seen)


@given(st.lists(ranges, max_size=10), st.lists(ranges, max_size=10))
def test_what_is_left_is_what_the_others_do_not_have(some: list[Span], others: list[Span]) -> None:
    one, two = union(some), union(others)
    left = without(one, two)
    assert as_set(left) == as_set(one) - as_set(two)
    assert all(start < end for start, end in left)


@given(st.lists(ranges, max_size=10))
def test_holes_are_what_lies_between(some: list[Span]) -> None:
    spans = union(some)
    inside = set(range(spans[0][0], spans[-1][1])) if spans else set()
    assert as_set(holes(spans)) == inside - as_set(spans)


def test_of_many_ranges_the_first_are_shown_and_all_bytes_are_counted() -> None:
    extent = Extent()
    for at in range(10 * SHOWN):
        extent.add(10 * at, 10 * at + 3)
    assert (extent.bytes, len(extent.spans)) == (30 * SHOWN, SHOWN)
    extent.add(0, 3)
    assert extent.bytes == 30 * SHOWN, "counted once"
