"""The collector's receive budget: how many bytes of frames it holds that are not durable yet, over all connections.

Two things keep it. Windows tell senders how much may be on its way: a fair share of the budget, between ``SMALLEST``
and ``LARGEST``. And a connection that holds something reads no other message while the budget is used up: TCP holds the
senders back, also those that keep to no window. One that holds nothing may always read one message: whoever uses the
budget up holds back himself, not those who send little. What is held is therefore at most the budget and one message a
connection.
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

    __slots__ = ("busy", "connected", "limit", "received", "used", "waiting")

    def __init__(self, limit: int = BUDGET) -> None:
        self.limit = limit
        self.used = 0
        self.received = 0
        """Bytes that ever came in."""
        self.connected = 0
        """Connections with a Welcome."""
        self.busy = 0
        """Those of them that sent something lately."""
        self.waiting: dict[Share, asyncio.Future[None]] = {}
        """Those that may not read now, the one that has waited longest first."""

    @property
    def full(self) -> bool:
        """The budget is used up."""
        return self.used >= self.limit

    def window(self, *, busy: bool) -> int:
        """The window of one connection, in bytes: busy ones share the budget; an idle one is promised what would be
        left if all woke up at once.
        """
        sharers = self.busy if busy else self.connected
        return min(LARGEST, max(SMALLEST, self.limit // max(1, sharers)))


class Share:
    """One connection's part of the budget."""

    __slots__ = ("_budget", "_busy", "held")

    def __init__(self, budget: ReceiveBudget) -> None:
        self._budget = budget
        self._busy = False
        self.held = 0
        """Bytes of this connection that are not durable yet."""
        budget.connected += 1

    @property
    def busy(self) -> bool:
        """It sent something lately."""
        return self._busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._budget.busy += busy - self._busy
        self._busy = busy

    @property
    def window(self) -> int:
        """What may be on its way on this connection, in bytes."""
        return self._budget.window(busy=self._busy)

    def use(self, size: int) -> None:
        """Count bytes that came in."""
        self._budget.used += size
        self._budget.received += size
        self.held += size

    def release(self, size: int) -> None:
        """Give bytes back that are durable, duplicates, or discarded."""
        budget = self._budget
        budget.used -= size
        self.held -= size
        for share in list(budget.waiting):
            if not share._held_back and not budget.waiting[share].done():
                budget.waiting[share].set_result(None)

    @property
    def _held_back(self) -> bool:
        return self.held > 0 and self._budget.full

    async def room(self) -> None:
        """Wait until this connection may read another message."""
        while self._held_back:
            self._budget.waiting[self] = asyncio.get_running_loop().create_future()
            try:
                await self._budget.waiting[self]
            finally:
                del self._budget.waiting[self]

    def leave(self) -> None:
        """The connection is gone; what it holds is released as it becomes durable."""
        self.busy = False
        self._budget.connected -= 1
