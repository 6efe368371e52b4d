"""gRPC's calls between simulated machines: what a client has is a ``Call``, what the server sees of it a ``Context``.

Both offer what shipper uses of gRPC, and fail as gRPC does.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from shipper.wire.channel import aio, grpc

if TYPE_CHECKING:
    from simulation.network import Link, Network
    from simulation.ports import SimPort
    from simulation.process import Process

    from shipper.v1 import ingest_pb2 as pb

_BUFFER: Final = 512 * 1024
"""Bytes that the transport takes before a write waits."""


def _status(code: grpc.StatusCode, text: str) -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), text, None)


class Call:
    """A client's end of a call."""

    def __init__(self, network: "Network", process: "Process", link: "Link", address: str) -> None:
        network.calls += 1
        self.name = f"call {network.calls} of {process.name} to {address}"
        self.process = process
        self.link = link
        self.arrives: dict[str, float] = {}
        self.ended: aio.AioRpcError | None = None
        """How it ended."""
        self.context: Context | None = None
        """The server's end."""
        self._network = network
        self._address = address
        self._inbox: deque[bytes] = deque()
        self._on_the_way = 0
        self._changed = asyncio.Event()
        link.calls[self] = None
        network.send(self, "up", self._arrive)

    def _arrive(self) -> None:
        """At the server's machine."""
        port = self._network.ports.get(self._address)
        if port is None or port.closing:
            self._network.send(self, "down", lambda: self.fail("Connection refused"))
        elif self.ended is None:
            self.context = Context(self._network, self, port)

    async def read(self) -> object:
        """See ``aio.StreamStreamCall``."""
        try:
            while not self._inbox and self.ended is None:
                await self._wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._inbox:
            return self._inbox.popleft()
        ended = cast(aio.AioRpcError, self.ended)
        if ended.code() is grpc.StatusCode.OK:
            return aio.EOF
        if ended.code() is grpc.StatusCode.CANCELLED:
            raise asyncio.CancelledError
        raise ended

    async def write(self, data: bytes) -> None:
        """See ``aio.StreamStreamCall``."""
        try:
            while self._on_the_way > _BUFFER and self.ended is None:
                await self._wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.ended is not None:
            raise asyncio.InvalidStateError("RPC already finished.")
        self._on_the_way += len(data)

        def arrive() -> None:
            self._on_the_way -= len(data)
            self._changed.set()
            if self.context is not None and self.ended is None:
                self.context.take(data)
            else:
                self._network.lost += 1

        self._network.send(self, "up", arrive)

    def cancel(self) -> None:
        """See ``aio.StreamStreamCall``."""
        if self.ended is None:
            self._end(_status(grpc.StatusCode.CANCELLED, "Locally cancelled"))
            self._network.send(self, "up", self.hang_up)

    def abandon(self) -> None:
        """Its process is gone: nobody reads what comes."""
        self.ended = self.ended or _status(grpc.StatusCode.CANCELLED, "")

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def take(self, data: bytes) -> None:
        """A message arrives."""
        if self.ended is None:
            self._inbox.append(data)
            self._changed.set()
        else:
            self._network.lost += 1

    def fail(self, text: str = "Socket closed") -> None:
        """The connection is gone."""
        self._end(_status(grpc.StatusCode.UNAVAILABLE, text))

    def finish(self, code: grpc.StatusCode, text: str) -> None:
        """The server ended the call."""
        self._end(_status(code, text))

    def hang_up(self) -> None:
        """The server's end is told that the client is gone."""
        if self.context is not None:
            self.context.hang_up()
        self.link.calls.pop(self, None)

    def _end(self, status: aio.AioRpcError) -> None:
        if self.ended is None:
            self.ended = status
            self._changed.set()
            if self.context is None:
                self.link.calls.pop(self, None)
                self.link.waiting = [(call, arrive) for call, arrive in self.link.waiting if call is not self]


class Context:
    """The server's end of a call."""

    def __init__(self, network: "Network", call: Call, port: "SimPort") -> None:
        self.port = port
        self.gone = False
        self._call = call
        self._network = network
        self._inbox: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        with network.world.as_running(port.process):
            self.handler = port.process.loop.create_task(self._handle())
        self.handler.add_done_callback(lambda _: self._over())
        port.handlers[self] = None

    async def _handle(self) -> None:
        try:
            await self.port.ship(None, self)
        except aio.AbortError:
            return
        self._end(grpc.StatusCode.OK, "")

    def _over(self) -> None:
        self.port.handlers.pop(self, None)
        self._call.link.calls.pop(self._call, None)

    def peer(self) -> str:
        """See ``aio.ServicerContext``."""
        return f"ipv4:{self._call.process.name}:{self._call.name.split()[1]}"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """See ``aio.ServicerContext``."""
        return ()

    async def read(self) -> object:
        """See ``aio.ServicerContext``."""
        while not self._inbox and not self.gone:
            self._changed.clear()
            await self._changed.wait()
        return self._inbox.popleft() if self._inbox else aio.EOF

    async def write(self, message: "pb.ShipResponse") -> None:
        """See ``aio.ServicerContext``."""
        if self.gone or self._ended:
            raise aio.InternalError("the call is over")
        data = message.SerializeToString()
        self._network.send(self._call, "down", lambda: self._call.take(data))

    async def abort(self, code: grpc.StatusCode, text: str) -> None:
        """See ``aio.ServicerContext``."""
        self._end(code, text)
        raise aio.AbortError("Locally aborted.")

    def _end(self, code: grpc.StatusCode, text: str) -> None:
        if not self._ended and not self.gone:
            self._ended = True
            self._network.send(self._call, "down", lambda: self._call.finish(code, text))

    def take(self, data: bytes) -> None:
        """A message arrives."""
        if not self.gone and not self._ended:
            self._inbox.append(data)
            self._changed.set()

    def hang_up(self) -> None:
        """The client is gone."""
        if not self.gone:
            self.gone = True
            self._changed.set()
            self.handler.cancel()
