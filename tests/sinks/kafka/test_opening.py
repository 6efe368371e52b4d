"""Which cursor of a stream an opening of a spool goes on from, and which ones show another history."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.delivering import frame_item, lines

from shipper.errors import SinkError, StreamDisowned
from shipper.sinks.base import Gap, Item
from shipper.sinks.kafka.cursors import Cursor
from shipper.sinks.kafka.opening import Opening, Proof

OPENING = Opening(stream=b"s" * 16, epoch=5, incarnation=b"i" * 16, cursor=10, cursor_check=77, next_seq=20)
ITEMS = [frame_item(number, lines(f"line {number}")) for number in range(10, 20)]


def cursor(number: int, **changes: object) -> Cursor:
    """As an earlier opening of the same spool left it."""
    fields: dict[str, object] = {"epoch": 4, "incarnation": b"before", "check": 0, "original_check": 0}
    return Cursor(next=number, **(fields | changes))  # type: ignore[arg-type]


def test_a_stream_without_a_cursor_goes_on_where_the_spool_is() -> None:
    start = OPENING.judge(None, wrote=False)
    assert (start.next, start.epoch, start.incarnation, start.original_check) == (10, 5, b"i" * 16, 77)


@pytest.mark.parametrize(("found", "start"), [(3, 10), (10, 10), (15, 15), (20, 20)])
def test_the_later_of_both_places_counts(found: int, start: int) -> None:
    assert OPENING.judge(cursor(found), wrote=False).next == start


@given(st.integers(0, 20), st.integers(0, 5), st.booleans())
def test_an_earlier_opening_never_stops_a_later_one(number: int, epoch: int, wrote: bool) -> None:
    found = cursor(number, epoch=epoch, incarnation=OPENING.incarnation)
    assert OPENING.judge(found, wrote=wrote).next == max(number, OPENING.cursor)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (cursor(15, epoch=6), "fenced"),
        (cursor(15, epoch=5, incarnation=b"other"), "cloned"),
        (cursor(21), "diverged"),
        (cursor(10, original_check=78), "diverged"),
    ],
)
def test_another_history_disowns_the_stream(found: Cursor, kind: str) -> None:
    with pytest.raises(StreamDisowned) as caught:
        OPENING.judge(found, wrote=False)
    assert caught.value.kind == kind


def test_who_wrote_and_was_replaced_stops() -> None:
    with pytest.raises(SinkError, match="this one writes nothing any more; stop it") as caught:
        OPENING.judge(cursor(15, epoch=6), wrote=True)
    assert not isinstance(caught.value, StreamDisowned)


@pytest.mark.parametrize("unknown", ["ours", "theirs"])
def test_a_frame_that_is_not_known_is_not_compared(unknown: str) -> None:
    opening = replace(OPENING, cursor_check=0) if unknown == "ours" else OPENING
    found = cursor(10, original_check=0 if unknown == "theirs" else 78)
    assert opening.judge(found, wrote=False).next == 10


@given(st.integers(11, 20), st.lists(st.integers(1, 4)))
def test_what_is_there_is_passed_over_however_it_comes(number: int, cuts: list[int]) -> None:
    proof = Proof(cursor(number, original_check=check(number - 1)))
    rest: list[Item] = []
    left = list(ITEMS)
    for size in [*cuts, len(left)]:
        group, left = left[:size], left[size:]
        rest += proof.rest(group)
    assert [item.seq for item in rest] == list(range(number, 20))
    assert proof.given == (not ITEMS or number <= 20)


def test_another_frame_under_the_last_number_disowns_the_stream() -> None:
    proof = Proof(cursor(15, original_check=check(14) + 1))
    assert proof.rest(ITEMS[:4]) == []
    assert not proof.given
    with pytest.raises(StreamDisowned):
        proof.rest(ITEMS[4:])


def test_where_a_gap_stands_nothing_can_be_compared() -> None:
    gap = Item(12, Gap(12, 16, 7, "for the test"))
    proof = Proof(cursor(15, original_check=1))
    assert [item.seq for item in proof.rest([*ITEMS[:2], gap, *ITEMS[7:]])] == [12, 17, 18, 19]


def check(number: int) -> int:
    """Of the frame with this number."""
    (found,) = (item.body for item in ITEMS if item.seq == number)
    assert not isinstance(found, Gap)
    return found.original_check
