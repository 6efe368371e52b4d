"""The ``grpc`` sink: the sender's side of the wire (proto/shipper/v1/ingest.proto).

``shipper.wire.connection`` holds what one connection does, ``shipper.wire.dial`` how one is made; here stands which
collector it is made to, and the way back to the preferred one.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from shipper.errors import SinkError, SinkUnavailable, StreamDisowned
from shipper.log import get_logger
from shipper.sinks.base import Item, Outlet, Sink
from shipper.wire.address import split_address
from shipper.wire.certificates import ClientTls
from shipper.wire.channel import ACK_DEADLINE
from shipper.wire.connection import Connection
from shipper.wire.dial import Balance, Order, dial, ranked
from shipper.wire.door import Door

log = get_logger("grpc")
_LOG_EVERY: Final = 60.0


class GrpcSink(Sink):
    """Send frames to a collector, exactly once in effect.

    Frames go out as they stand in the spool. The collector acknowledges what is durable in its own spool, and drops
    what it has already.
    """

    addresses: list[str]
    """Collectors as ``host:port``. One of them is used at a time; an address that does not answer or refuses is passed
    over, and returned to when it is there again."""
    balance: Balance = "failover"
    """Which address is preferred: ``failover``: the first, then the second, and so on; ``spread``: each shipper has an
    order of its own, so that many share the collectors evenly."""

    tls: ClientTls | None = None
    """Encrypt, and make sure that it is the right collector. Files that change are read again at the next connect."""
    token: str = ""
    """What proves to the collector who this is, from ``shipper tokens add``: ``${file:/etc/shipper/token}``."""
    token_file: Path | None = None
    """Instead of ``token``: the file that holds it. It is read again at each connect."""

    exactly_once: ClassVar[bool] = True
    connect_timeout: ClassVar[float] = 10.0
    """Seconds from the first packet to Welcome, for each address."""
    patience: ClassVar[float] = 2.0
    """Seconds without an answer after which the next address is tried too."""
    ack_deadline: ClassVar[float] = ACK_DEADLINE
    """Seconds without an Ack after which the channel is given up."""
    return_after: ClassVar[float] = 60.0
    """Seconds between two looks whether a preferred address is there again, half of it more or less by chance: many
    shippers do not come back at once."""

    def setup(self) -> None:
        """:raises ValueError: there is no address, one is wrong or there twice, or a file is of no use."""
        if not self.addresses:
            raise ValueError("addresses: name at least one collector, as in [collector:7420]")
        for address in self.addresses:
            split_address(address)
            if self.addresses.count(address) > 1:
                raise ValueError(f"addresses: {address} is named twice")
        self._door = Door(self.tls, self.token, self.token_file)
        self._connection: Connection | None = None
        self._address = self._name = ""
        self._order = Order()
        self._preferred: list[str] = []
        self._sending = asyncio.Lock()
        self._returning: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"GrpcSink({', '.join(self.addresses)})"  # without the token

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Sink``."""
        certificates = self._door.certificates
        found = [("tls", text) for text in certificates.cautions()] if certificates is not None else []
        if (self.token or self.token_file) and self.tls is None:
            name = "token" if self.token else "token_file"
            found.append((name, "is sent without TLS: whoever reads the network on the way can use it"))
        return found

    async def connect(self, outlet: Outlet) -> int:
        """Connect to the most preferred collector that answers; return the number that it expects.

        That is the cursor where the collector holds more than was acknowledged here: those frames are not sent, but its
        last one is compared with ours before any of them counts as acknowledged.

        :raises StreamDisowned: a collector knows another history of the stream.
        :raises SinkUnavailable: no address answered.
        :raises SinkError: every address refused for good.
        """
        await self.close()
        self._name = outlet.name
        preferred = ranked(self.addresses, self.balance, outlet.stream)

        def made(address: str) -> Connection:
            return Connection(address, outlet, self._door, self.ack_deadline, thins=self.where is not None)

        dialled = await dial(self._order.next(preferred), made, self.patience, self.connect_timeout)
        for failure in dialled.failures:
            key = (self._name, str(failure))
            log.warning("a collector is passed over", sink=self._name, reason=str(failure), every=_LOG_EVERY, key=key)
        self._connection, self._address = dialled.connection, dialled.address
        self._preferred = preferred
        better = preferred[: preferred.index(dialled.address)]
        if better:
            self._returning = asyncio.ensure_future(self._return(better, made))
        return dialled.expected

    async def send(self, items: Sequence[Item]) -> None:
        """Send items; waits while the collector's window is full. Cancelling it breaks the connection.

        :raises SinkUnavailable: the connection is gone.
        :raises StreamDisowned: the collector knows another history of the stream.
        :raises SinkError: the collector refused for good.
        """
        async with self._sending:
            if self._connection is None:
                raise SinkUnavailable("not connected")
            await self._connection.send(items)

    async def broken(self) -> None:
        """Wait until the connection is gone, then raise why."""
        while True:
            connection = self._connection
            if connection is None:
                raise SinkUnavailable("not connected")
            try:
                await connection.broken()
            except SinkError:
                if self._connection in (None, connection):  # else it was left for a preferred address
                    raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        returning, self._returning = self._returning, None
        if returning is not None:
            returning.cancel()
            await asyncio.wait([returning])
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.futile:
                self._order.failed(self._address, self._preferred)
            await connection.close()

    async def _return(self, better: list[str], made: Callable[[str], Connection]) -> None:
        """Look now and then whether an address that is preferred to the one in use is there again, and move there."""
        while better:
            await asyncio.sleep(self.return_after * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            for address in better:
                connection = made(address)
                try:
                    if await self._move(address, connection):
                        better = better[: better.index(address)]
                        break
                except (SinkError, TimeoutError) as error:
                    reason = str(error) or f"it did not answer within {self.connect_timeout:g} s"
                    log.debug("a preferred collector is not there yet", sink=self._name, address=address, reason=reason)
                finally:
                    if connection is not self._connection:
                        await connection.close()

    async def _move(self, address: str, new: Connection) -> bool:
        """Go on at ``address``, once everything sent is acknowledged where it was sent to: so nothing is sent twice.

        :raises SinkError: it does not work out; the connection in use stays.
        """
        async with asyncio.timeout(self.connect_timeout):
            await new.reach()
        old = self._connection
        if old is None:
            return False
        async with asyncio.timeout(self.connect_timeout), self._sending:
            start = await old.settled()
            try:
                expected = await new.open()
            except StreamDisowned as error:
                old.give_up(error)
                raise
            if expected != start:  # it has more already: the delivery must read over that
                old.give_up(SinkUnavailable(f"{address} is there again"))
                return False
            self._connection, self._address = new, address
        await old.close()
        log.info("moved to a preferred collector", sink=self._name, address=address)
        return True

    def held_up(self) -> bool:
        """The collector has the next move."""
        return self._connection is not None and self._connection.held_up

    def describe(self) -> str:
        """The collector in use, or those that are tried."""
        return self._address if self._connection is not None else ", ".join(self.addresses)
