"""Kills a process at exactly its Nth system call that changes a disk, whichever thread makes it; and lists them all.

strace counts each thread by itself, so a thread that makes few calls is never the one that is killed; this counts all
of them together, in the order in which the kernel sees them. It is run as a program (``inside``), which becomes the
command; its tracer is a child of it, so that it gets its own signals. Calls are seen on entry: one that is killed
"before" is not made, one that is killed "after" is, and its caller does not hear of it.

Linux 5.3 on x86-64 or ARM64.
"""

import ctypes
import json
import os
import platform
import signal
import struct
import sys
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

_NUMBERS: Final = {
    "x86_64": "write 1 pwrite64 18 pwritev 296 pwritev2 328 fsync 74 fdatasync 75 ftruncate 77 fallocate 285 rename 82 "
    "renameat 264 renameat2 316 unlink 87 unlinkat 263 mkdir 83 mkdirat 258 openat 257",
    "aarch64": "write 64 pwrite64 68 pwritev 70 pwritev2 287 fsync 82 fdatasync 83 ftruncate 46 fallocate 47 "
    "renameat 38 renameat2 276 unlinkat 35 mkdirat 34 openat 56",
}
_OPENAT: Final = "openat"
_OF_PATH: Final = {"rename": 0, "unlink": 0, "mkdir": 0, "renameat": 1, "renameat2": 1, "unlinkat": 1, "mkdirat": 1}
"""Which argument is the path; the one before it is the directory's descriptor."""

_SEIZE, _CONT, _SYSCALL, _LISTEN, _INFO = 0x4206, 7, 24, 0x4208, 0x420E
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
_OPTIONS: Final = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 7 | 1 << 20
"""Forks and clones are traced too, seccomp tells of calls, and nobody outlives the tracer."""
_SET_PTRACER, _NO_NEW_PRIVS, _SECCOMP, _FILTER = 0x59616D61, 38, 22, 2
_WALL: Final = 0x40000000

When = Literal["before", "after"]


class Point(NamedTuple):
    """One system call."""

    name: str
    path: str


class Points:
    """The calls of one start of a command below a folder, and at which of them it is to be killed."""

    def __init__(self, report: Path, below: Path, at: int = 0, when: When = "before") -> None:
        """``at``: the call, from 1; 0: none."""
        self._report = report
        report.unlink(missing_ok=True)
        self.inside: Final = [sys.executable, "-S", __file__, str(report), f"{below}/", str(at), when]
        """What the command is started with."""

    def calls(self) -> list[Point]:
        """All of them, once the process has ended; where it was killed, that one is the last."""
        return [Point(*json.loads(line)) for line in self._report.read_text().splitlines()]


def supported() -> bool:
    """Whether this machine can do it."""
    return platform.machine() in _NUMBERS


def _numbers() -> dict[str, int]:
    """The calls of this machine's processor."""
    words = _NUMBERS[platform.machine()].split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return libc


def _filter(numbers: dict[str, int]) -> bytes:
    """BPF: tell the tracer of these calls; of ``openat`` only where it may create a file."""
    plain = [number for name, number in numbers.items() if name != _OPENAT]
    code = [(0x20, 0, 0, 0)]  # load the call's number
    trace = len(plain) + 5  # where the way out is that traces
    code += [(0x15, trace - at - 1, 0, number) for at, number in enumerate(plain, 1)]
    code += [
        (0x15, 0, 2, numbers[_OPENAT]),
        (0x20, 0, 0, 32),  # load its flags
        (0x45, 1, 0, os.O_CREAT),
        (0x06, 0, 0, 0x7FFF0000),  # let it through
        (0x06, 0, 0, 0x7FF00000),  # trace it
    ]
    return b"".join(struct.pack("HBBI", *line) for line in code)


