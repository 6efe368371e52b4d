"""The ``grpc`` sink: the sender's side of the wire (proto/shipper/v1/ingest.proto).

``shipper.wire.connection`` holds what one connection does; here stands which collector it is made to.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from shipper.errors import SinkUnavailable
from shipper.sinks.base import Item, Outlet, Sink
from shipper.wire.channel import ACK_DEADLINE, split_address
from shipper.wire.connection import Connection


class GrpcSink(Sink):
    """Send frames to a collector, exactly once in effect.

    Frames go out as they stand in the spool. The collector acknowledges what is durable in its own spool, and drops
    what it has already.
    """

    addresses: list[str]
    """Collectors as ``host:port``, tried in this order: the first that answers is used."""

    exactly_once: ClassVar[bool] = True
    connect_timeout: ClassVar[float] = 10.0
    """Seconds from the first packet to Welcome, for each address."""
    ack_deadline: ClassVar[float] = ACK_DEADLINE
    """Seconds without an Ack after which the channel is given up."""

    def setup(self) -> None:
        """:raises ValueError: there is no address, or one is none."""
        if not self.addresses:
            raise ValueError("addresses: name at least one collector, as in [collector:7420]")
        for address in self.addresses:
            split_address(address)
        self._connection: Connection | None = None
        self._address = ""

    async def connect(self, outlet: Outlet) -> int:
        """Connect to the first collector that answers; return the number that it expects.

        That is one less where the collector holds more than was acknowledged here: that frame is then compared with
        the collector's, not sent.

        :raises SinkUnavailable: no address answered.
        :raises SinkError: a collector refused this stream for good.
        """
        await self.close()
        failures: list[str] = []
        for address in self.addresses:
            connection = Connection(address, outlet, self.ack_deadline, compare=self.where is None)
            try:
                async with asyncio.timeout(self.connect_timeout):
                    expected = await connection.open()
            except TimeoutError:
                failures.append(f"{address} did not answer within {self.connect_timeout:g} s")
            except SinkUnavailable as error:
                failures.append(str(error))
            except BaseException:
                await connection.close()
                raise
            else:
                self._connection, self._address = connection, address
                return expected
            await connection.close()
        raise SinkUnavailable("; ".join(failures))

    async def send(self, items: Sequence[Item]) -> None:
        """Send items; waits while the collector's window is full. Cancelling it breaks the connection.

        :raises SinkUnavailable: the connection is gone.
        :raises SinkError: the collector refused for good.
        """
        if self._connection is None:
            raise SinkUnavailable("not connected")
        await self._connection.send(items)

    async def broken(self) -> None:
        """Wait until the connection is gone, then raise why."""
        if self._connection is None:
            raise SinkUnavailable("not connected")
        await self._connection.broken()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def describe(self) -> str:
        """The collector in use, or those that are tried."""
        return self._address if self._connection is not None else ", ".join(self.addresses)
