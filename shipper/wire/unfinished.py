"""Messages that were begun and not ended: memory that gRPC holds for a peer, and of which it tells nobody.

gRPC puts a message together, up to its limit of 4 MiB, before anybody here sees a byte of it, and has no time limit for
that. What arrived on a connection since its last whole message, the kernel knows (``TCP_INFO``). Once a second that is
added up over all connections. Senders that keep to their windows stay below what is allowed; where it is more, those
connections are cut that never sent a whole message after Hello, and then those that have been at it for longest.
docs/decisions/103.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from shipper.wire.budget import SMALLEST, ReceiveBudget

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_RECEIVED: Final = struct.Struct("128xQ")
"""``tcpi_bytes_received`` of ``struct tcp_info``: Linux 4.1 and later."""
_IDLE: Final = 32
"""Bytes a second that a peer may send beside messages: pings, and what it says about its windows."""
_SLICE: Final = 64


class Reader:
    """One connection, as far as its reading goes."""

    __slots__ = ("before", "began", "descriptor", "messages", "peer", "reading", "seen")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.messages = 0
        """Whole ones that came."""
        self.reading = False
        """Another one is awaited; else gRPC reads ahead only a little."""
        self.descriptor = -1
        self.seen = -1
        """``messages`` at the last look."""
        self.before = 0
        """Bytes that had come when the last whole message was seen."""
        self.began = 0.0


class Unfinished:
    """All connections of a port."""

    def __init__(self, budget: ReceiveBudget, cut: Callable[[str, str], None]) -> None:
        """``cut`` is told the peer and the reason of each connection that is cut."""
        self._budget = budget
        self._cut = cut
        self._readers: dict[str, Reader] = {}

    def enter(self, peer: str) -> Reader:
        """A connection has a call; ``leave`` must follow."""
        reader = self._readers[peer] = Reader(peer)
        return reader

    def leave(self, reader: Reader) -> None:
        """The call is over."""
        if self._readers.get(reader.peer) is reader:
            del self._readers[reader.peer]

    async def tick(self) -> None:
        """Called about once a second."""
        if any(reader.descriptor < 0 for reader in self._readers.values()):
            self._find()
        now, total = time.monotonic(), 0
        begun: list[tuple[bool, float, int, Reader]] = []
        for number, reader in enumerate(list(self._readers.values()), 1):
            size = _unfinished(reader, now)
            if size:
                total += size
                begun.append((reader.messages > 1, reader.began, size, reader))
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        allowed = self._budget.limit + SMALLEST * len(self._readers)
        for _, since, size, reader in sorted(begun, key=lambda one: one[:2]):
            if total <= allowed:
                break
            total -= size
            if self._readers.get(reader.peer) is reader and _shut(reader):
                why = f"it began a message {now - since:.0f} s ago and does not end it: {size} bytes so far"
                self._cut(reader.peer, why)

    def _find(self) -> None:
        """Which descriptors the connections have: gRPC does not tell, the system does."""
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError), _borrowed(int(name)) as borrowed:
                reader = self._readers.get(_name(borrowed))
                if reader is not None:
                    reader.descriptor = int(name)


def _unfinished(reader: Reader, now: float) -> int:
    """Bytes that came since the last whole message."""
    try:
        with _borrowed(reader.descriptor) as borrowed:
            info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
    except OSError:
        return 0
    if len(info) < _BYTES_RECEIVED.size:
        return 0
    received: int = _BYTES_RECEIVED.unpack(info)[0]
    if reader.seen != reader.messages or not reader.reading:
        first = reader.seen < 0 and reader.messages < 2
        reader.seen, reader.began = reader.messages, now
        reader.before = 0 if first else received
    return max(0, received - reader.before - int(_IDLE * (now - reader.began)))


def _shut(reader: Reader) -> bool:
    """End the connection under gRPC, which sees its peer hang up."""
    try:
        with _borrowed(reader.descriptor) as borrowed:
            if _name(borrowed) != reader.peer:
                return False
            borrowed.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


@contextmanager
def _borrowed(descriptor: int) -> "Iterator[socket.socket]":
    """A socket that stays gRPC's.

    :raises OSError: the descriptor is not a socket, or not open.
    """
    if descriptor < 0:
        raise OSError("not found yet")
    borrowed = socket.socket(fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _name(borrowed: socket.socket) -> str:
    """What gRPC calls the peer.

    :raises OSError: it has none.
    """
    address = borrowed.getpeername()
    if borrowed.family == socket.AF_INET:
        return f"ipv4:{address[0]}:{address[1]}"
    if borrowed.family != socket.AF_INET6:
        return ""
    host: str = address[0]
    if host.startswith("::ffff:") and "." in host:
        return f"ipv4:{host.removeprefix('::ffff:')}:{address[1]}"
    return f"ipv6:%5B{host.replace('%', '%25')}%5D:{address[1]}"
