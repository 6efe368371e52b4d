"""Errors of the disk, injected by strace at the system calls of a real process; and what it did, call by call."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from support.processes import wait_for

WRITES: Final = "pwritev,pwritev2"
_ALLOW: Final = "import ctypes, os, sys; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))"
ATTACHABLE: Final = [sys.executable, "-c", f"{_ALLOW}; os.execv(sys.argv[1], sys.argv[1:])"]
"""What a command is started with so that any process of its user may trace it (PR_SET_PTRACER); root may anyhow."""
_CALLS: Final = f"{WRITES},pwrite64,pread64,fdatasync,fsync,fallocate,ftruncate"
_LINE: Final = re.compile(r"(\w+)\(\d+<(.*?)>(.*)\) += (-?\d+)(.*)")


class Call(NamedTuple):
    """One system call on a file."""

    thread: int
    name: str
    path: str
    offset: int
    """Where it reads or writes; the last argument of any other call, or 0."""
    result: int
    """-1: it failed."""
    injected: bool


class Faults:
    """``rules`` as in ``strace -e inject=RULE``; what ``when=`` counts is counted for each thread by itself.

    For one start of one process, which is strace's parent and not its child: it gets its own signals.
    """

    def __init__(self, folder: Path, *rules: str) -> None:
        self._trace = folder / "trace"
        rule = [part for it in rules for part in ("-e", f"inject={it}")]
        self.inside: Final = [
            *("strace", "-D", "-f", "-ff", "-q", "-y", "-s", "0", "--seccomp-bpf"),
            *("-o", str(self._trace), "-e", f"trace={_CALLS}", *rule),
        ]
        """What the command is started with."""

    def _threads(self) -> list[Path]:
        return sorted(self._trace.parent.glob(f"{self._trace.name}.*"), key=lambda path: int(path.suffix[1:]))

    def calls(self) -> Iterator[Call]:
        """All calls so far, thread by thread, the first one first."""
        for thread in self._threads():
            for line in thread.read_text().splitlines():
                if match := _LINE.fullmatch(line):
                    name, path, rest, result, end = match.groups()
                    if name == "pwritev2":
                        rest = rest.rpartition(", ")[0]  # its flags
                    last = rest.rpartition(", ")[2]
                    yield Call(
                        int(thread.suffix[1:]),
                        name,
                        path,
                        int(last) if last.isdigit() else 0,
                        int(result),
                        "(INJECTED)" in end,
                    )

    def fired(self, word: str) -> list[Call]:
        """The calls in which a fault hit a file with ``word`` in its path."""
        return [call for call in self.calls() if call.injected and word in call.path]

    def wait_ended(self, pid: int) -> None:
        """Wait until all that the process did is written down."""
        main = self._trace.with_suffix(f".{pid}")
        wait_for(lambda: "+++ " in main.read_text(), "strace's last line")

    def unsynced(self) -> dict[str, list[Call]]:
        """By segment: the writes that no successful sync followed so far."""
        pending: dict[str, list[Call]] = {}
        for call in self.calls():
            if call.path.endswith(".seg"):
                if call.name in WRITES.split(",") or call.name == "pwrite64":
                    pending.setdefault(call.path, []).append(call)
                elif call.name in ("fdatasync", "fsync") and call.result == 0 and not call.injected:
                    pending.pop(call.path, None)
        return pending

    def cut_power(self) -> int:
        """Zero every byte of a segment that no successful sync followed, as a power cut may; how many these were."""
        zeroed = 0
        for path, calls in self.unsynced().items():
            if not Path(path).exists():
                continue
            data = bytearray(Path(path).read_bytes())
            for call in calls:
                end = min(len(data), call.offset + max(0, call.result))
                zeroed += max(0, end - call.offset)
                data[call.offset : end] = bytes(max(0, end - call.offset))
            Path(path).write_bytes(data)
        return zeroed


@contextlib.contextmanager
def unreadable(pid: int, path: Path) -> Iterator[None]:
    """While this lasts, a process that runs (``ATTACHABLE``) gets EIO for whatever it reads of one file."""
    fault = ["-e", "trace=pread64", "-e", "inject=pread64:error=EIO", "-P", str(path)]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", *fault, "-p", str(pid)])
    try:
        wait_for(lambda: tracer.poll() is not None or _is_traced(pid), "strace to attach")
        assert tracer.poll() is None, "strace may attach"
        yield
    finally:
        tracer.terminate()  # it lets go of the process
        tracer.wait()


def _is_traced(pid: int) -> bool:
    return not any("TracerPid:\t0\n" in status for status in _statuses(pid))


def _statuses(pid: int) -> Iterator[str]:
    """Of its threads; one may end while it is looked at."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            yield (thread / "status").read_text()
