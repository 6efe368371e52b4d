"""The link between agent and collector: a TCP proxy that can be cut."""

import asyncio
import contextlib
import socket
import struct
from typing import Final

_CHUNK: Final = 64 * 1024


class Proxy:
    """Passes connections on to ``port`` of this machine; while it is cut it resets all, open and new ones."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.is_cut = False

    async def start(self) -> int:
        """Listen on a free port of loopback; returns it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> int:
        """The cable is pulled; returns how many connections that broke."""
        self.is_cut = True
        return self._break()

    def mend(self) -> None:
        """The cable is back; nobody is told."""
        self.is_cut = False

    async def close(self) -> None:
        """Reset everything and stop listening."""
        if self._server is None:
            return
        self._server.close()
        open_ = list(self._open)
        self._break()
        await asyncio.gather(*open_, return_exceptions=True)
        await self._server.wait_closed()

    def _break(self) -> int:
        for task in self._open:
            task.cancel()
        return len(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if self.is_cut:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        except (OSError, ExceptionGroup):
            pass  # the collector is not there, or one side went away: the other one is reset below
        finally:
            for end in ends:
                _reset(end)


def _reset(end: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset, not the end of what was said."""
    with contextlib.suppress(OSError):  # it is closed already
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on; either end's end is the end of both.

    :raises ConnectionError: always, in the end.
    """
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    raise ConnectionAbortedError
