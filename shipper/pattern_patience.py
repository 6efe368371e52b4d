"""How much time a regular expression has for texts that take it long, all of them together. Sans-IO.

A deadline bounds one match. A source of nothing but hostile lines would still take all the time there is: a batch of
1,150 lines two minutes. So a pattern has a store of time for such matches, which fills up again slowly.
"""

import time
from collections.abc import Callable
from typing import Final

STORE: Final = 2.0
"""Seconds of CPU time. A deadline that is longer can be spent once."""
REFILL: Final = 0.05
"""This part of the time that goes by is added, up to the whole store."""


class Patience:
    """A store of seconds, full at first. Of what two threads take at once, some may go uncounted."""

    def __init__(self, store: float = STORE, clock: Callable[[], float] = time.monotonic) -> None:
        """``store``: seconds; ``clock``: what says how much time goes by."""
        self.store: Final = store
        self._clock: Final = clock
        self._left = store
        self._at = clock()

    def left(self) -> float:
        """So many seconds may be spent now."""
        now = self._clock()
        self._left = min(self.store, self._left + (now - self._at) * REFILL)
        self._at = now
        return self._left

    def spend(self, seconds: float) -> None:
        """They are gone. More than there were is no debt."""
        self._left = max(0.0, self.left() - seconds)
