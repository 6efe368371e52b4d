"""The collector's receive budget: how many bytes of frames it holds that are not durable yet, over all connections.

Two things keep it. Windows tell senders how much may be on its way: a fair share of the budget, between ``SMALLEST``
and ``LARGEST``. And nobody reads another message while the budget is used up: TCP holds the senders back, also
those that keep to no window. What is held is therefore at most the budget and one message a connection that was
already reading.
"""

import asyncio
from typing import Final

BUDGET: Final = 64 * 1024 * 1024
SMALLEST: Final = 64 * 1024
"""No window is smaller: with 64 KiB on their way, small frames still fill a message."""
LARGEST: Final = 8 * 1024 * 1024
"""No window is larger: 8 MiB keep 1 Gbit/s busy over 60 ms."""


class ReceiveBudget:
    """Bytes in use, and what each connection may have."""

    __slots__ = ("_room", "busy", "connected", "limit", "used")

    def __init__(self, limit: int = BUDGET) -> None:
        self.limit = limit
        self.used = 0
        self.connected = 0
        """Connections with a Welcome."""
        self.busy = 0
        """Those of them that sent something lately."""
        self._room = asyncio.Event()
        self._room.set()

    def use(self, size: int) -> None:
        """Count bytes that came in."""
        self.used += size
        if self.used >= self.limit:
            self._room.clear()

    def release(self, size: int) -> None:
        """Give bytes back that are durable, duplicates, or discarded."""
        self.used -= size
        if self.used < self.limit:
            self._room.set()

    async def room(self) -> None:
        """Wait until the budget is not used up."""
        await self._room.wait()

    def window(self, *, busy: bool) -> int:
        """The window of one connection, in bytes: busy ones share the budget; an idle one is promised what would be
        left if all woke up at once.
        """
        sharers = self.busy if busy else self.connected
        return min(LARGEST, max(SMALLEST, self.limit // max(1, sharers)))
