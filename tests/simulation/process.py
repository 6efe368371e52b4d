"""Simulated machines and processes: clocks, an event loop, threads; all driven by the world's scheduler."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from simulation.strands import Strand

if TYPE_CHECKING:
    from simulation.world import World


class _Future(asyncio.Future[Any]):
    """It stands in sets in the order of a seed, not of addresses in memory."""

    def __init__(self, loop: "Loop") -> None:
        self.serial = loop.number()
        super().__init__(loop=cast(Any, loop))

    def __hash__(self) -> int:
        return self.serial


class _Task(asyncio.Task[Any]):
    """As ``_Future``."""

    def __init__(self, loop: "Loop", coro: Coroutine[Any, Any, Any], name: str | None, context: Context | None) -> None:
        self.serial = loop.number()
        self.coro = coro
        super().__init__(coro, loop=cast(Any, loop), name=name, context=context)

    def __hash__(self) -> int:
        return self.serial


class Loop:
    """One process's event loop. It does not run by itself: the world takes handles from it, one at a time."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.ready: deque[asyncio.Handle] = deque()
        self.timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.tasks: dict[_Task, None] = {}
        self._numbers = 0

    def number(self) -> int:
        """Of the next future, task or timer."""
        self._numbers += 1
        return self._numbers

    def time(self) -> float:
        """As in asyncio."""
        return self._process.monotonic()

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As in asyncio."""
        handle = asyncio.Handle(callback, args, cast(Any, self), context)
        if not self._process.dead:
            self.ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As in asyncio."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio."""
        timer = asyncio.TimerHandle(when, callback, args, cast(Any, self), context)
        heapq.heappush(self.timers, (when, self.number(), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by a timer that is cancelled; it is skipped when it is due."""

    def create_future(self) -> asyncio.Future[Any]:
        """As in asyncio."""
        return _Future(self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        """As in asyncio."""
        task = _Task(self, coro, name, context)
        self.tasks[task] = None
        task.add_done_callback(lambda _: self.tasks.pop(task, None))
        return task

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """As in asyncio: on a thread of the process."""
        future = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                self.call_soon(_fail, future, error)
            else:
                self.call_soon(_resolve, future, result)

        self._process.spawn(work)
        return future

    def get_debug(self) -> bool:
        """As in asyncio."""
        return False

    def is_running(self) -> bool:
        """As in asyncio."""
        return not self._process.dead

    def is_closed(self) -> bool:
        """As in asyncio."""
        return self._process.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As in asyncio: no run passes in which this is called."""
        if not self._process.dead:
            self._process.world.complain(f"{self._process.name}: {context['message']}: {context.get('exception')!r}")

    def next_timer(self) -> float | None:
        """When the next timer is due, by ``time``."""
        while self.timers and self.timers[0][2].cancelled():
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def take_due(self) -> None:
        """Timers that are due become ready."""
        now = self.time()
        while (due := self.next_timer()) is not None and due <= now:
            self.ready.append(heapq.heappop(self.timers)[2])


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Machine:
    """What outlives a process: a name and clocks."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.wall = 0.0
        """Seconds that the wall clock is wrong."""
        self.asleep_since: float | None = None
        """The machine is suspended: its processes do nothing, and its monotonic clock stands still."""
        self._slept = 0.0

    def monotonic(self) -> float:
        """The monotonic clock, in seconds."""
        now = self.world.now if self.asleep_since is None else self.asleep_since
        return now - self._slept

    def time(self) -> float:
        """The wall clock, in seconds since 1970."""
        return 1_700_000_000.0 + self.world.now + self.wall

    def until(self, due: float) -> float:
        """The world's time at a time of the monotonic clock."""
        return due + self._slept

    def suspend(self) -> None:
        """Stand still until ``wake``."""
        if self.asleep_since is None:
            self.asleep_since = self.world.now

    def wake(self) -> None:
        """Go on."""
        if self.asleep_since is not None:
            self._slept += self.world.now - self.asleep_since
            self.asleep_since = None


class Process:
    """One life of a process on a machine."""

    def __init__(self, machine: Machine, main: Coroutine[Any, Any, None]) -> None:
        self.machine = machine
        self.world = machine.world
        self.name = machine.name
        self.dead = False
        self.loop = Loop(self)
        self.strands: list[Strand] = []
        self.main = self.loop.create_task(main)
        self.world.processes.append(self)

    def monotonic(self) -> float:
        """The machine's."""
        return self.machine.monotonic()

    def spawn(self, work: Callable[[], object]) -> Strand:
        """A thread."""
        strand = Strand(self, work, self.world.carrier())
        self.strands.append(strand)
        return strand

    def choices(self) -> "Iterator[tuple[float, Process | Strand]]":
        """What it can do next, each with the world's time from which on it can."""
        if self.loop.ready:
            yield 0.0, self
        elif (due := self.loop.next_timer()) is not None:
            yield self.machine.until(due), self
        for strand in self.strands:
            if strand.ready:
                yield 0.0, strand
            elif strand.wake_at is not None:
                yield self.machine.until(strand.wake_at), strand

    def kill(self) -> None:
        """It is gone, in the middle of whatever it did; called by the scheduler only."""
        assert self.world.running is None
        self.dead = True
        self.world.processes.remove(self)
        for strand in self.strands:
            if not strand.done:
                self.world.resume(strand)
            self.world.carriers.append(strand.carrier)
        self.strands.clear()
        with self.world.as_running(self):
            while self.loop.tasks:  # what is on its way out may begin others
                _bury(self.loop.tasks.popitem()[0])
        self.loop.ready.clear()
        self.loop.timers.clear()


def _bury(task: _Task) -> None:
    """Unwind a coroutine that nobody will ever resume: what it does on the way out reaches nothing any more."""
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - asyncio's, and not in its stubs
    for _ in range(20):
        with suppress(BaseException):  # it may await something on the way out
            task.coro.close()
            break
