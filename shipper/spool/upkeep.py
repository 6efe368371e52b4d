"""What the writer does besides writing: it makes sinks give way, and carries out what the event loop orders."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from shipper.errors import DiskFull, ShipperError, SpoolError
from shipper.log import get_logger
from shipper.spool.dropping import Drop, Dropped, held_back
from shipper.spool.store import Store

if TYPE_CHECKING:
    from shipper.spool.subscription import Subscription

log = get_logger("spool")


class Upkeep:
    """That of one spool. ``make_way`` and ``carry_out`` are the writer's, all else belongs to the event loop."""

    def __init__(self, store: Store, feeds: "dict[str, Subscription]") -> None:
        self._store = store
        self._feeds = feeds
        self.loop: asyncio.AbstractEventLoop
        self.on_dropped: Callable[[Dropped], None] = lambda _dropped: None
        self.orders: deque[tuple[Callable[[], int], asyncio.Future[int]]] = deque()
        self._renamed = asyncio.Event()

    def order(self, work: Callable[[], int]) -> "asyncio.Future[int]":
        """Have the writer, which the caller wakes, do something. The future fails with what that raises."""
        future: asyncio.Future[int] = self.loop.create_future()
        self.orders.append((work, future))
        return future

    def forget(self, sink: str) -> int:
        """On the writer: see ``Retention.forget``."""
        return self._store.retention.forget(sink)

    def renew(self, disowned: bytes | None) -> int:
        """On the writer: take a new stream id; 0 where ``disowned`` is given and is not the one in force."""
        if disowned not in (None, self._store.log.stream):
            return 0
        self._store.log.take_new_stream()
        return 1

    def renamed(self, old: bytes, reason: str) -> None:
        """The stream id is another one."""
        log.warning("the spool has a new stream id", reason=reason, old=old.hex(), new=self._store.log.stream.hex())
        self._renamed.set()
        self._renamed = asyncio.Event()

    async def wait_renamed(self, stream: bytes) -> None:
        """Wait until the stream id is another one than ``stream``."""
        while self._store.log.stream == stream:
            await self._renamed.wait()

    @property
    def removed(self) -> dict[str, int]:
        """Sinks that the config does not have, and the bytes that wait for each."""
        cursors, removed = self._store.log.cursors, self._store.log.removed
        return {name: held_back(self._store.log, cursors[name].value.position) for name in removed if name in cursors}

    def make_way(self, *, blocked: bool) -> tuple[int, bool]:
        """Have sinks give up frames where they must.

        Returns how many segments are free now, and whether others will be once the event loop moved its cursors: it
        wakes the writer then.

        :raises SpoolFailed: the disk refused.
        """
        before = len(self._store.log.segments)
        try:
            drops = self._store.retention.make_way(blocked=blocked)
        except DiskFull:
            drops = []
        for drop in drops:
            self.loop.call_soon_threadsafe(self._drop, drop)
        self._tell()
        return before - len(self._store.log.segments), bool(drops)

    def _drop(self, drop: Drop) -> None:
        if drop.sink in self._feeds:
            self._feeds[drop.sink].drop(drop)

    def carry_out(self) -> bool:
        """Do what was ordered; False: nothing was."""
        done = bool(self.orders)
        while self.orders:
            work, future = self.orders.popleft()
            outcome: int | ShipperError
            try:
                outcome = work()
            except SpoolError as error:
                outcome = error
            self._tell()
            self.loop.call_soon_threadsafe(_settle, future, outcome)
        return done

    def _tell(self) -> None:
        dropped, self._store.retention.dropped = self._store.retention.dropped, []
        for one in dropped:
            self.loop.call_soon_threadsafe(self.on_dropped, one)


def _settle(future: "asyncio.Future[int]", outcome: int | ShipperError) -> None:
    if future.done():  # the caller cancelled it
        return
    if isinstance(outcome, int):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
