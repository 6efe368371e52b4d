"""Which collector a sender connects to: the order of the addresses, and getting through to one of them.

The rules
- ``failover`` tries the addresses as they are written; ``spread`` in an order drawn from the stream id, so that a
  fleet shares the collectors evenly, and also those of one that is away (rendezvous hashing: an address that comes or
  goes moves only its own share). Neither looks at a clock or at chance: the same stream has the same order.
- An address that refuses costs nothing: the next one is tried at once. One that says nothing is waited for
  ``patience`` seconds before the next is tried beside it; the first Welcome wins, the others are closed.
- An address that welcomes and then gets nothing done must not be welcomed by for ever: see ``Order.failed``.
"""

import asyncio
from _blake2 import blake2b  # not by way of hashlib: that loads OpenSSL, megabytes for an agent
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shipper.errors import SinkError, SinkUnavailable, StreamDisowned
from shipper.wire.connection import Connection

Balance = Literal["failover", "spread"]


def ranked(addresses: Sequence[str], balance: Balance, stream: bytes) -> list[str]:
    """The addresses in the order in which this stream prefers them."""
    if balance == "failover":
        return list(addresses)
    return sorted(addresses, key=lambda address: blake2b(stream + address.encode(), digest_size=8).digest())


class Order:
    """Where the next connection is tried first: the most preferred address, unless the last attempt there failed."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first = ""

    def failed(self, address: str, preferred: Sequence[str]) -> None:
        """A connection to this address ended while data waited that it had not acknowledged any of."""
        at = preferred.index(address) + 1 if address in preferred else 0
        self._first = preferred[at % len(preferred)]

    def next(self, preferred: Sequence[str]) -> list[str]:
        """The order of the next attempt; the one after it begins with the most preferred again."""
        first, self._first = self._first, ""
        at = preferred.index(first) if first in preferred else 0
        return [*preferred[at:], *preferred[:at]]


@dataclass(slots=True, frozen=True)
class Dialled:
    """The collector that answered."""

    address: str
    connection: Connection
    expected: int
    """The number to go on with."""
    failures: list[SinkError]
    """Why addresses before it were not taken."""


class _Attempt:
    """One address that is tried."""

    def __init__(self, address: str, connection: Connection, limit: float) -> None:
        self.address: Final = address
        self.connection: Final = connection
        self._limit = limit
        self.task: Final = asyncio.ensure_future(self._open())

    async def _open(self) -> int:
        try:
            async with asyncio.timeout(self._limit):
                return await self.connection.open()
        except TimeoutError as error:
            raise SinkUnavailable(f"{self.address} did not answer within {self._limit:g} s") from error

    async def drop(self) -> None:
        """Give it up."""
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.exception()
        await self.connection.close()


async def dial(
    addresses: Sequence[str], connect: Callable[[str], Connection], patience: float, limit: float
) -> Dialled:
    """Get through to the first address that answers; each has ``limit`` seconds.

    :raises StreamDisowned: a collector knows another history of the stream.
    :raises SinkUnavailable: no address answered now.
    :raises SinkError: every address refused for good.
    """
    attempts: list[_Attempt] = []
    left = list(addresses)
    failures: list[SinkError] = []
    won: _Attempt | None = None
    try:
        while left or attempts:
            if left:
                address = left.pop(0)
                attempts.append(_Attempt(address, connect(address), limit))
            await asyncio.wait(
                [attempt.task for attempt in attempts],
                timeout=patience if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in [attempt for attempt in attempts if attempt.task.done()]:
                error = attempt.task.exception()
                if error is None:
                    won = attempt
                    return Dialled(attempt.address, attempt.connection, attempt.task.result(), failures)
                if isinstance(error, StreamDisowned) or not isinstance(error, SinkError):
                    raise error
                failures.append(error)
                attempts.remove(attempt)
                await attempt.drop()
    finally:
        for attempt in attempts:
            if attempt is not won:
                await attempt.drop()
    kind = SinkUnavailable if any(error.retriable for error in failures) else SinkError
    raise kind("; ".join(map(str, failures)))
