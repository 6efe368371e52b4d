"""A TCP proxy that misbehaves on command: it cuts, stalls (one way or both), delays, and refuses connections.

async with Proxy(target_port) as proxy:
    connect_to(proxy.port)
    proxy.stall("down")     # what the server says arrives no more; both sides believe that they are connected
    proxy.resume()
    proxy.cut()             # both sides see a reset
    await proxy.close_door()    # new connections are refused ...
    await proxy.open_door()     # ... and let in again, on the same port
"""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self

Way = Literal["up", "down"]
"""``up`` runs from the client to the server, ``down`` back."""

_CHUNK: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards 127.0.0.1:``port`` to 127.0.0.1:``target``."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        """Seconds that every chunk waits before it goes on."""
        self.connections = 0
        """How many were made so far."""
        self.forwarded: dict[Way, int] = {"up": 0, "down": 0}
        """Bytes that went through."""
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.resume()

    async def __aenter__(self) -> Self:
        await self.open_door()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_door()
        self.resume()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def open_door(self) -> None:
        """Take connections, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close_door(self) -> None:
        """Refuse new connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stall(self, *ways: Way) -> None:
        """Forward nothing any more, without either side noticing: half-open. Both ways unless told otherwise."""
        for way in ways or ("up", "down"):
            self._open[way].clear()

    def resume(self) -> None:
        """Forward again, beginning with what was held back."""
        for event in self._open.values():
            event.set()

    def cut(self) -> None:
        """Reset every connection. What was under way is lost."""
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.ensure_future(self._pump("up", reader, far_writer)),
            asyncio.ensure_future(self._pump("down", far_reader, writer)),
        ]
        self._tasks.update(pumps)
        for pump in pumps:
            pump.add_done_callback(self._tasks.discard)
        await asyncio.wait(pumps)
        self._writers -= {writer, far_writer}
        for side in (writer, far_writer):
            side.close()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open[way].wait()
                writer.write(chunk)
                await writer.drain()
                self.forwarded[way] += len(chunk)
            if writer.can_write_eof():
                writer.write_eof()
