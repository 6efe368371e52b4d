"""What happens to log files and to the hints about them, with kills in between: rotation storms, inode numbers that are
used again, events of the kernel that are lost.
"""

import ctypes
import gzip
import os
import shutil
import signal
import struct
import tempfile
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from faults.couple import Couple
from faults.fleet import Fleet
from faults.load import Load
from faults.row import Outcome, Row, Run

NAMES: Final = [f"app{number}" for number in range(5)]
MANY: Final = [f"app{number}" for number in range(10)]
RATE: Final = 20_000
"""Lines a second in the heavy storm, ..."""
BETWEEN: Final = 6.0
"""... in which so many seconds pass from one kill to the next."""
CHECK: Final = 1500
"""Rotations after which all that arrived is judged, and the rotated files go: a directory never holds many more."""
QUEUE: Final = Path("/proc/sys/fs/inotify/max_queued_events")
MOST: Final = 200_000
"""Events that are made to overflow a queue; a system that keeps more is not tried."""
CREATED, DELETED, OVERFLOW = 0x100, 0x200, 0x4000


class Turning(Load):
    """Counts the rotations."""

    rotations = 0

    def _turn(self, name: str, handle: FileIO) -> FileIO:
        self.rotations += 1
        return super()._turn(name, handle)


class Packing(Turning):
    """Compresses what it rotated, as logrotate does: the new file is there before."""

    def _turn(self, name: str, handle: FileIO) -> FileIO:
        new = super()._turn(name, handle)
        old = Path(f"{self._logs[name]}.{self._rotated}")
        with old.open("rb") as plain, gzip.open(f"{old}.gz", "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed)
        old.unlink()
        return new


def storm(run: Run, kind: type[Turning]) -> Outcome:
    """Five files, each rotated five times a second; the agent, sometimes the collector, is killed meanwhile."""
    outcome = Outcome(run.injections, 0, 0)
    couple = Couple(run.place)
    load = kind(couple.logs, run.dice, NAMES, rate=2000, rotate=0.2)
    couple.start()
    load.start()
    couple.resumed()
    load.known.set()
    checked = 0
    for number in range(1, run.injections + 1):
        time.sleep(run.dice.uniform(0.1, 1.0))
        victim = couple.agent if run.dice.random() < 0.8 else couple.collector
        outcome.fired += victim.running
        victim.kill()
        time.sleep(run.dice.choice([0, 0, run.dice.uniform(0, 1.5)]))  # several rotations while it is down
        victim.start()
        outcome.recover.append(couple.resumed())
        if load.rotations >= checked + CHECK:
            checked = load.rotations
            if couple.is_bad(outcome, load, f"{number} kills"):
                break
    outcome.notes.append(f"{load.rotations} rotations")
    return couple.finish(outcome, load)


def heavy_storm(run: Run, kind: type[Turning]) -> Outcome:
    """As many lines as a busy node has, in ten files that are each rotated five times a second; the agent is killed."""
    outcome = Outcome(run.injections, 0, 0)
    couple = Couple(run.place)
    load = kind(couple.logs, run.dice, MANY, rate=RATE, rotate=0.2)
    couple.start()
    load.start()
    couple.resumed()
    load.known.set()
    begin, before = time.monotonic(), load.total
    for number in range(run.injections):
        time.sleep(max(0, begin + BETWEEN * number + run.dice.uniform(0.5, 0.7 * BETWEEN) - time.monotonic()))
        outcome.fired += couple.agent.running
        couple.agent.kill()
        time.sleep(run.dice.choice([0, run.dice.uniform(0, 1.5)]))
        couple.agent.start()
        outcome.recover.append(couple.resumed())
    time.sleep(max(0, begin + BETWEEN * run.injections - time.monotonic()))
    seconds, lines = time.monotonic() - begin, load.total - before
    outcome.notes.append(f"{lines:,} lines and {load.rotations:,} rotations in {seconds:.0f} s")
    return couple.finish(outcome, load)


def inodes_again(run: Run) -> Outcome:
    """A file that was read goes while the agent is down, and another one gets its number: shorter or longer, under the
    same name or another.
    """
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    collector, agent = fleet.collector("collector"), fleet.agent("agent", "collector")
    fleet.up(collector, agent)
    for number in range(run.injections):
        log = f"app{number % 3}"
        fleet.write("agent", log, run.dice.randrange(1, 300))
        fleet.wait("collector")
        fleet.rest(agent, run.dice)
        path = fleet.logs("agent") / f"{log}.log"
        inode = path.stat().st_ino
        path.unlink()
        new = log if run.dice.random() < 0.6 else f"other{number}"
        if take_inode(inode, fleet.logs("agent") / f"{new}.log"):
            outcome.fired += 1
        fleet.write("agent", new, run.dice.randrange(1, 300))
        begin = time.monotonic()
        agent.start()
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begin)
    fleet.stop(agent, collector)
    return fleet.judge(outcome, "collector", audited=["agent", "collector"])


