"""Waits between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.sinks.backoff import Delays
from shipper.sinks.base import Backoff
from shipper.units import Duration


def longest(_: float, cap: float) -> float:
    """The unluckiest dice."""
    return cap


def test_the_cap_doubles_with_each_failure_up_to_the_most() -> None:
    delays = Delays(Backoff(min=Duration(0.1), max=Duration(1)), longest)
    assert [delays.next() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1, 1]


def test_after_a_success_the_next_failure_is_a_first_one() -> None:
    delays = Delays(Backoff(min=Duration(0.1), max=Duration(30)), longest)
    delays.next()
    delays.next()
    delays.reset()
    assert delays.next() == 0.1


def test_thousands_of_failures_do_not_overflow() -> None:
    delays = Delays(Backoff(max=Duration(30)), longest)
    assert [delays.next() for _ in range(5000)][-1] == 30


@given(failures=st.integers(0, 100), low=st.floats(0.001, 10), high=st.floats(10, 1000))
def test_a_wait_is_anything_between_nothing_and_the_cap(failures: int, low: float, high: float) -> None:
    delays = Delays(Backoff(min=Duration(low), max=Duration(high)))
    for _ in range(failures):
        delays.next()
    cap = delays.cap
    assert 0 <= delays.next() <= cap <= high
