"""How long ago frames became durable, to about a second."""

import bisect
import time
from collections import deque
from typing import Final

_KEPT: Final = 3600
"""Notes that are kept, at most one a second: what is older than the first is as old as that."""


class Ages:
    """Those of one spool's frames since its opening."""

    def __init__(self, next_seq: int) -> None:
        self._notes: deque[tuple[int, float]] = deque([(next_seq, time.monotonic())], maxlen=_KEPT)
        """Each says that the frames before this number were durable at this time."""

    def reached(self, next_seq: int) -> None:
        """All before this number is durable now."""
        now = time.monotonic()
        if now - self._notes[-1][1] >= 1.0:
            self._notes.append((next_seq, now))

    def of(self, seq: int) -> float:
        """Seconds since a frame became durable."""
        at = bisect.bisect_right(self._notes, seq, key=lambda note: note[0])
        return time.monotonic() - self._notes[max(0, at - 1)][1]
