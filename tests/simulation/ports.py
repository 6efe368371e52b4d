"""What stands between shipper and gRPC's calls, simulated: the collector's port, the agent's channel and door."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from simulation.calls import Call, Context

from shipper.errors import SourceError
from shipper.wire.unfinished import Reader

if TYPE_CHECKING:
    from simulation.network import Network
    from simulation.process import Process

Ship = Callable[[object, Any], Awaitable[None]]


class SimPort:
    """In place of ``shipper.wire.port.Port``."""

    def __init__(self, network: "Network", process: "Process", address: str, ship: Ship) -> None:
        self.process = process
        self.address = address
        self.ship = ship
        self.closing = False
        self.handlers: dict[Context, None] = {}
        self._network = network

    async def open(self) -> int:
        """See ``Port``."""
        if self.address in self._network.ports:
            raise SourceError(f"{self.address} is in use")
        self._network.ports[self.address] = self
        return 7420

    async def close(self, grace: float) -> None:
        """See ``Port``."""
        self.closing = True
        handlers = [context.handler for context in self.handlers]
        if handlers:
            await asyncio.wait(handlers, timeout=grace)
            for handler in handlers:
                handler.cancel()
            await asyncio.wait(handlers)
        self._network.ports.pop(self.address, None)

    def called(self, context: object) -> None:
        """See ``Port``."""

    async def tick(self) -> None:
        """See ``Port``."""


class Finished:
    """In place of ``shipper.wire.unfinished.Unfinished``: messages arrive whole here."""

    def __init__(self, *_: object) -> None:
        """Nothing to look at."""

    def enter(self, peer: str) -> Reader:
        """See ``Unfinished``."""
        return Reader(peer)

    def leave(self, reader: Reader) -> None:
        """See ``Unfinished``."""

    async def tick(self) -> None:
        """See ``Unfinished``."""


class SimChannel:
    """In place of ``aio.Channel``."""

    def __init__(self, network: "Network", process: "Process", address: str) -> None:
        self._network = network
        self._process = process
        self._address = address
        self._calls: list[Call] = []

    async def channel_ready(self) -> None:
        """See ``aio.Channel``."""
        link = self._network.link(self._process.name, self._address)
        while self._address not in self._network.ports or link.held:  # noqa: ASYNC110 - as gRPC does
            await asyncio.sleep(0.5)

    def stream_stream(self, method: str) -> Callable[..., Call]:
        """See ``aio.Channel``."""

        def begin(**_: object) -> Call:
            link = self._network.link(self._process.name, self._address)
            call = Call(self._network, self._process, link, self._address)
            self._calls.append(call)
            return call

        return begin

    async def close(self) -> None:
        """See ``aio.Channel``."""
        for call in self._calls:
            call.cancel()


class SimDoor:
    """In place of ``shipper.wire.door.Door``."""

    tls = False
    certificates = None

    def __init__(self, network: "Network", process: "Process") -> None:
        self._network = network
        self._process = process

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """See ``Door``."""
        return ()

    def channel(self, address: str) -> SimChannel:
        """See ``Door``."""
        return SimChannel(self._network, self._process, address)
