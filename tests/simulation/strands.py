"""Threads of simulated processes: real ones, of which at most one runs, and only while the scheduler waits for it.

The scheduler resumes a strand; the strand runs to its next pause (a disk operation, a wait) and hands control back.
Which one is next is the scheduler's choice, so that a seed decides how threads interleave. A strand of a process that
ended is resumed once more, and unwinds by ``Crash``.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from support.simdisk import Crash

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World


class Carrier(threading.Thread):
    """A real thread; it carries one strand after the other."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="simulated")
        self.work: Callable[[], object] | None = None
        self._go = threading.Lock()
        self._back = threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self.start()

    def resume(self) -> None:
        """The scheduler's: let it run to its next pause."""
        self._go.release()
        self._back.acquire()

    def pause(self) -> None:
        """The thread's own: hand control back."""
        self._back.release()
        self._go.acquire()

    def run(self) -> None:
        """See ``Thread``: work until resumed without any."""
        self._go.acquire()
        while self.work is not None:
            self.work()
            self.work = None
            self.pause()
        self._back.release()


class Strand:
    """One thread of a simulated process."""

    def __init__(self, process: "Process", work: Callable[[], object], carrier: Carrier) -> None:
        self.process = process
        self.done = False
        self.ready = True
        """It may go on now."""
        self.wake_at: float | None = None
        """When it goes on by itself, on the process's monotonic clock."""
        self._work = work
        self.carrier = carrier
        self._joining: list[Strand] = []
        carrier.work = self._run

    def _run(self) -> None:
        try:
            if not self.process.dead:
                self._work()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - no thread of shipper may end like this: the run fails
            self.process.world.complain(f"{self.process.name}: a thread ended with {error!r}")
        self.done = True
        for other in self._joining:
            other.wake()

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run, for so long at least. :raises Crash: the process ended meanwhile."""
        if seconds > 0:
            self.ready = False
            self.wake_at = self.process.monotonic() + seconds
        self._hand_over()

    def sleep(self, seconds: float | None) -> None:
        """Until ``wake`` is called, so long at most. :raises Crash: the process ended meanwhile."""
        self.ready = False
        self.wake_at = None if seconds is None else self.process.monotonic() + max(0.0, seconds)
        self._hand_over()

    def _hand_over(self) -> None:
        if not self.process.dead:
            self.carrier.pause()
        if self.process.dead:
            raise Crash

    def wake(self) -> None:
        """It may go on."""
        self.ready = True
        self.wake_at = None

    def join(self, by: "Strand") -> None:
        """Called on ``by``: wait until this one has ended."""
        while not self.done:
            self._joining.append(by)
            by.sleep(None)


class Condition:
    """A ``threading.Condition`` of strands. What it guards never pauses, so its lock has nothing to do."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: list[Strand] = []

    def __enter__(self) -> None:
        """Take the lock."""

    def __exit__(self, *_: object) -> None:
        """Give it back."""

    def notify(self) -> None:
        """Wake one that waits."""
        if self._waiting:
            self._waiting.pop(0).wake()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for ``notify``."""
        strand = self._world.strand
        assert strand is not None, "the event loop's thread must not wait"
        self._waiting.append(strand)
        try:
            strand.sleep(timeout)
        finally:
            if strand in self._waiting:
                self._waiting.remove(strand)


class Thread:
    """A ``threading.Thread`` of the process that starts it."""

    def __init__(self, world: "World", *, target: Callable[[], object], name: str, daemon: bool) -> None:
        self._world = world
        self._target = target
        self._strand: Strand | None = None

    def start(self) -> None:
        """Begin."""
        process = self._world.running
        assert process is not None
        self._strand = process.spawn(self._target)

    def join(self) -> None:
        """Wait for its end; called on another strand."""
        by = self._world.strand
        assert self._strand is not None
        assert by is not None
        self._strand.join(by)
