"""The circuit breaker."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shipper.sinks.base import Breaker
from shipper.sinks.breaker import BreakerState, CircuitBreaker
from shipper.units import Duration


@dataclass
class Clock:
    """Time stands still until told."""

    now: float = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def make(window: int = 4, ratio: float = 0.5) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    return CircuitBreaker(Breaker(window=window, failure_ratio=ratio, open_for=Duration(10)), clock), clock


def state(breaker: CircuitBreaker) -> BreakerState:
    """Read anew: a type checker takes an attribute to be what it was compared with last."""
    return breaker.state


def test_it_stays_closed_until_the_window_is_full() -> None:
    breaker, _ = make(window=4)
    for _ in range(3):
        breaker.failure()
    assert state(breaker) is BreakerState.CLOSED
    breaker.failure()
    assert state(breaker) is BreakerState.OPEN


def test_it_opens_at_the_failure_ratio_and_not_below() -> None:
    breaker, _ = make(window=4, ratio=0.5)
    for outcome in (breaker.success, breaker.success, breaker.success, breaker.failure):
        outcome()
    assert state(breaker) is BreakerState.CLOSED
    breaker.failure()
    assert state(breaker) is BreakerState.OPEN


def test_while_open_it_says_how_long_to_wait_and_then_lets_one_attempt_through() -> None:
    breaker, clock = make()
    breaker.trip()
    assert breaker.wait == 10
    clock.now += 4
    assert breaker.wait == 6
    clock.now += 7
    assert breaker.wait == 0
    breaker.attempt()
    assert state(breaker) is BreakerState.HALF_OPEN


def test_a_failure_while_half_open_opens_it_again_for_the_whole_time() -> None:
    breaker, clock = make()
    breaker.trip()
    clock.now += 10
    breaker.attempt()
    breaker.failure()
    assert (breaker.state, breaker.wait) == (BreakerState.OPEN, 10)


def test_a_success_while_half_open_closes_it_and_forgets_the_failures() -> None:
    breaker, clock = make(window=4)
    for _ in range(4):
        breaker.failure()
    clock.now += 10
    breaker.attempt()
    breaker.success()
    assert state(breaker) is BreakerState.CLOSED
    for _ in range(2):
        breaker.failure()
    assert state(breaker) is BreakerState.CLOSED


@given(
    window=st.integers(1, 6),
    ratio=st.floats(0, 1, exclude_min=True),
    steps=st.lists(st.sampled_from(["attempt", "success", "failure", "trip", "time"]), max_size=40),
)
def test_it_never_waits_longer_than_told_and_time_always_ends_the_wait(
    window: int, ratio: float, steps: list[str]
) -> None:
    breaker, clock = make(window, ratio)
    for step in steps:
        if step == "time":
            clock.now += 3
        elif step != "attempt" or breaker.wait == 0:
            getattr(breaker, step)()
        assert 0 <= breaker.wait <= 10
        assert breaker.state is BreakerState.OPEN or breaker.wait == 0
    clock.now += 10
    assert breaker.wait == 0
