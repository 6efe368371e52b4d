"""Time to full and time to drain, from how fast backlogs grew or shrank in the last minutes.

A backlog is the bytes behind a sink's cursor. Its change over ``WINDOW`` says at what pace it grows (what came in
faster than the sink acknowledged) or shrinks. The spool is full when the largest backlog is as large as the spool (what
is behind every cursor is reclaimed), or when the disk has no more room for it. All times are of a monotonic clock,
which stands still while a machine sleeps.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

WINDOW: Final = 120.0
"""Seconds over which the pace is taken; until they have passed it is taken since the start."""
TICK: Final = 5.0
"""Seconds between two looks."""
CAUGHT_UP: Final = 5.0
"""A sink whose oldest frame is younger than this has caught up: what waits has only just come."""


class Backlog(Protocol):
    """What is asked of a sink's view of the spool."""

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the sink."""
        ...

    @property
    def oldest_unacked_seconds(self) -> float:
        """Age of the oldest frame that waits for it."""
        ...


class Trend:
    """How fast an amount changed over the last ``WINDOW`` seconds."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()

    def look(self, now: float, amount: float) -> None:
        """It was ``amount`` at ``now``, which never goes back."""
        self._looks.append((now, amount))
        while len(self._looks) > 2 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()

    @property
    def rate(self) -> float:
        """Change a second; 0 before the second look."""
        if len(self._looks) < 2:
            return 0.0
        (then, before), (now, after) = self._looks[0], self._looks[-1]
        return (after - before) / (now - then) if now > then else 0.0


class Pace:
    """Looks at all backlogs now and then, and says how long it takes at this pace."""

    def __init__(
        self,
        backlogs: Mapping[str, Backlog],
        max_bytes: int,
        blocked: Callable[[], bool],
        disk_room: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``blocked``: the spool takes nothing now. ``disk_room``: bytes that it may still take of the disk."""
        self.loop_lag = 0.0
        """Seconds that the event loop came late to the last look."""
        self._backlogs = backlogs
        self._max_bytes = max_bytes
        self._blocked = blocked
        self._disk_room = disk_room
        self._clock = clock
        self._held = Trend()
        self._trends = {name: Trend() for name in backlogs}

    def look(self) -> None:
        """Take note of every backlog as it is now."""
        now = self._clock()
        for name, backlog in self._backlogs.items():
            self._trends[name].look(now, backlog.backlog_bytes)
        self._held.look(now, self._largest())

    async def run(self) -> None:
        """Look every ``TICK`` seconds until cancelled."""
        while True:
            self.look()
            due = self._clock() + TICK
            await asyncio.sleep(TICK)
            self.loop_lag = max(0.0, self._clock() - due)

    def full_in(self) -> float:
        """Seconds until the spool is full; 0 when it is, infinite while it does not fill."""
        if self._blocked():
            return 0.0
        rate = self._held.rate
        if rate <= 0:
            return math.inf
        return max(0, min(self._max_bytes - self._largest(), self._disk_room())) / rate

    def drained_in(self, sink: str) -> float:
        """Seconds until that sink has caught up; 0 when it has, infinite while its backlog does not shrink."""
        backlog = self._backlogs[sink]
        if backlog.oldest_unacked_seconds < CAUGHT_UP:
            return 0.0
        rate = self._trends[sink].rate
        return backlog.backlog_bytes / -rate if rate < 0 else math.inf

    def _largest(self) -> int:
        return max(backlog.backlog_bytes for backlog in self._backlogs.values())
