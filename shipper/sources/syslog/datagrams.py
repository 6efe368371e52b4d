"""UDP: one datagram is one message."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

from shipper.log import get_logger
from shipper.sources.syslog.endpoint import Endpoint, buffer_of, host_of
from shipper.sources.syslog.inbox import Inbox
from shipper.syslog import Message

log = get_logger("syslog")

_BURST: Final = 256
"""Datagrams read in one go; then others have their turn."""
_LAST: Final = 100_000
"""Datagrams read at most at the end."""
_LARGEST: Final = 65_536
_TRAILERS: Final = b"\r\n\0"
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_DROPS: Final = 8
"""Where in it the socket's drops stand (linux/sock_diag.h)."""
_WRAP: Final = 1 << 32
_ENOUGH: Final = 1024 * 1024


class Datagrams:
    """One UDP socket."""

    def __init__(self, endpoint: Endpoint, inbox: Inbox, limit: int) -> None:
        """``limit``: bytes of a message.

        :raises SourceError: the address cannot be had.
        """
        self._socket = endpoint.bind()
        self.endpoint = endpoint._replace(port=self._socket.getsockname()[1])
        self.dropped = 0
        """Datagrams that the kernel dropped because nobody had read those before them."""
        self._name = str(self.endpoint)
        self._inbox = inbox
        self._limit = limit
        self._drops = 0
        self._loop = asyncio.get_running_loop()
        granted = buffer_of(self._socket)
        if granted < _ENOUGH:
            log.warning(
                "the receive buffer of a UDP socket is small: bursts of messages will be dropped; raise "
                "net.core.rmem_max to 8388608",
                address=self._name,
                bytes=granted,
            )

    def resume(self) -> None:
        """Read."""
        self._loop.add_reader(self._socket, self._read)

    def stop(self) -> None:
        """Do not read: when its buffer is full, the kernel drops what comes."""
        self._loop.remove_reader(self._socket)

    def tick(self) -> None:
        """About once a second: ask the kernel what it dropped."""
        with suppress(OSError):  # kernels before 4.12 do not tell
            drops = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
            news = (drops - self._drops) % _WRAP
            self._drops = drops
            self.dropped += news
            if news:
                log.warning(
                    "the kernel dropped datagrams: they come faster than they are read, or the spool is full",
                    every=60.0,
                    key=self._name,
                    address=self._name,
                    datagrams=news,
                    in_all=self.dropped,
                )

    def close(self) -> None:
        """Take what the kernel has, and no more."""
        self.stop()
        self._read(_LAST)
        self.tick()
        self._socket.close()

    def _read(self, most: int = _BURST) -> None:
        receive, limit = self._socket.recvfrom, self._limit
        for _ in range(most):
            try:
                data, address = receive(_LARGEST)
            except OSError:  # BlockingIOError: that was all; others are about what a socket sent, and this one does not
                return
            data = data.rstrip(_TRAILERS)
            if not data:
                continue
            message = (
                Message(data) if len(data) <= limit else Message(data[:limit], whole=False, skipped=len(data) - limit)
            )
            self._inbox.put((message,), host_of(address), self._name)
            if self._inbox.full:
                return
