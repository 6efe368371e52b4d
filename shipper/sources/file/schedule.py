"""Whose turn it is. No I/O and no clock: times come in as arguments.

A tail is ``OUT``: nobody follows it, or ``AWAY``: the reader has it (nobody else closes its file or moves it); or it
is in one of three stages:

- ``READY``: it has bytes to read. Ready tails take turns, so that one hot file does not starve the others.
- ``RESTING``: it was read a moment ago; until ``due`` more bytes may gather for a larger frame.
- ``IDLE``: nothing to read; a watch or the next rescan wakes it. It is due when what it holds back is to be read
  although nothing more came (``tail.flush_at``), or when it was told to be.
"""

import heapq
import math
from collections import deque
from typing import Final

from shipper.sources.file.tail import Tail

OUT: Final = 0
READY: Final = 1
RESTING: Final = 2
IDLE: Final = 3
AWAY: Final = 4
TICK: Final = 0.1
"""Seconds between looks at a tail whose next frame is not due: it may be full before."""


class Schedule:
    """The stages of the tails of one source. ``tail.stage`` and ``tail.due`` are written here alone."""

    def __init__(self) -> None:
        self._ready: deque[Tail] = deque()
        self._timers: list[tuple[float, int, Tail]] = []
        self._count = 0

    def ready(self, tail: Tail) -> None:
        """It has bytes to read: at the end of the queue, unless it is in it."""
        if tail.stage != READY:
            tail.stage = READY
            tail.due = math.inf
            self._ready.append(tail)

    def rest(self, tail: Tail, until: float) -> None:
        """It was read; it is due again at ``until``."""
        self._wait(tail, RESTING, until)

    def wake(self, tail: Tail, now: float) -> None:
        """An idle tail may have bytes to read. After a quiet spell it is its turn at once."""
        if tail.stage == IDLE:
            self.gather(tail, now) if now < tail.paced else self.ready(tail)

    def gather(self, tail: Tail, now: float) -> None:
        """Its next frame is not due yet; look again whether it is full, at the latest when it is due."""
        self._wait(tail, RESTING, min(tail.paced, now + TICK))

    def idle(self, tail: Tail, until: float = math.inf) -> None:
        """It has nothing to read; it is due at ``until``, or before that when its half line or open record is."""
        self._wait(tail, IDLE, min(until, tail.flush_at))

    def remove(self, tail: Tail) -> None:
        """It is not followed any more."""
        tail.stage, tail.due = OUT, math.inf

    def away(self, tail: Tail) -> None:
        """The reader has it, until one of the other methods says what it does next."""
        tail.stage, tail.due = AWAY, math.inf

    def take(self) -> Tail | None:
        """The tail whose turn it is; it leaves the queue."""
        while self._ready:
            tail = self._ready.popleft()
            if tail.stage == READY:
                self.away(tail)
                return tail
        return None

    def take_all(self, now: float) -> list[Tail]:
        """The ready tails in their order, then the resting ones whose time has come; ``ready`` puts each back."""
        rested = [tail for due, _, tail in sorted(self._timers) if tail.stage == RESTING and tail.due == due <= now]
        for tail in rested:
            self.ready(tail)
        return list(iter(self.take, None))

    def peek(self) -> Tail | None:
        """The tail that ``take`` would give."""
        return self._ready[0] if self.has_ready else None

    def due(self, now: float) -> list[Tail]:
        """The resting and idle tails whose time has come, in order; each is given once, its stage stays."""
        found = []
        while self._timers and self._timers[0][0] <= now:
            due, _, tail = heapq.heappop(self._timers)
            if tail.due == due:
                tail.due = math.inf
                found.append(tail)
        return found

    @property
    def has_ready(self) -> bool:
        """Whether ``take`` has something to give."""
        while self._ready and self._ready[0].stage != READY:
            self._ready.popleft()
        return bool(self._ready)

    @property
    def next_due(self) -> float:
        """When ``due`` has something to give; infinity for never."""
        while self._timers and self._timers[0][2].due != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _wait(self, tail: Tail, stage: int, until: float) -> None:
        tail.stage, tail.due = stage, until
        if until < math.inf:
            self._count += 1
            heapq.heappush(self._timers, (until, self._count, tail))
