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


def test_an_idle_tail_is_due_when_what_it_holds_back_is_to_be_read() -> None:
    """Or earlier, when something else is to be done then."""
    schedule = Schedule()
    half, lingers = tails("/half", "/lingers")
    half.flush_at = lingers.flush_at = 5.0
    schedule.idle(half)
    schedule.idle(lingers, 3.0)
    assert schedule.next_due == 3.0
    assert schedule.due(4.0) == [lingers]
    assert schedule.due(5.0) == [half]


def test_all_that_wait_for_their_turn_can_be_looked_at_and_put_back() -> None:
    """In their order; those that have rested for long enough come after the ready ones."""
    schedule = Schedule()
    first, second, rested, resting, idle = tails("/a", "/b", "/rested", "/resting", "/idle")
    schedule.ready(first)
    schedule.rest(rested, 2.0)
    schedule.rest(resting, 4.0)
    schedule.idle(idle, 1.0)
    schedule.ready(second)
    waiting = schedule.take_all(3.0)
    assert waiting == [first, second, rested]
    assert not schedule.has_ready
    for tail in waiting:
        schedule.ready(tail)
    assert [schedule.take() for _ in range(4)] == [*waiting, None]
    assert schedule.due(5.0) == [idle, resting]
