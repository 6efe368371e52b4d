"""From what was fetched to what is durable: batches on their way through the intake."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from shipper.sources.base import Intake, Receipt
from shipper.sources.kafka.client import Client, Place
from shipper.sources.kafka.cut import Cut, Turn
from shipper.sources.kafka.partition import Partition
from shipper.sources.kafka.records import Maker
from shipper.sources.kafka.unpack import Fetched

_AT_ONCE: Final = 8
"""So many batches are taken by one call of the intake."""
_BLOCKED: Final = 0.2
"""Seconds after which a call of the intake that waits, because the spool is full, lets nothing more be fetched."""


class Reader:
    """Hands what was fetched to an intake, and knows what of it is durable."""

    def __init__(self, intake: Intake, client: Client, maker: Maker) -> None:
        self._intake = intake
        self._client = client
        self._maker = maker
        self.failure: BaseException | None = None
        """A batch that was taken could not be written."""
        self.moved = asyncio.Event()
        """More of a partition is durable."""
        self._cut: Cut | None = None
        self._turn: Turn | None = None
        self._taking: asyncio.Future[Receipt | None] | None = None
        self._last: asyncio.Future[int] | None = None
        """Of the batch that was taken last: those before it are durable no later."""
        self._pending: set[asyncio.Future[int]] = set()
        self._hole = False
        """A batch was not written: whatever comes of those behind it, no more is durable."""

    async def hand_over(self, portions: Mapping[Partition, list[Fetched]]) -> None:
        """Have all of it taken; less where ``settle`` says that it is not ours any more.

        :raises ShipperError: some of it cannot be read, and all else was taken; or it cannot be written.
        """
        intake = self._intake
        cut = self._cut = Cut(intake.name, intake.labels, intake.max_bytes, self._maker, portions)
        while not cut.done and cut is self._cut:
            turn = self._turn = Turn(cut)
            taking = self._taking = asyncio.ensure_future(intake.take(turn.read, _AT_ONCE))
            taking.add_done_callback(partial(self._taken, cut, portions))
            if not (await asyncio.wait({taking}, timeout=_BLOCKED))[0]:
                await self._blocked(taking, [partition.place for partition in portions])
            if not taking.cancelled():
                taking.result()
        if cut.failure is not None:
            raise cut.failure

    async def _blocked(self, taking: "asyncio.Future[Receipt | None]", places: Iterable[Place]) -> None:
        """Wait, and have nothing fetched meanwhile that would only take memory. Heartbeats go on by themselves."""
        self._client.hold(places)
        try:
            await asyncio.wait({taking})
        finally:
            self._client.go_on()

    async def settle(self, within: float | None) -> bool:
        """Take no more of what was fetched. Wait, at most so many seconds, until what was taken is durable; whether it
        is.
        """
        end = None if within is None else time.monotonic() + within
        turn, taking, self._cut = self._turn, self._taking, None
        if taking is not None and turn is not None:
            if turn.call_off():
                taking.cancel()  # it waits for room
            await asyncio.wait({taking}, timeout=within)  # also where it is done: ``_taken`` comes first
        if self._pending:
            await asyncio.wait(self._pending, timeout=None if end is None else max(0.0, end - time.monotonic()))
        return not self._pending and (taking is None or taking.done())

    def _taken(
        self, cut: Cut, portions: Mapping[Partition, list[Fetched]], taking: "asyncio.Future[Receipt | None]"
    ) -> None:
        if taking.cancelled() or taking.exception() is not None:
            return
        for partition in portions:
            partition.passed = max(partition.taken, partition.passed, cut.ends.get(partition, 0))
        marks = [(partition, partition.passed) for partition in portions]
        receipt = taking.result()
        future = self._last if receipt is None else receipt.durable
        if future is None or future.done():
            self._landed(marks, future)
        else:
            self._last = future
            self._pending.add(future)
            future.add_done_callback(partial(self._landed, marks))

    def _landed(self, marks: list[tuple[Partition, int]], future: "asyncio.Future[int] | None") -> None:
        if future is not None:
            self._pending.discard(future)
            self._hole = self._hole or future.cancelled() or future.exception() is not None
            if not future.cancelled() and future.exception() is not None:
                self.failure = future.exception()
                self._client.wake()
        if self._hole:
            return
        for partition, mark in marks:
            partition.durable = max(partition.durable, mark)
        self.moved.set()
