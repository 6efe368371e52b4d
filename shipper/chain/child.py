"""A child process that runs processors, as its parent sees it: started, asked, and ended whatever it does.

It is a new interpreter (``shipper.chain.child_main``), not a fork: this process has threads. It gets a socket, and a
few bytes of shared memory in which it says how far it is. It dies with the thread that started it (PR_SET_PDEATHSIG),
so that none is left when this process is killed.
"""

import mmap
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import shipper
from shipper.chain.messages import HEADER_SIZE, NO_RECORD, BadMessageError, body_size, check
from shipper.plugins import FILE_MODULE

_TICK: Final = 0.25
"""Seconds between two looks at a child that was asked something, at most."""
_LAST_WORD: Final = 1.0
"""Seconds that a child has to end by itself."""
_PART: Final = 1024 * 1024
_BUFFER: Final = 512 * 1024
"""Bytes: a batch goes into the connection at one go."""


class ChildEnded(Exception):
    """The child gives no answer any more. The text goes on after its name: ``was killed by SIGSEGV``."""


class ChildOverdue(ChildEnded):
    """It did not answer in time."""

    def __init__(self, text: str, *, stalled: bool) -> None:
        """``stalled``: it was at one record for more than half of the time."""
        super().__init__(text)
        self.stalled = stalled


class Child:
    """One child. Calls must not overlap."""

    def __init__(self, role: str, classes: Iterable[type[Any]], start: Any, max_memory: int = 0) -> None:
        """``role`` is the module that serves in it, ``start`` what that module is told first, with instances of
        ``classes`` in it; ``max_memory`` in bytes, 0: no limit.

        :raises ValueError: ``start`` names what another process cannot find: a class in a function.
        :raises OSError: no process can be started now.
        """
        self.first = _first(role, classes, start, max_memory)
        """The body of the message to send first."""
        shared = os.memfd_create("progress")
        self.socket, theirs = socket.socketpair()
        for end in (self.socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)  # as much of it as the system allows
        try:
            os.ftruncate(shared, 8)
            self._progress = mmap.mmap(shared, 8)
            self._process = _spawn(theirs.fileno(), shared)
        except OSError:
            self.socket.close()
            raise
        finally:
            os.close(shared)
            theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """It has ended."""
        return self._process.poll() is not None

    @property
    def at(self) -> int | None:
        """The index of the record that it has, or had, in hand; None where it did not say so."""
        index = int.from_bytes(self._progress[:], "little")
        return None if index == NO_RECORD else index

    def ask(self, message: bytes, seconds: float, limit: str, tick: Callable[[], None]) -> bytes:
        """Send a message and wait for the body of the answer; ``tick`` is called now and then meanwhile.

        :raises ChildEnded: there is none, and the child is dead. ``limit`` stands in the text when it took too long.
        """
        self._progress[:] = NO_RECORD.to_bytes(8, "little")
        wait = _Wait(self, seconds, tick)
        self.socket.setblocking(False)
        try:
            view = memoryview(message)
            while view:
                wait(select.POLLOUT)
                view = view[self.socket.send(view) :]
            header = self._receive(HEADER_SIZE, wait)
            body = self._receive(body_size(header), wait)
            check(header, body)
        except TimeoutError:
            self.kill()
            raise ChildOverdue(f"did not answer within {limit}", stalled=wait.stalled) from None
        except (EOFError, OSError):
            raise ChildEnded(self.fate()) from None
        except BadMessageError:
            self.kill()
            raise ChildEnded("wrote something into its connection that is no answer") from None
        return body

    def _receive(self, size: int, wait: "_Wait") -> bytes:
        """:raises EOFError: the other end is closed."""
        data = bytearray()
        while len(data) < size:
            wait(select.POLLIN)
            part = self.socket.recv(min(size - len(data), _PART))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def fate(self) -> str:
        """How it ended, for ``ChildEnded``; one that closed its connection and runs on is killed. It blocks for at most
        a second.
        """
        try:
            code = self._process.wait(_LAST_WORD)
        except subprocess.TimeoutExpired:
            self.kill()
            return "closed its connection"
        self.kill()
        return f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """Let it end by itself: a closed connection tells it to. What takes longer than a second is killed."""
        self.socket.close()
        self.fate()

    def kill(self) -> None:
        """End it at once. It may be called again."""
        self.socket.close()
        self._process.kill()
        self._process.wait()


class _Wait:
    """Waiting for a child, with a limit over all waits."""

    def __init__(self, child: Child, seconds: float, tick: Callable[[], None]) -> None:
        self._child = child
        self._seconds = seconds
        self._tick = tick
        self._began = self._since = time.monotonic()
        self._at = child.at

    def __call__(self, event: int) -> None:
        """:raises TimeoutError: the time is over."""
        poll = select.poll()
        poll.register(self._child.socket, event)
        while not poll.poll(min(_TICK, self._seconds / 8) * 1000):
            self._tick()
            now = time.monotonic()
            if self._child.at != self._at:
                self._at, self._since = self._child.at, now
            if now - self._began > self._seconds:
                raise TimeoutError

    @property
    def stalled(self) -> bool:
        """It was at one record for more than half of the time."""
        return time.monotonic() - self._since > self._seconds / 2


def _first(role: str, classes: Iterable[type[Any]], start: Any, max_memory: int) -> bytes:
    """The body that a child begins with. It is trusted: any class can stand in ``start``."""
    modules = {cls.__module__: sys.modules.get(cls.__module__) for cls in classes}
    files = {name: module.__file__ for name, module in modules.items() if module and name.startswith(FILE_MODULE)}
    try:
        told = pickle.dumps(start, 5)
    except Exception as error:
        text = f"its settings cannot be sent to another process; define its class at the top of a module: {error}"
        raise ValueError(text) from error
    return pickle.dumps((role, sys.path, files, max_memory, told), 5)


def _spawn(connection: int, shared: int) -> "subprocess.Popen[bytes]":
    """:raises OSError: no process can be started now."""
    path = [str(Path(shipper.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    program = [sys.executable, "-P", "-m", "shipper.chain.child_main", str(connection), str(shared), str(os.getpid())]
    # Until it has said what it does with them: signals for the whole group are its parent's business.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return subprocess.Popen(  # noqa: S603 - our own module
            program,
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a processor prints must not get between the records of a sink
            pass_fds=(connection, shared),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
