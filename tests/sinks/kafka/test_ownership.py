"""Whose turn a number is: claims, takeovers and deliveries, step by step (test_ownership_model.py: in all orders)."""

import pytest

from shipper.sinks.base import Gap, Item, Sent
from shipper.sinks.kafka.cursors import Claim, Cursor
from shipper.sinks.kafka.ownership import Ownership
from shipper.spool.body import Mark

OWN, STREAM = b"o" * 16, b"s" * 16
ME = "shipper-m"


def begun(me: str = ME) -> Ownership:
    """A process that has just connected."""
    ownership = Ownership()
    ownership.begin_again(me, OWN, Cursor(next=0, epoch=1))
    return ownership


def owner(me: str = ME, floor: int = 0) -> Ownership:
    """A process that owns the stream."""
    ownership = begun(me)
    claim(ownership, me)
    assert ownership.to_fence(STREAM) == frozenset()
    assert ownership.settle(STREAM, floor)
    return ownership


def claim(ownership: Ownership, me: str = ME) -> Claim:
    """Write the process's claim, and read it."""
    written = ownership.begin(STREAM)
    ownership.claim_read(STREAM, me, written)
    return written


def mark(after: int) -> Mark:
    return Mark(after, 7, b"i" * 16, 70 + after, 90 + after)


def sent(at: int, number: int, *, after: int | None = None, part: int = 0, last: bool = True) -> Item:
    """The hop's item ``at``: a number of the stream, or a part of it."""
    its = mark(number + 1 if after is None else after) if last else None
    return Item(at, Gap(at, at, 0, "none"), Sent(STREAM, number, its, part))


def own(at: int) -> Item:
    """An item that no sender has."""
    return Item(at, Gap(at, at, 0, "none"))


def taken(ownership: Ownership, *items: Item) -> list[int]:
    """The places of those that are to be delivered."""
    return [one.seq for item in items for one in ownership.take(item)]


def test_a_stream_that_nobody_had_is_owned_after_its_claim_is_read() -> None:
    ownership = begun()
    assert not ownership.owns(STREAM)
    assert claim(ownership) == Claim(generation=1)
    assert not ownership.owns(STREAM)
    assert ownership.to_fence(STREAM) == frozenset()
    assert ownership.settle(STREAM, 0)
    assert ownership.owns(STREAM)


def test_whoever_claimed_before_is_fenced_and_the_claim_remembers_it() -> None:
    ownership = begun()
    ownership.claim_read(STREAM, "shipper-a", Claim(generation=3))
    assert claim(ownership).generation == 4
    assert ownership.to_fence(STREAM) == {"shipper-a"}
    assert ownership.settle(STREAM, 0)
    assert ownership.settled() == {STREAM: Claim(generation=4, fenced={"shipper-a": 3})}


def test_who_was_fenced_since_its_claim_is_left_alone_until_it_claims_again() -> None:
    ownership = begun()
    ownership.claim_read(STREAM, "shipper-a", Claim(generation=3))
    ownership.claim_read(STREAM, "shipper-b", Claim(generation=4, fenced={"shipper-a": 3}))
    claim(ownership)
    assert ownership.to_fence(STREAM) == {"shipper-b"}
    ownership.claim_read(STREAM, "shipper-a", Claim(generation=5))
    assert claim(ownership) == Claim(generation=6), "none of those that claimed is known as fenced now"
    assert ownership.to_fence(STREAM) == {"shipper-a", "shipper-b"}


def test_claims_stay_small_however_many_collectors_had_the_stream() -> None:
    """Each claimant fences the one before it alone, and that one was fenced stands in one claim, not in all."""
    claims: dict[str, Claim] = {}
    collectors = {f"shipper-{number}": begun(f"shipper-{number}") for number in range(9)}
    for me in [*collectors, *reversed(collectors)]:
        ownership = collectors[me]
        before = max(claims, key=lambda who: claims[who].generation, default=me)
        for who, its in claims.items():
            ownership.claim_read(STREAM, who, its)
        claims[me] = claim(ownership, me)
        assert ownership.to_fence(STREAM) == {before} - {me}
        assert ownership.settle(STREAM, 0)
        claims[me] = ownership.settled()[STREAM]
    assert sum(len(its.fenced) for its in claims.values()) <= 2 * len(collectors), "the half may be out of date"


def test_a_claim_that_is_not_decided_is_fenced_too() -> None:
    ownership = begun()
    claim(ownership)
    assert ownership.to_fence(STREAM, ["shipper-a", ME]) == {"shipper-a"}


@pytest.mark.parametrize(("other", "wins"), [("shipper-a", True), ("shipper-z", False)])
def test_of_two_who_claim_at_once_one_wins_and_fences_the_other(other: str, wins: bool) -> None:
    ownership = begun()
    claim(ownership)
    ownership.claim_read(STREAM, other, Claim(generation=1))
    assert ownership.to_fence(STREAM) == ({other} if wins else frozenset())
    assert ownership.settle(STREAM, 0) is wins
    assert ownership.owns(STREAM) is wins


def test_a_greater_claim_that_comes_before_the_last_step_wins() -> None:
    ownership = begun()
    claim(ownership)
    ownership.to_fence(STREAM)
    ownership.claim_read(STREAM, "shipper-a", Claim(generation=2))
    assert not ownership.settle(STREAM, 0)


