"""How long to wait after failures in a row: exponential with full jitter. Sans-IO."""

import random
from collections.abc import Callable

from shipper.sinks.base import Backoff


class Delays:
    """The waits between the attempts of one delivery.

    Full jitter: a random time between 0 and a cap, and the cap doubles a failure. A thousand agents whose collector
    comes back do not knock all at once, and the first retry after a hiccup comes at once.
    """

    def __init__(self, config: Backoff, uniform: Callable[[float, float], float] = random.uniform) -> None:
        """``uniform(a, b)`` gives a random number between its arguments."""
        self._config = config
        self._uniform = uniform
        self.failures = 0
        """Failures since the last ``reset``."""

    @property
    def cap(self) -> float:
        """The longest that the next wait can be, in seconds."""
        doublings = min(self.failures, 64)  # 2.0**1024 would overflow; 64 are centuries
        return min(self._config.max, self._config.min * 2.0**doublings)

    def next(self) -> float:
        """Note a failure; the seconds to wait before the next attempt."""
        wait = self._uniform(0.0, self.cap)
        self.failures += 1
        return wait

    def reset(self) -> None:
        """The far side took something: the next failure is a first one."""
        self.failures = 0
