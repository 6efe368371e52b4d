"""The spool's writer: one thread that owns the store, and what the event loop hands to it.

It takes all that has gathered while it synced the last group, writes and syncs it as one (group commit), and has the
event loop told. Whatever ends it fails every future, or all would hang.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from shipper.errors import DiskFull, ShipperError, SpoolError, SpoolFailed
from shipper.log import get_logger
from shipper.spool.disk import OwnDisk
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage
from shipper.spool.queue import Queue, Queued
from shipper.spool.store import Store
from shipper.spool.upkeep import Upkeep

_CURSOR_INTERVAL: Final = 1.0
log = get_logger("spool")

T = TypeVar("T")
Answers = Sequence[tuple["asyncio.Future[int]", int | ShipperError]]


class Told(Protocol):
    """What the event loop is told; each is called on it."""

    def answered(self, answers: Answers) -> None:
        """Drafts were written, or refused."""
        ...

    def damaged(self, damage: Damage) -> None:
        """Damage was met and noted."""
        ...

    def ended(self, error: SpoolError) -> None:
        """The spool has failed for good."""
        ...


class Writer:
    """That of one spool. Its public methods are the event loop's, but for ``report``, which any thread may call."""

    def __init__(self, disk: OwnDisk, store: Store, upkeep: Upkeep, told: Told) -> None:
        self._disk = disk
        self._store = store
        self._log: Final = store.log
        self._upkeep = upkeep
        self._told = told
        self.failed: SpoolError | None = None
        self._changed = threading.Condition()
        self._queue = Queue(lambda: {"directory": disk.root, **self._log.room})
        self._found: deque[tuple[Damage, str]] = deque()
        self._reclaimable = True
        self._filled: int | None = None
        """The newest segment when the disk began to refuse all that it was given; None: it does not. Later ones hold
        nothing, and make no room when they go."""
        self._dirty = True
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)

    @property
    def blocked_by(self) -> str | None:
        """What there is no room for, in words; None: nothing."""
        return self._queue.blocked_by

    def start(self) -> None:
        """Begin to write; called on the event loop that all else is called on."""
        self._loop = self._upkeep.loop = asyncio.get_running_loop()
        self._thread.start()

    def append(self, draft: EntryDraft, future: "asyncio.Future[int] | None" = None) -> "asyncio.Future[int]":
        """Queue a draft: see ``Spool.append``."""
        future = self._loop.create_future() if future is None else future
        with self._changed:
            if self.failed is None and not self._stopping:
                self._queue.put(draft, future)
                self._changed.notify()
                return future
        future.set_exception(self.failed or SpoolError("the spool is closed"))
        return future

    async def order(self, work: Callable[[], int]) -> int:
        """Have something done on the writer's thread. :raises SpoolError: what that raises; or the spool is closed."""
        with self._changed:
            if self.failed is not None or self._stopping:
                raise self.failed or SpoolError("the spool is closed")
            future = self._upkeep.order(work)
            self._changed.notify()
        return await future

    def cursor_moved(self, *, new_segment: bool) -> None:
        """A subscription acknowledged something."""
        if new_segment or not self._dirty:
            with self._changed:
                self._dirty = True
                self._reclaimable = self._reclaimable or new_segment
                self._changed.notify()

    def report(self, sink: str, damage: Damage) -> None:
        """The reader of a sink found damage: keep a copy and note it."""
        with self._changed:
            self._found.append((damage, sink))
            self._changed.notify()

    async def close(self) -> None:
        """Write what is queued, seal, give everything back. What is still blocked is not written."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        for future in self._queue.futures:
            future.cancel()

    def _write(self) -> None:
        """The thread."""
        synced = time.monotonic()
        try:
            while True:
                group, stop = self._wait(synced)
                if group:
                    self._commit(group)
                if self._upkeep.carry_out():
                    self._reclaimable = True  # a full spool may have room now
                self._note_damage()
                if (self._dirty or self._store.behind) and time.monotonic() - synced >= _CURSOR_INTERVAL:
                    self._dirty = False
                    synced = time.monotonic()
                    self._store.tend()
                    self._with_room(self._log.sync_cursors)
                if self._reclaimable:
                    self._reclaimable = False
                    waiting = self._queue.waiting
                    if self._reclaim() + self._upkeep.make_way(blocked=waiting)[0]:
                        self._queue.admit()
                if stop and not group:
                    self._store.close()
                    break
        except Exception as error:  # noqa: BLE001 - whatever ends the writer must fail every future, or all would hang
            self._fail(error if isinstance(error, SpoolError) else SpoolFailed(f"the spool's writer failed: {error!r}"))
            self._store.abandon()
        finally:
            self._disk.unlock()

    def _wait(self, synced: float) -> tuple[list[Queued], bool]:
        """Sleep until there is something to do; take what is queued."""
        queue = self._queue
        with self._changed:
            while not (queue.ready or self._found or self._upkeep.orders or self._stopping or self._reclaimable):
                due = [synced + _CURSOR_INTERVAL] if self._dirty or self._store.behind else []
                due += [] if queue.retry_at is None else [queue.retry_at]
                left = min(due) - time.monotonic() if due else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            if queue.retry():
                self._reclaimable = self._dirty = True
            return queue.take(), self._stopping

    def _commit(self, group: list[Queued]) -> None:
        """Write a group; what did not get in goes back to the head of the queue."""
        before = self._log.segments
        drafts = [draft for draft, _ in group]
        outcomes = self._store.commit(drafts)
        giving_way = False
        while len(outcomes) < len(drafts) and not giving_way:
            freed, giving_way = self._upkeep.make_way(blocked=True)
            if not freed:
                break
            outcomes += self._store.commit(drafts[len(outcomes) :])
        rest = group[len(outcomes) :]
        if outcomes or not rest:
            self._filled = None
        elif self._filled is None:
            self._filled = max(before, default=0)
        with self._changed:
            self._reclaimable = self._reclaimable or self._log.segments is not before or bool(rest)
            self._queue.answer(rest, self._log.blocked_by if rest and not giving_way else None)
        done = [(future, outcome) for (_, future), outcome in zip(group, outcomes, strict=False)]
        self._dirty = True  # the durable mark in the cursors' slots moves about once a second
        self._loop.call_soon_threadsafe(self._told.answered, done)

    def _reclaim(self) -> int:
        """Unlink the segments that every cursor has passed; how many of them made room."""
        before = self._log.segments
        self._with_room(self._log.reclaim)
        gone = before.keys() - self._log.segments.keys()
        return sum(self._filled is None or number <= self._filled for number in gone)

    def _note_damage(self) -> None:
        """Keep and note what readers found."""
        while self._found:
            damage, sink = self._found.popleft()
            if self._log.notes.report(damage, sink):
                self._loop.call_soon_threadsafe(self._told.damaged, damage)

    def _with_room(self, work: Callable[[], T]) -> T | None:
        """Do what needs the cursors on the disk; for want of room later."""
        try:
            return work()
        except DiskFull:
            self._queue.retry_later()
            return None

    def _fail(self, error: SpoolError) -> None:
        with self._changed:
            self.failed = error
            waiting = [*self._queue.futures, *(future for _, future in self._upkeep.orders)]
        self._loop.call_soon_threadsafe(self._told.answered, [(future, error) for future in waiting])
        self._loop.call_soon_threadsafe(self._told.ended, error)
        log.error("the spool stopped: nothing more is acknowledged", error=str(error))