def test_a_stream_that_another_claims_is_owned_no_more() -> None:
    ownership = owner()
    ownership.claim_read(STREAM, "shipper-a", Claim(generation=2))
    assert not ownership.owns(STREAM)
    assert taken(ownership, sent(0, 0)) == []


def test_a_connection_that_is_made_anew_keeps_what_is_owned_a_new_identity_does_not() -> None:
    ownership = owner()
    ownership.begin_again(ME, OWN, Cursor(next=0))
    assert ownership.owns(STREAM)
    ownership.begin_again("shipper-n", b"n" * 16, Cursor(next=0))
    assert not ownership.owns(STREAM)


def test_a_claim_of_an_earlier_life_is_not_enough() -> None:
    ownership = begun()
    ownership.claim_read(STREAM, ME, Claim(generation=5))
    assert not ownership.owns(STREAM)
    assert claim(ownership).generation == 6


def test_a_claim_that_waits_to_be_written_again_does_not_come_after_a_newer_one() -> None:
    ownership = owner()
    ownership.begin(STREAM)
    assert ownership.settled() == {}


def test_numbers_are_delivered_in_their_turn_and_once() -> None:
    ownership = owner()
    assert taken(ownership, sent(0, 0), sent(1, 0), sent(2, 2), sent(3, 1), sent(4, 2)) == [0, 3, 4]
    assert ownership.moves()[STREAM] == Cursor(next=3, epoch=7, incarnation=b"i" * 16, check=73, original_check=93)
    assert ownership.cursor(STREAM).next == 0, "nothing is there before the transaction is"
    ownership.committed()
    assert ownership.cursor(STREAM).next == 3
    assert ownership.reached == 5


def test_a_gap_that_begins_before_the_cursor_moves_it_to_its_end() -> None:
    ownership = owner()
    assert taken(ownership, sent(0, 0), sent(1, 0, after=5), sent(2, 5)) == [0, 1, 2]


def test_what_is_not_owned_is_passed_over() -> None:
    ownership = begun()
    assert taken(ownership, sent(0, 0), own(1)) == [1]
    assert STREAM not in ownership.moves()
    assert ownership.reached == 2


def test_the_sender_goes_on_at_its_floor() -> None:
    ownership = owner(floor=5)
    assert ownership.cursor(STREAM).next == 5
    assert taken(ownership, sent(0, 4), sent(1, 5)) == [1]


def test_after_something_was_passed_over_not_all_is_there_until_it_came_again() -> None:
    ownership = owner()
    assert ownership.has_all(STREAM)
    assert taken(ownership, sent(0, 1)) == []
    assert not ownership.has_all(STREAM)
    assert taken(ownership, sent(1, 0), sent(2, 1)) == [1, 2]
    ownership.committed()
    assert ownership.has_all(STREAM)


def test_a_transaction_that_failed_moved_nothing() -> None:
    ownership = owner()
    taken(ownership, sent(0, 0))
    ownership.begin_again(ME, OWN, Cursor(next=0))
    assert ownership.moves() == {}
    assert taken(ownership, sent(0, 0)) == [0]


def test_the_parts_of_a_number_come_out_together() -> None:
    ownership = owner()
    assert taken(ownership, sent(0, 0, part=0, last=False), sent(1, 0, part=1, last=False)) == []
    assert ownership.reached == 0, "a crash here must bring them all again"
    assert taken(ownership, sent(2, 0, part=2)) == [0, 1, 2]
    assert ownership.reached == 3


def test_a_number_that_begins_anew_is_delivered_from_its_beginning() -> None:
    ownership = owner()
    first, again, last = sent(0, 0, last=False), sent(1, 0, last=False), sent(2, 0, part=1)
    assert taken(ownership, first, again, last) == [1, 2]


@pytest.mark.parametrize(
    "items",
    [
        [own(0), sent(1, 0, part=1)],
        [sent(0, 0, part=0, last=False), own(1), sent(2, 0, part=2)],
        [sent(0, 0, part=0, last=False), sent(1, 0, part=2)],
        [sent(0, 0, part=0, last=False), own(1)],
        [sent(0, 0, part=1, last=False), sent(1, 0, part=2)],
    ],
    ids=["the first", "the second", "one between", "the last", "the first of three"],
)
def test_a_number_that_misses_a_part_is_passed_over_until_it_comes_whole(items: list[Item]) -> None:
    ownership = owner()
    assert all(item.upstream is None for item in items if item.seq in taken(ownership, item))
    assert not ownership.has_all(STREAM)
    assert taken(ownership, sent(7, 0, part=0, last=False), sent(8, 0, part=1)) == [7, 8]


def test_the_own_stream_counts_by_the_hop_and_moves_with_every_transaction() -> None:
    ownership = owner()
    ownership.cursor_read(OWN, Cursor(next=2))
    assert taken(ownership, own(1), own(2), sent(3, 0)) == [2, 3]
    assert ownership.moves()[OWN] == Cursor(next=4, epoch=1)


def test_with_nothing_to_deliver_no_transaction_is_needed() -> None:
    ownership = begun()
    taken(ownership, sent(0, 0))
    assert ownership.moves() == {}
    assert ownership.reached == 1
