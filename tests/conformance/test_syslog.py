"""The ``syslog`` source passes the suite for all sources, over UDP, TCP in both framings, and TLS."""

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from conformance.source_suite import Rig, SourceSuite
from support.certificates import Authority
from support.processes import free_port
from support.syslog import syslog_source

from shipper.sources.base import Source
from shipper.wire.certificates import ServerTls


class SenderRig(Rig):
    """A sender that keeps one connection, and connects as soon as somebody listens."""

    def __init__(self, authority: Authority | None = None, *, counted: bool = False) -> None:
        self._port = free_port()
        self._counted = counted
        self._tls: ServerTls | None = None
        self._client: ssl.SSLContext | None = None
        if authority is not None:
            cert, key = authority.issue("collector")
            self._tls = ServerTls(cert=cert, key=key)
            self._client = ssl.create_default_context(cafile=str(authority.cert))
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._sending: asyncio.Task[None] | None = None

    def source(self) -> Source:
        """See ``Rig``."""
        return syslog_source(f"{'tls' if self._tls else 'tcp'}://127.0.0.1:{self._port}", tls=self._tls)

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        for record in records:
            message = b"<13>" + record  # without a priority, a count begins no counted frame
            self._queue.put_nowait(b"%d %s" % (len(message), message) if self._counted else message + b"\n")
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def end(self) -> None:
        """Nothing ends the source."""

    async def close(self) -> None:
        """See ``Rig``."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        while True:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._client)
                break
            await asyncio.sleep(0.01)
        try:
            while True:
                writer.write(await self._queue.get())
                await writer.drain()
        finally:
            writer.transport.abort()


class TestNewlines(SourceSuite):
    """A message a line."""

    @pytest.fixture
    def rig(self) -> Rig:
        """See ``SourceSuite``."""
        return SenderRig()


class TestOctetCounting(SourceSuite):
    """A count before each message."""

    @pytest.fixture
    def rig(self) -> Rig:
        """See ``SourceSuite``."""
        return SenderRig(counted=True)


class TestTls(SourceSuite):
    """Encrypted, a message a line."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """See ``SourceSuite``."""
        return SenderRig(Authority(tmp_path))


class DatagramRig(SenderRig):
    """A sender of datagrams, on a loopback that drops none; it waits until somebody listens."""

    def source(self) -> Source:
        """See ``Rig``."""
        return syslog_source(f"udp://127.0.0.1:{self._port}")

    async def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", self._port))
            while True:
                await self._listened(sender)
                sender.send(await self._queue.get())

    async def _listened(self, sender: socket.socket) -> None:
        """A datagram to nobody comes back as an error of the next call: empty ones ask, and are no messages."""
        while True:
            with suppress(ConnectionRefusedError):
                sender.send(b"")
                sender.send(b"")
                return
            await asyncio.sleep(0.01)


class TestDatagrams(SourceSuite):
    """A message a datagram."""

    @pytest.fixture
    def rig(self) -> Rig:
        """See ``SourceSuite``."""
        return DatagramRig()