def take_inode(inode: int, path: Path) -> bool:
    """Make an empty file, with this number if the file system gives it. Whether it did."""
    made: list[Path] = []
    for number in range(200):
        made.append(path.with_suffix(f".{number}"))
        made[-1].touch()
        if made[-1].stat().st_ino == inode:
            break
    made[-1].rename(path)
    for other in made[:-1]:
        other.unlink()
    return path.stat().st_ino == inode


def no_inodes_again() -> str | None:
    """Why no number is used again here."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "first")
        path.touch()
        inode = path.stat().st_ino
        path.unlink()
        return None if take_inode(inode, path) else f"the file system of {name} gives no inode number twice"


class Queue:
    """A queue of kernel events about a folder that nobody reads: it overflows when that of the agent does."""

    def __init__(self, folder: Path) -> None:
        self._libc: Final = ctypes.CDLL(None, use_errno=True)
        self._descriptor: Final[int] = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._descriptor >= 0, os.strerror(ctypes.get_errno())
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), CREATED | DELETED)
        assert watch >= 0, os.strerror(ctypes.get_errno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def overflowed(self) -> bool:
        """Whether events were lost; it reads all that are there."""
        masks = []
        with suppress(BlockingIOError):
            while data := os.read(self._descriptor, 1 << 16):
                at = 0
                while at < len(data):
                    _, mask, _, size = struct.unpack_from("iIII", data, at)
                    masks.append(mask)
                    at += 16 + size
        return any(mask & OVERFLOW for mask in masks)


def events_lost(run: Run) -> Outcome:
    """The agent stands still while more happens in its folder than the kernel keeps; what it hears nothing of then is
    a rotation, a new file, and lines in another one.
    """
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    logs = fleet.logs("agent")
    collector, agent = fleet.collector("collector"), fleet.agent("agent", "collector")
    fleet.up(collector, agent)
    fleet.write("agent", "app0", 100)
    fleet.write("agent", "app1", 100)
    for number in range(run.injections):
        fleet.wait("collector")
        agent.signal(signal.SIGSTOP)
        with Queue(logs) as queue:
            for event in range(int(QUEUE.read_text()) // 2 + 100):
                (logs / f"{event}.tmp").touch()
                (logs / f"{event}.tmp").unlink()
            outcome.fired += queue.overflowed()
        fleet.write("agent", "app0", 50)
        (logs / "app0.log").rename(logs / f"app0.log.{number}")
        fleet.write("agent", "app0", 100)
        fleet.write("agent", "app1", 100)
        fleet.write("agent", f"new{number}", 100)
        begin = time.monotonic()
        agent.signal(signal.SIGCONT)
        if run.dice.random() < 0.5:
            time.sleep(run.dice.uniform(0, 0.3))
            agent.kill()
            agent.start()
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begin)
    fleet.stop(agent, collector)
    return fleet.judge(outcome, "collector", audited=["agent", "collector"])


def no_overflow() -> str | None:
    """Why no queue of events can be made to overflow."""
    if not QUEUE.exists():
        return "there is no inotify"
    return None if int(QUEUE.read_text()) <= MOST else f"the system keeps {QUEUE.read_text().strip()} events"


ROWS = [
    Row(
        "rotation storm, renamed",
        "Five files are each renamed five times a second; the agent, sometimes the collector, is killed meanwhile.",
        "once",
        lambda run: storm(run, Turning),
        short=6,
        long=300,
    ),
    Row(
        "rotation storm, compressed",
        "The same, and each rotated file is compressed and deleted.",
        "once",
        lambda run: storm(run, Packing),
        short=6,
        long=300,
    ),
    Row(
        "heavy rotation storm, renamed",
        "Ten files, 20,000 lines a second in all, are each renamed five times a second; the agent is killed every six "
        "seconds.",
        "once",
        lambda run: heavy_storm(run, Turning),
        short=1,
        long=10,
        every=True,
    ),
    Row(
        "heavy rotation storm, compressed",
        "The same, and each rotated file is compressed and deleted.",
        "once",
        lambda run: heavy_storm(run, Packing),
        short=1,
        long=10,
        every=True,
    ),
    Row(
        "inode numbers used again",
        "A file that was read is deleted while the agent is down, and another file gets its inode number.",
        "once",
        inodes_again,
        short=5,
        long=200,
        needs=no_inodes_again,
    ),
    Row(
        "events of the kernel lost",
        "The agent's inotify queue overflows before a file is rotated, another one made and a third one written to; "
        "kill -9 soon after, sometimes.",
        "once",
        events_lost,
        short=3,
        long=60,
        needs=no_overflow,
        every=True,
    ),
]
