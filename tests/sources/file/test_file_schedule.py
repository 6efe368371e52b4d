"""The schedule: whose turn it is."""

import math

from shipper.sources.file.schedule import IDLE, TICK, Schedule
from shipper.sources.file.tail import Tail


def tails(*names: str) -> list[Tail]:
    return [Tail(name, {}) for name in names]


def test_ready_tails_take_turns() -> None:
    """One that has more goes to the end of the queue."""
    schedule = Schedule()
    hot, quiet = tails("/hot", "/quiet")
    schedule.ready(hot)
    schedule.ready(quiet)
    order = []
    for _ in range(4):
        tail = schedule.take()
        assert tail is not None
        order.append(tail.path)
        schedule.ready(tail)
    assert order == ["/hot", "/quiet", "/hot", "/quiet"]


def test_being_ready_twice_is_one_turn() -> None:
    """Hints may come in any number."""
    schedule = Schedule()
    (tail,) = tails("/a")
    schedule.ready(tail)
    schedule.ready(tail)
    assert schedule.take() is tail
    assert schedule.take() is None
    assert not schedule.has_ready


def test_a_tail_is_due_once_and_at_its_last_time() -> None:
    """Times that were replaced do not count."""
    schedule = Schedule()
    first, second = tails("/a", "/b")
    schedule.rest(first, 10.0)
    schedule.rest(second, 5.0)
    schedule.rest(first, 7.0)
    assert schedule.next_due == 5.0
    assert schedule.due(6.0) == [second]
    assert schedule.due(20.0) == [first]
    assert schedule.due(20.0) == []
    assert schedule.next_due == math.inf


def test_a_tail_that_became_ready_is_not_due_any_more() -> None:
    """Its turn comes with the queue."""
    schedule = Schedule()
    (tail,) = tails("/a")
    schedule.rest(tail, 1.0)
    schedule.ready(tail)
    assert schedule.due(2.0) == []
    assert schedule.take() is tail


def test_a_removed_tail_has_no_turn() -> None:
    """Neither from the queue nor from the clock."""
    schedule = Schedule()
    first, second = tails("/a", "/b")
    schedule.ready(first)
    schedule.rest(second, 1.0)
    schedule.remove(first)
    schedule.remove(second)
    assert not schedule.has_ready
    assert schedule.take() is None
    assert schedule.due(2.0) == []


def test_after_a_quiet_spell_it_is_its_turn_at_once_before_it_is_not() -> None:
    """A hint within the pace of a tail lets its next frame fill, with a look now and then."""
    schedule = Schedule()
    (tail,) = tails("/a")
    tail.paced = 5.0
    schedule.idle(tail)
    schedule.wake(tail, 1.0)
    assert not schedule.has_ready
    assert schedule.due(1.0 + TICK) == [tail]
    schedule.idle(tail)
    schedule.wake(tail, 5.0)
    assert schedule.take() is tail


def test_a_hint_for_a_tail_that_is_busy_changes_nothing() -> None:
    """Only idle tails are woken."""
    schedule = Schedule()
    (tail,) = tails("/a")
    schedule.rest(tail, 9.0)
    schedule.wake(tail, 1.0)
    assert schedule.next_due == 9.0
    schedule.idle(tail, 9.0)
    assert tail.stage == IDLE
