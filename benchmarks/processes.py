"""Processes under measurement: one core each, CPU seconds of the whole tree, memory. Linux only (``/proc``)."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_POLL: Final = 0.02
_KIB: Final = 1024
_SPARE: Final = 1 << 30
_CPUCLOCK_SCHED: Final = 2
_NOT_A_CHILDS: Final = ("GRPC_", "PYTHONDONTWRITEBYTECODE")
"""The parts of shipper that the bench uses set gRPC's variables for themselves. And what pip installs is compiled."""


class BenchError(Exception):
    """A workload could not be run; the message says why."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: the measured process alone on one core, everything else on another (if there is one)."""

    measured: int
    other: int

    @classmethod
    def choose(cls) -> "Cores":
        """The first and the last core that this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[-1])


@dataclass(frozen=True)
class Memory:
    """In bytes."""

    rss: int
    pss: int


@dataclass(frozen=True)
class Usage:
    """What a process took from start to end."""

    cpu: float
    """Seconds, user + sys, of it and of the children that it waited for."""
    user: float
    wall: float
    peak_rss: int
    """Bytes (VmHWM), as last seen."""


class Child:
    """A process pinned to one core."""

    def __init__(self, command: Sequence[str], core: int, log: Path, *, stdout: int | None = None) -> None:
        """Start it; its stderr (and stdout, unless given) goes to ``log``."""
        self.command = list(command)
        self.log = log
        here = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # a child inherits it
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output if stdout is None else stdout,
                    stderr=output,
                    cwd=log.parent,
                    env={name: value for name, value in os.environ.items() if not name.startswith(_NOT_A_CHILDS)},
                )
        finally:
            os.sched_setaffinity(0, here)
        self.started = time.monotonic()
        self.pid = self._process.pid
        self.stdout = self._process.stdout
        self._usage: Usage | None = None

    def cpu(self) -> float:
        """CPU seconds so far, of it, its living descendants and those that were waited for."""
        return sum(_cpu_of(pid) for pid in _tree(self.pid))

    def own_cpu(self) -> float:
        """CPU seconds so far of the process alone, in nanoseconds where ``cpu`` counts ticks of 10 ms: for idle ones.

        :raises BenchError: it has ended.
        """
        try:
            return time.clock_gettime(~self.pid << 3 | _CPUCLOCK_SCHED)  # as clock_getcpuclockid(3) makes it
        except OSError as error:
            raise BenchError(f"{self} has ended\n{self.tail()}") from error

    def memory(self) -> Memory:
        """RSS and PSS of it and its descendants now."""
        rss = pss = 0
        for pid in _tree(self.pid):
            fields = _fields(f"/proc/{pid}/smaps_rollup")
            rss += fields.get("Rss", 0)
            pss += fields.get("Pss", 0)
        return Memory(rss, pss)

    def peak_rss(self) -> int:
        """The largest RSS so far, of the process itself."""
        return _fields(f"/proc/{self.pid}/status").get("VmHWM", 0)

    def wait(self, timeout: float) -> Usage:
        """Wait for its end.

        :raises BenchError: it failed, or did not end in time.
        """
        if self._usage is None:
            deadline = time.monotonic() + timeout
            peak = 0
            while True:
                peak = max(peak, self.peak_rss())
                ended, status, rusage = os.wait4(self.pid, os.WNOHANG)
                if ended:
                    break
                if time.monotonic() > deadline:
                    self.kill()
                    raise BenchError(f"{self} did not end within {timeout:g} s\n{self.tail()}")
                time.sleep(_POLL)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            if self._process.returncode != 0:
                raise BenchError(f"{self} ended with {self._process.returncode}\n{self.tail()}")
            wall = time.monotonic() - self.started
            self._usage = Usage(rusage.ru_utime + rusage.ru_stime, rusage.ru_utime, wall, peak)
        return self._usage

    def stop(self, timeout: float) -> Usage:
        """Ask it to end (SIGTERM) and wait."""
        if self._usage is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """End it at once, if it lives."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def alive(self) -> bool:
        """It has not ended."""
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT  # leaves it for wait4, which alone tells what it used
        return self._process.returncode is None and os.waitid(os.P_PID, self.pid, ended) is None

    def tail(self) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def __str__(self) -> str:
        return " ".join(self.command)


def need_room(folder: Path, size: int) -> None:
    """:raises BenchError: the disk has no room for so many bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise BenchError(f"{folder} needs {(size + _SPARE) / 1e9:.0f} GB of disk, {free / 1e9:.0f} GB are free (--dir)")


def _tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # a thread that has ended since
    return found


def _cpu_of(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    user, system, child_user, child_system = map(int, stat.rpartition(")")[2].split()[11:15])
    return (user + system + child_user + child_system) / _TICK


def _fields(path: str) -> dict[str, int]:
    """``Name:   123 kB`` lines, in bytes. Nothing once the process has ended."""
    try:
        text = Path(path).read_text()
    except OSError:
        return {}
    pairs = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * _KIB for words in pairs}
