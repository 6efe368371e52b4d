"""The circuit breaker: a sink that fails again and again is left alone for a while, then tried once. Sans-IO.

    closed ──(failure ratio of a full window reached, or trip)──▶ open ──(open_for passed)──▶ half-open
      ▲                                                            ▲                             │
      └──────────────────────────── success ──────────────────────┼─────────────────────────────┤
                                                                   └────────── failure ──────────┘

Time comes from the clock that the caller passes (monotonic seconds); the breaker never waits by itself.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum

from shipper.sinks.base import Breaker


class BreakerState(Enum):
    """The numbers are those of the metric ``shipper_sink_breaker_state``."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Counts the outcome of attempts and says when the next one may be made."""

    def __init__(self, config: Breaker, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=max(1, config.window))
        self._open_until = 0.0
        self.state = BreakerState.CLOSED

    @property
    def wait(self) -> float:
        """Seconds until an attempt is allowed; 0 while the breaker is not open."""
        if self.state is not BreakerState.OPEN:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def attempt(self) -> None:
        """An attempt begins; ``wait`` must be over. From open it is the one trial of half-open."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN

    def success(self) -> None:
        """The attempt reached the far side."""
        if self.state is BreakerState.HALF_OPEN:
            self._outcomes.clear()  # what failed before the far side came back says nothing about it now
            self.state = BreakerState.CLOSED
        self._outcomes.append(True)

    def failure(self) -> None:
        """The attempt failed."""
        self._outcomes.append(False)
        full = len(self._outcomes) == self._outcomes.maxlen
        share = self._outcomes.count(False) / len(self._outcomes)
        if self.state is BreakerState.HALF_OPEN or (full and share >= self._config.failure_ratio):
            self.trip()

    def trip(self) -> None:
        """Open now, whatever the window says: trying again soon is of no use."""
        self.state = BreakerState.OPEN
        self._open_until = self._clock() + self._config.open_for
