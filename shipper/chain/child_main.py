"""The program of a child process: ``python -m shipper.chain.child_main CONNECTION SHARED PARENT``.

``shipper.chain.child`` starts it and sends the first message: what to import and which module serves. It ends when its
connection is closed, and dies with the thread that started it.
"""

import ctypes
import gc
import importlib
import importlib.util
import os
import pickle
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from mmap import mmap
from typing import Any, Final

from shipper import lean
from shipper.chain.messages import HEADER_SIZE, NO_RECORD, SIZE, body_size, check, framed

_PR_SET_PDEATHSIG: Final = 1
_ROOM: Final = 1024 * 1024 * 1024
"""Address space beyond the memory that a processor may take: libraries reserve more than they use."""


class Parent:
    """The parent as the child sees it."""

    def __init__(self, connection: socket.socket, shared: mmap) -> None:
        self._connection = connection
        self._shared = shared
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def receive(self) -> bytes:
        """The body of the next message.

        :raises EOFError: the parent needs this process no more.
        :raises BadMessageError: somebody else wrote into the connection.
        """
        header = self._read(HEADER_SIZE)
        body = self._read(body_size(header))
        check(header, body)
        return body

    def attached(self) -> Iterator[bytes]:
        """What follows a message, where it says that something does."""
        while True:
            yield self._read(int.from_bytes(self._read(SIZE), "little"))

    @property
    def waits(self) -> bool:
        """There is another message."""
        return bool(self._poll.poll(0))

    def send(self, *bodies: bytes) -> None:
        """Answer."""
        self._connection.sendall(b"".join(map(framed, bodies)))

    def at(self, index: int) -> None:
        """Say which record is in hand: the parent knows it even when this process is gone."""
        self._shared[:] = index.to_bytes(8, "little")

    def done(self) -> None:
        """No record is in hand."""
        self.at(NO_RECORD)

    def _read(self, size: int) -> bytes:
        data = self._connection.recv(size, socket.MSG_WAITALL)
        while len(data) < size:
            part = self._connection.recv(size - len(data), socket.MSG_WAITALL)
            if not part:
                raise EOFError
            data += part
        return data


def main(connection: int, shared: int, parent: int) -> None:
    """Serve until the connection is closed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group; the parent drains, and then closes
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lean.tune_allocator()
    memory = mmap(shared, 8)
    os.close(shared)
    peer = Parent(socket.socket(fileno=connection), memory)
    try:
        role, path, files, max_memory, told = pickle.loads(peer.receive())  # noqa: S301 - its parent wrote it
        sys.path[:] = path
        if max_memory:
            resource.setrlimit(resource.RLIMIT_DATA, (max_memory, max_memory))
            resource.setrlimit(resource.RLIMIT_AS, (max_memory + _ROOM, max_memory + _ROOM))
        for name, file in files.items():
            _import(name, file)
        serve, start = importlib.import_module(role).serve, pickle.loads(told)  # noqa: S301
        gc.freeze()  # what is there now stays: a collection need not look at it
        serve(peer, start)
    except (EOFError, ConnectionError):
        pass


def _import(name: str, file: str) -> None:
    """The module of a file beside a config, under the name that the parent gave it."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # noqa: S101 - for the type checker: the parent did the same
    assert spec.loader is not None  # noqa: S101
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
