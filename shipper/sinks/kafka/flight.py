"""What was handed to the sink and is not acknowledged, and acknowledging it.

- An acknowledgement is cumulative: an item is acknowledged when it and all items before it are done.
- What a frame lost to the dead letters is there, durable, before the frame is acknowledged, and in the order of the
  stream: a broker may refuse a record of a later frame first.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from shipper.sinks.base import Frame, Item, Outlet
from shipper.sinks.flat import refuse
from shipper.sinks.kafka.records import Batch, Handed


class Flight:
    """Items between ``send`` and ``acked``."""

    def __init__(self, outlet: Outlet) -> None:
        self.size = 0
        """Bytes of frames that were taken, and of the batches made of them."""
        self._outlet = outlet
        self._items: deque[Handed] = deque()
        self._done = asyncio.Event()
        self._less = asyncio.Event()

    def add(self, item: Item) -> Handed:
        """An item was handed over."""
        handed = Handed(item)
        self._items.append(handed)
        return handed

    def taken(self, group: Iterable[Handed]) -> None:
        """These items are being built into batches; those that wait for that do not count, or nothing would move."""
        for handed in group:
            body = handed.item.body
            handed.size = len(body.raw) if isinstance(body, Frame) else 0
            self.size += handed.size

    def built(self, handed: Iterable[Handed], batches: Sequence[Batch]) -> None:
        """These items are in these batches now."""
        self._hold(batches)
        for one in handed:
            one.left -= 1
        self._done.set()

    def accepted(self, batch: Batch) -> None:
        """The brokers have a batch."""
        self._release(batch)
        self._done.set()

    def replaced(self, batch: Batch, smaller: Sequence[Batch]) -> None:
        """What was in a batch is in smaller ones, or refused."""
        self._hold(smaller)
        self._release(batch)
        self._done.set()

    async def room(self, limit: int) -> None:
        """Wait until fewer bytes than ``limit`` are on their way."""
        while self.size >= limit:
            self._less.clear()
            await self._less.wait()

    async def acknowledged(self, handed: Handed) -> None:
        """Wait until an item is acknowledged."""
        while handed in self._items:
            self._less.clear()
            await self._less.wait()

    async def run(self) -> None:
        """Acknowledge what is done, until cancelled."""
        while True:
            await self._done.wait()
            self._done.clear()
            last = None
            while self._items and not self._items[0].left:
                first = self._items[0]
                if first.refusals:
                    await refuse(self._outlet, sorted(first.refusals, key=attrgetter("at")))
                last = self._items.popleft()
                self.size -= last.size
            if last is not None:
                self._outlet.acked(last.item.next)
                self._less.set()

    def _hold(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.size += len(batch.data)
            for handed, _ in batch.of:
                handed.left += 1

    def _release(self, batch: Batch) -> None:
        self.size -= len(batch.data)
        for handed, _ in batch.of:
            handed.left -= 1
        self._less.set()
