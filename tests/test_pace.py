"""Time to full and time to drain, on a clock that the test turns."""

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shipper.pace import CAUGHT_UP, TICK, WINDOW, Pace, Trend

MB = 1_000_000


@dataclass
class _Feed:
    backlog_bytes: int = 0
    oldest_unacked_seconds: float = 0.0


class _Node:
    """A spool of 100 MB with two sinks."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.blocked = False
        self.disk_room = 10**12
        self.fast, self.slow = _Feed(), _Feed()
        self.pace = Pace(
            {"fast": self.fast, "slow": self.slow},
            100 * MB,
            lambda: self.blocked,
            lambda: self.disk_room,
            lambda: self.now,
        )
        self.pace.look()

    def run(self, seconds: float, slow: float = 0.0) -> None:
        """So many seconds with the slow sink's backlog growing by so many bytes a second."""
        for _ in range(int(seconds / TICK)):
            self.now += TICK
            self.slow.backlog_bytes = max(0, int(self.slow.backlog_bytes + slow * TICK))
            self.slow.oldest_unacked_seconds = TICK + 1 if self.slow.backlog_bytes else 0.0
            self.pace.look()


def test_nothing_that_moves_never_fills_and_is_drained() -> None:
    node = _Node()
    assert (node.pace.full_in(), node.pace.drained_in("slow")) == (math.inf, 0.0)
    node.run(600)
    assert (node.pace.full_in(), node.pace.drained_in("slow")) == (math.inf, 0.0)


def test_a_backlog_that_grows_fills_the_spool_when_its_room_is_used_up() -> None:
    """40 MB wait and 1 MB comes a second: 60 seconds are left, and the sink does not catch up."""
    node = _Node()
    node.run(40, slow=MB)
    assert node.pace.full_in() == 60
    assert node.pace.drained_in("slow") == math.inf
    assert node.pace.drained_in("fast") == 0


def test_a_backlog_that_shrinks_is_drained_in_time_and_does_not_fill() -> None:
    """60 MB wait, 0.5 MB less each second."""
    node = _Node()
    node.slow.backlog_bytes = 120 * MB
    node.run(WINDOW, slow=-0.5 * MB)
    node.run(WINDOW / 2, slow=-0.5 * MB)
    assert node.slow.backlog_bytes == 30 * MB
    assert node.pace.drained_in("slow") == 60
    assert node.pace.full_in() == math.inf


def test_the_pace_is_that_of_the_last_minutes() -> None:
    """An hour of standstill before it does not count."""
    node = _Node()
    node.run(3600)
    node.run(WINDOW, slow=0.1 * MB)
    assert node.pace.full_in() == (100 - 0.1 * WINDOW) / 0.1


def test_one_burst_is_averaged() -> None:
    """10 MB at once: at that pace over the window."""
    node = _Node()
    node.run(WINDOW)
    node.slow.backlog_bytes = 10 * MB
    node.run(TICK)
    assert node.pace.full_in() == 90 / (10 / WINDOW)


def test_a_spool_that_is_blocked_is_full() -> None:
    node = _Node()
    node.run(10, slow=MB)
    node.blocked = True
    assert node.pace.full_in() == 0


def test_a_disk_with_less_room_than_the_spool_is_full_first() -> None:
    node = _Node()
    node.run(40, slow=MB)
    node.disk_room = 12 * MB
    assert node.pace.full_in() == 12


def test_a_backlog_larger_than_the_limit_is_full_and_not_negative() -> None:
    """``max_bytes`` may be smaller after a restart."""
    node = _Node()
    node.run(200, slow=MB)
    assert node.pace.full_in() == 0


def test_what_has_just_come_is_no_backlog() -> None:
    """A busy sink always has something on its way."""
    node = _Node()
    node.run(60)
    node.slow.backlog_bytes, node.slow.oldest_unacked_seconds = MB, CAUGHT_UP / 2
    assert node.pace.drained_in("slow") == 0


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2**50)), min_size=1))
def test_a_trend_keeps_what_the_window_needs_and_no_more(steps: list[tuple[int, int]]) -> None:
    trend, now = Trend(), 0
    for wait, amount in steps:
        now += wait
        trend.look(now, amount)
        assert math.isfinite(trend.rate)
        assert trend._looks[-1] == (now, amount)
        assert len(trend._looks) <= 2 or trend._looks[1][0] > now - WINDOW
