"""One run of ``journalctl``: its output without blocking, and what it complains about.

It is a process of its own because reading a journal may crash or hang: journald empties files that it removes, and
before systemd 255 whoever has them mapped dies of SIGBUS (docs/decisions/118-the-journal-through-journalctl.md).
"""

import asyncio
import fcntl
import os
import subprocess
import termios
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from shipper.errors import SourceError, SourceUnavailable

_PIPE: Final = 256 * 1024
"""What journalctl may write ahead of the reader."""
_LINE: Final = 4096
"""Of a line that it complains with at most so many bytes are kept."""
_LEAVE: Final = 10.0
"""Seconds that it may take to end after its output did."""


class Journalctl:
    """A running ``journalctl``; ``close`` ends it."""

    def __init__(self, arguments: Sequence[str], complained: Callable[[str], object]) -> None:
        """``complained`` is called on the loop with each line that it writes to stderr.

        :raises SourceError: it is not there.
        :raises SourceUnavailable: it cannot be started now.
        """
        command = ["journalctl", "--output=export", "--no-pager", *arguments]
        environment = os.environ | {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "notice"}
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(  # noqa: S603 - no shell, and what is behind it is the config's
                command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment, bufsize=0
            )
        except FileNotFoundError as error:
            raise SourceError(
                "journalctl is not installed: the journald source reads through it; install systemd"
            ) from error
        except OSError as error:
            raise SourceUnavailable(f"journalctl cannot be started: {error.strerror or error}") from error
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        assert self._process.stderr is not None  # noqa: S101
        self._output = self._process.stdout.fileno()
        self._errors = self._process.stderr.fileno()
        self._complained = complained
        self._line = b""
        self._lock = threading.Lock()
        self.ended = False
        """All of its output was read."""
        for descriptor in (self._output, self._errors):
            os.set_blocking(descriptor, False)
        with suppress(OSError):  # the system's limit for pipes of one user is used up: then it is 64 KiB
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _PIPE)
        asyncio.get_running_loop().add_reader(self._errors, self._hear)

    @property
    def waiting(self) -> int:
        """Bytes that can be read."""
        return int.from_bytes(fcntl.ioctl(self._output, termios.FIONREAD, b"\0" * 4), "little")

    @property
    def room(self) -> int:
        """Bytes that it can write ahead."""
        return fcntl.fcntl(self._output, fcntl.F_GETPIPE_SZ)

    async def readable(self, within: float) -> bool:
        """Wait for output, or its end; False: neither came within so many seconds."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._output, readable.set)
        try:
            async with asyncio.timeout(within):
                await readable.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            loop.remove_reader(self._output)

    def read(self, most: int) -> bytes:
        """What is there, at most so many bytes. On a worker thread, which a cancelled call leaves behind."""
        parts = []
        with self._lock:
            while most > 0 and not self.ended:
                try:
                    part = os.read(self._output, most)
                except BlockingIOError:
                    break
                self.ended = not part
                parts.append(part)
                most -= len(part)
        return b"".join(parts)

    async def wait(self) -> int:
        """Its exit code, after its output has ended; negative: the signal that killed it."""
        try:
            code = await asyncio.to_thread(self._process.wait, _LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await asyncio.to_thread(self._process.wait)
        self._hear()
        return code

    async def close(self) -> None:
        """End it if it runs, and give everything back."""
        asyncio.get_running_loop().remove_reader(self._errors)
        self._process.kill()
        closing = asyncio.ensure_future(asyncio.to_thread(self._close))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing})  # the loop may end next, and nobody would wait for the process
            raise

    def _close(self) -> None:
        self._process.wait()
        with self._lock:
            self.ended = True
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def _hear(self) -> None:
        """Lines of stderr."""
        data = b" "
        while data:
            try:
                data = os.read(self._errors, _LINE)
            except BlockingIOError:
                return
            *lines, self._line = (self._line + (data or b"\n")).split(b"\n")
            self._line = self._line[-_LINE:]
            for line in filter(None, map(bytes.strip, lines)):
                self._complained(line.decode("utf-8", "replace"))
        asyncio.get_running_loop().remove_reader(self._errors)