class _Tracer:
    def __init__(self, libc: Any, leader: int, report: str, below: str, at: int, when: str) -> None:
        self._libc, self._leader, self._at, self._when = libc, leader, at, when
        self._names = {number: name for name, number in _numbers().items()}
        self._below = below
        self._report = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._count = 0
        self._killing = 0
        """The thread whose call returns now, after which all of them are killed."""

    def run(self) -> None:
        """Until nobody is left."""
        while True:
            try:
                thread, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                self._stopped(thread, os.WSTOPSIG(status), status >> 16)

    def _stopped(self, thread: int, number: int, event: int) -> None:
        if thread == self._killing:
            os.kill(self._leader, signal.SIGKILL)
        elif event == _EVENT_SECCOMP:
            self._called(thread)
        elif event == _EVENT_STOP and number != signal.SIGTRAP:
            self._ptrace(_LISTEN, thread)
        else:
            self._ptrace(_CONT, thread, 0 if event else number)

    def _called(self, thread: int) -> None:
        point = self._point(thread)
        if point is not None:
            self._count += 1
            os.write(self._report, (json.dumps(point) + "\n").encode())
            if self._count == self._at and self._when == "before":
                os.kill(self._leader, signal.SIGKILL)
                return
            if self._count == self._at:
                self._killing = thread
                self._ptrace(_SYSCALL, thread)
                return
        self._ptrace(_CONT, thread)

    def _point(self, thread: int) -> Point | None:
        """None: it is elsewhere."""
        info = ctypes.create_string_buffer(88)
        self._libc.ptrace(_INFO, thread, 88, ctypes.addressof(info))
        number, *arguments = struct.unpack_from("Q6Q", info.raw, 24)
        name = self._names[number]
        try:
            if name == _OPENAT:
                path = self._path(thread, arguments[0], arguments[1])
            elif (at := _OF_PATH.get(name)) is not None:
                path = self._path(thread, arguments[0] if at else None, arguments[at])
            else:
                path = os.readlink(f"/proc/{thread}/fd/{arguments[0]}")
        except OSError:  # killed meanwhile
            return None
        return Point(name, path) if path.startswith(self._below) else None

    def _path(self, thread: int, folder: int | None, address: int) -> str:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            text = memory.read(4096 - address % 4096)
            if b"\0" not in text:
                text += memory.read(4096)
        name = os.fsdecode(text.split(b"\0")[0])
        if name.startswith("/"):
            return name
        here = folder is None or folder & 0xFFFFFFFF == 0xFFFFFF9C  # AT_FDCWD
        above = os.readlink(f"/proc/{thread}/cwd" if here else f"/proc/{thread}/fd/{folder}")
        return os.path.normpath(os.path.join(above, name))

    def _ptrace(self, request: int, thread: int, data: int = 0) -> None:
        self._libc.ptrace(request, thread, None, data)  # it fails if the thread was killed meanwhile: no matter


def _main(report: str, below: str, at: str, when: str, *command: str) -> None:
    libc = _libc()
    leader = os.getpid()
    ready, go = os.pipe(), os.pipe()
    if (tracer := os.fork()) == 0:
        os.setsid()
        os.read(go[0], 1)
        if libc.ptrace(_SEIZE, leader, None, _OPTIONS):
            os.write(ready[1], b"n")
            os._exit(1)
        os.write(ready[1], b"y")
        for descriptor in (*ready, *go):
            os.close(descriptor)
        _Tracer(libc, leader, report, below, int(at), when).run()
        os._exit(0)
    libc.prctl(_SET_PTRACER, tracer, 0, 0, 0)
    os.write(go[1], b"g")
    if os.read(ready[0], 1) != b"y":
        sys.exit("this user may not trace processes")
    code = _filter(_numbers())
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer := ctypes.create_string_buffer(code)))
    held = ctypes.create_string_buffer(program)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_SECCOMP, _FILTER, ctypes.addressof(held), 0, 0):
        sys.exit("this machine has no seccomp")
    del buffer
    os.execv(command[0], command)  # noqa: S606 - that is what this is for


if __name__ == "__main__":
    _main(*sys.argv[1:])
