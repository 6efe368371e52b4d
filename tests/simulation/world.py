"""The scheduler of a simulated world: one thing happens at a time, and a seed decides which.

What can happen: the next callback of some process's event loop, the next stretch of one of its threads (between two
disk operations), an event of the world itself (a message arrives, a fault begins). Each is a step. While something can
happen time hardly moves; else it leaps to what is due next. shipper reads time, randomness and threads from here while
``installed``; its own code is what runs in production.
"""

import asyncio
import heapq
import io
import os
import random
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, cast
from unittest import mock
from zlib import crc32

from simulation.process import Process
from simulation.strands import Carrier, Condition, Strand, Thread

from shipper import log

_STEP: Final = 2e-6
"""Seconds that a step takes."""
_LATEST: Final = 40


class Broken(AssertionError):
    """A promise was broken, or something happened that must not."""


class _Said(io.StringIO):
    """Keeps the last lines of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=_LATEST)

    def write(self, text: str) -> int:
        """See ``StringIO``."""
        self.lines.append(text)
        return len(text)


class World:
    """All machines, and their time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(f"world {seed}")
        self._bytes = random.Random(f"bytes {seed}")
        self.now = 0.0
        """Seconds since it began."""
        self.steps = 0
        self.trace = 0
        """A checksum over all that happened, in order."""
        self.latest: deque[str] = deque(maxlen=_LATEST)
        self.processes: list[Process] = []
        """Those that live."""
        self.running: Process | None = None
        """Whose code runs now."""
        self.strand: Strand | None = None
        """Whose thread that is; None: the event loop's."""
        self.carriers: list[Carrier] = []
        """Threads that carry nothing."""
        self._events: list[tuple[float, int, str, Callable[[], object]]] = []
        self._number = 0
        self._complaints: list[str] = []
        self.said = _Said()
        """What shipper logged."""

    # What processes and faults do

    def at(self, delay: float, what: str, action: Callable[[], object]) -> None:
        """Have something happen after so many seconds."""
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, what, action))

    def complain(self, text: str) -> None:
        """Something happened that must not: the run fails."""
        self._complaints.append(text)

    def note(self, what: str) -> None:
        """Put something into the trace."""
        self.trace = crc32(what.encode(), self.trace)
        self.latest.append(what)

    def carrier(self) -> Carrier:
        """A thread that carries nothing."""
        return self.carriers.pop() if self.carriers else Carrier()

    def resume(self, strand: Strand) -> None:
        """Let a thread run to its next pause."""
        self.running, self.strand = strand.process, strand
        strand.ready = True
        strand.wake_at = None
        strand.carrier.resume()
        self.running = self.strand = None

    @contextmanager
    def as_running(self, process: Process) -> Iterator[None]:
        """Code that runs here is the process's."""
        self.running = process
        asyncio._set_running_loop(cast(Any, process.loop))
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            self.running = None

    # Steps

    def run(self, done: Callable[[], object], most_seconds: float, most_steps: int = 1 << 60) -> bool:
        """Go on until ``done``, looked at between steps; False: it did not come true within the limits.

        :raises Broken: something happened that must not.
        """
        end, last = self.now + most_seconds, self.steps + most_steps
        while not done():
            if self.now >= end or self.steps >= last or not self._step(end):
                return bool(done())
        return True

    def _step(self, end: float) -> bool:
        choices: list[Process | Strand | None] = []
        soonest = end
        for process in self.processes:
            if process.machine.asleep_since is None:
                for at, choice in process.choices():
                    if at <= self.now:
                        choices.append(choice)
                    elif at < soonest:
                        soonest = at
        if self._events and self._events[0][0] <= self.now:
            choices.append(None)
        elif self._events:
            soonest = min(soonest, self._events[0][0])
        if not choices:
            self.now = soonest + 1e-9  # beyond what floating point makes of it
            return True
        self.steps += 1
        self.now += _STEP
        self._do(choices[0] if len(choices) == 1 else choices[self.dice.randrange(len(choices))])
        if self._complaints:
            raise Broken("; ".join(self._complaints))
        return True

    def _do(self, choice: "Process | Strand | None") -> None:
        if choice is None:
            _, _, what, action = heapq.heappop(self._events)
            self.note(what)
            action()
        elif isinstance(choice, Strand):
            self.note(f"{choice.process.name} thread")
            self.resume(choice)
            if choice.done:
                choice.process.strands.remove(choice)
                self.carriers.append(choice.carrier)
        else:
            self.note(choice.name)
            choice.loop.take_due()
            handle = choice.loop.ready.popleft()
            if not handle.cancelled():
                with self.as_running(choice):
                    handle._run()

    # Around it

    def monotonic(self) -> float:
        """In place of ``time.monotonic``."""
        return self.now if self.running is None else self.running.monotonic()

    def time(self) -> float:
        """In place of ``time.time``."""
        return self.now if self.running is None else self.running.machine.time()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Time, chance and threads of shipper come from here; at the end nothing of the world is left."""
        before = random.getstate()
        threads = types.SimpleNamespace(Condition=partial(Condition, self), Thread=partial(Thread, self))
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(time, "monotonic", self.monotonic))
            stack.enter_context(mock.patch.object(time, "time", self.time))
            stack.enter_context(mock.patch.object(os, "urandom", self._bytes.randbytes))
            stack.enter_context(mock.patch("shipper.spool.writer.threading", threads))
            log.configure(level="error", stream=self.said, force_json=True)
            random.seed(self.seed)
            try:
                yield
            finally:
                for process in list(self.processes):
                    process.kill()
                for carrier in self.carriers:
                    carrier.resume()
                    carrier.join()
                random.setstate(before)
                log.configure()
