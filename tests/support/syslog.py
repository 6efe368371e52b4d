"""Senders of syslog for tests, and what a source made of their messages."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.intake import MemoryIntake, running
from support.until import until

from shipper.batch import Payload
from shipper.sources.syslog import SyslogSource


def syslog_source(*listen: str, **settings: Any) -> SyslogSource:
    """A source, set up; it looks at everything twenty times a second."""
    source = SyslogSource(listen=list(listen) or ["tcp://127.0.0.1:0"], **settings)
    source.setup()
    source.__dict__["tick"] = 0.05
    return source


@asynccontextmanager
async def serving(source: SyslogSource, intake: MemoryIntake) -> AsyncIterator[list[int]]:
    """A source at work; gives its ports, in the order of ``listen``."""
    async with running(source, intake) as task:
        await until(lambda: bool(source.bound) or task.done())
        if task.done():
            await task
        yield [endpoint.port for endpoint in source.bound]


def records(intake: MemoryIntake) -> list[dict[str, Any]]:
    """All records that the intake took."""
    found: list[dict[str, Any]] = []
    for batch in intake.batches:
        assert not isinstance(batch.payload, Payload)
        found += batch.payload  # type: ignore[arg-type]
    return found


def messages(intake: MemoryIntake) -> list[str]:
    """Their messages."""
    return [record["message"] for record in records(intake)]


async def connect(port: int, sender: str = "127.0.0.1") -> socket.socket:
    """A connection to a source from this address, whose calls do not block."""
    made = socket.socket()
    made.setblocking(False)
    made.bind((sender, 0))
    try:
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


async def send(connection: socket.socket, data: bytes) -> None:
    """All of it."""
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def closed(connection: socket.socket) -> bool:
    """Wait until the other side ended the connection."""
    try:
        async with asyncio.timeout(60):
            return await asyncio.get_running_loop().sock_recv(connection, 1000) == b""
    except ConnectionError:
        return True


def refused(intake: MemoryIntake, reason: str) -> float:
    """Connections that were refused or ended for this reason."""
    return intake.metrics.value("shipper_source_refused_total", source="app", reason=reason)


async def received(intake: MemoryIntake, size: int) -> None:
    """Wait until so many bytes came in, over all connections."""
    await until(lambda: intake.metrics.value("shipper_source_received_bytes_total", source="app") >= size)


def connected(intake: MemoryIntake) -> float:
    """Connections that are there."""
    return intake.metrics.value("shipper_source_connections", source="app")
