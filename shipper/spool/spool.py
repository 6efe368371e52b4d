"""The spool: the log behind a writer thread, for the event loop.

``append`` queues a draft and returns a future. The writer takes all that has gathered while it synced the last group,
writes and syncs it as one (group commit), and resolves the futures. While the log is full, drafts with frames wait in
the queue, those without (dead letters, notes) go on; on a full disk all wait, and once a second it is tried again. A
disk that refuses three times in a row ends the spool: every future fails, ``failed`` is set, ``on_failure`` is called,
and the process is expected to stop; nothing was acknowledged that is not durable.
"""

import asyncio
import bisect
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from shipper.errors import DiskFull, ShipperError, SpoolError, SpoolFailed
from shipper.log import get_logger
from shipper.spool.body import Mark, Position
from shipper.spool.disk import RealDisk
from shipper.spool.draft import EntryDraft
from shipper.spool.dropping import held_back
from shipper.spool.files import Damage
from shipper.spool.log import NOTHING
from shipper.spool.reader import Reader
from shipper.spool.store import Store
from shipper.spool.subscription import Subscription
from shipper.spool.upkeep import Upkeep
from shipper.units import Share

_GROUP: Final = 256
"""Drafts at most in one commit."""
_CURSOR_INTERVAL: Final = 1.0
_RETRY_INTERVAL: Final = 1.0
_AGES: Final = 3600
log = get_logger("spool")

_Queued = tuple[EntryDraft, "asyncio.Future[int]"]
T = TypeVar("T")


def _is_ordered(draft: EntryDraft) -> bool:
    """The draft takes a number; what does not may overtake those that do."""
    return bool(draft.frames) or draft.upstream is not None


def _warn(error: SpoolFailed) -> None:
    text = "the disk refused a write: what nobody was told about is written again, in a new segment"
    log.warning(text, error=str(error))


class Spool:
    """The disk-backed queue of one agent or collector. Everything but the writer runs on one event loop."""

    def __init__(
        self,
        root: Path,
        max_bytes: int,
        dead_letter_bytes: int,
        sinks: Sequence[str],
        min_free: Share = NOTHING,
        limits: Mapping[str, int | None] | None = None,
    ) -> None:
        """Open or make the spool in ``root``; blocking, at most about a second. ``start`` begins to write.

        ``limits``: the sinks whose oldest frames may be dropped, and how many bytes each may hold back (None: as many
        as fit).

        :raises SpoolLocked: another process uses it.
        :raises FutureFormat: a newer shipper wrote it.
        :raises SpoolFailed: the disk refused.
        """
        self._disk = RealDisk(root)
        self._disk.lock()
        try:
            self._store = Store(self._disk, max_bytes, dead_letter_bytes, sinks, min_free, limits)
        except BaseException:
            self._disk.unlock()
            raise
        self._log: Final = self._store.log
        self.max_frame: Final = self._log.max_frame
        self.max_bytes: Final = max_bytes
        self._min_free: Final = min_free
        self.damages: Final = list(self._log.damages)
        """What was found damaged at the start, and since."""
        self.on_damage: Callable[[Damage], None] = lambda _damage: None
        """Called on the event loop for each damage found while running."""
        self.failed: SpoolError | None = None
        self.on_failure: Callable[[SpoolError], None] = lambda _error: None
        """Called on the event loop when the spool has failed for good."""
        self._log.refused = _warn
        self.on_delivered: Final[dict[str, Callable[[], object]]] = {}
        """Called on the event loop when ``delivered`` may have moved."""
        self._subscriptions: dict[str, Subscription] = {}
        self.upkeep: Final = Upkeep(self._store, self._subscriptions)
        """``upkeep.on_dropped`` is called on the event loop for what a sink lost."""
        self._ages: deque[tuple[int, float]] = deque([(self._log.next_seq, time.monotonic())], maxlen=_AGES)
        self._changed = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._urgent: deque[_Queued] = deque()
        self._writing: list[_Queued] = []
        """What the writer has taken and not answered yet."""
        self._found: deque[Damage] = deque()
        self._reclaimable = True
        self._dirty = True
        self._blocked_by: str | None = None
        self._waiting = False
        """Nothing is taken from the queue until there is room."""
        self._notes_wait = False
        """Not even from ``_urgent``."""
        self._retry_at: float | None = None
        """When it is looked whether the disk has room again; monotonic."""
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)

    @property
    def stream(self) -> bytes:
        """The stream id under which frames are written and sent."""
        return self._log.identity.stream

    @property
    def home(self) -> bytes:
        """The stream id that the numbers began under."""
        return self._log.identity.home

    @property
    def epoch(self) -> int:
        """Raised at every open."""
        return self._log.identity.epoch

    @property
    def incarnation(self) -> bytes:
        """Random, new with each epoch and each stream id."""
        return self._log.identity.incarnation

    @property
    def next_seq(self) -> int:
        """The number that the next frame gets."""
        return self._log.next_seq

    @property
    def state(self) -> dict[str, bytes]:
        """A copy of the state by key: what sources and processors go on from."""
        return dict(self._log.state)

    @property
    def marks(self) -> dict[bytes, Mark]:
        """What is held of each upstream stream, durably."""
        return self._log.held

    @property
    def floor(self) -> int:
        """The first sequence number that some sink has not acknowledged."""
        return self._log.floor

    @property
    def delivered(self) -> int:
        """The first sequence number that some sink of the config has not acknowledged and still gets."""
        return min([self.next_seq, *(subscription.passed for subscription in self._subscriptions.values())])

    @property
    def used(self) -> int:
        """Bytes that the segments take on disk."""
        return self._log.used

    @property
    def blocked(self) -> bool:
        """There is no room: appends with frames wait for some."""
        return self._blocked_by is not None

    @property
    def blocked_by(self) -> str | None:
        """What there is no room for, for people: "max_bytes", "min_free" or "the disk is full"; None: nothing."""
        return self._blocked_by

    @property
    def disk_room(self) -> int:
        """Bytes that the disk has beyond ``min_free``. :raises SpoolFailed: the disk refused."""
        space = self._disk.space()
        return max(0, space.free - self._min_free.of(space.total))

    @property
    def dead_letter_room(self) -> int:
        """Bytes of dead letters that still fit."""
        return self._store.dead.room

    @property
    def dead_letter_bytes(self) -> int:
        """Bytes of dead letters that are kept."""
        return self._store.dead.used

    def start(self) -> None:
        """Start the writer; called on the event loop that ``append`` will be called on."""
        self._loop = self.upkeep.loop = asyncio.get_running_loop()
        self._thread.start()

    def append(self, draft: EntryDraft) -> "asyncio.Future[int]":
        """Queue a draft. The future resolves with its first sequence number after the ``fdatasync`` that covers it.

        Order of calls is order of numbers. A draft that takes no number (dead letters, notes) may overtake those that
        do: it must not change the state that they change. A duplicate resolves with 0 once its original is durable.
        The future fails with ProtocolError (out of order), SpoolError (too large, closed) or SpoolFailed (the disk).
        """
        future: asyncio.Future[int] = self._loop.create_future()
        with self._changed:
            if self.failed is None and not self._stopping:
                (self._queue if _is_ordered(draft) else self._urgent).append((draft, future))
                self._changed.notify()
                return future
        future.set_exception(self.failed or SpoolError("the spool is closed"))
        return future

    def subscribe(self, name: str) -> Subscription:
        """The view of a sink that was named at the opening."""

        def new_reader() -> Reader:
            return self._store.reader(self._report)

        self._subscriptions[name] = subscription = Subscription(self, new_reader, self._log.cursors[name])
        return subscription

    def segment_of(self, seq: int) -> tuple[int, Position] | None:
        """The first number, and the place before it, of the last segment that begins at or before a number."""
        found = [segment for segment in self._log.segments.values() if segment.header.first <= seq]
        last = max(found, key=lambda segment: segment.header.id, default=None)
        return None if last is None else (last.header.first, Position(last.header.id, last.begin))

    def held_back(self, at: Position) -> int:
        """Bytes written at and after a place."""
        return held_back(self._log, at)

    @property
    def removed_sinks(self) -> dict[str, int]:
        """Sinks that left something here and that the config no longer has, with the bytes that wait for each."""
        return self.upkeep.removed

    async def forget(self, sink: str) -> int:
        """Give up what waits for a removed sink, durably; the bytes that became free.

        :raises SpoolError: the config has the sink, or it left nothing here; or the spool is closed.
        """
        return await self._order(lambda: self.upkeep.forget(sink))

    async def take_new_stream(self, reason: str, disowned: bytes | None = None) -> None:
        """Go on under a new stream id and incarnation, durable when this returns. Numbers go on.

        Frames that wait under a former id are stamped anew when they are read. ``disowned``: only if that is the id in
        force.

        :raises SpoolError: the disk refused, or the spool is closed.
        """
        old = self.stream
        if await self._order(lambda: self.upkeep.renew(disowned)):
            self.upkeep.renamed(old, reason)

    async def wait_renamed(self, stream: bytes) -> None:
        """Wait until the stream id is another one than ``stream``."""
        await self.upkeep.wait_renamed(stream)

    async def _order(self, work: Callable[[], int]) -> int:
        with self._changed:
            if self.failed is not None or self._stopping:
                raise self.failed or SpoolError("the spool is closed")
            future = self.upkeep.order(work)
            self._changed.notify()
        return await future

    def age(self, seq: int) -> float:
        """Seconds since a frame became durable, to about a second."""
        at = bisect.bisect_right(self._ages, seq, key=lambda entry: entry[0])
        return time.monotonic() - self._ages[max(0, at - 1)][1]

    def cursor_moved(self, *, new_segment: bool) -> None:
        """A subscription acknowledged something."""
        for moved in self.on_delivered.values():
            moved()
        if new_segment or not self._dirty:
            with self._changed:
                self._dirty = True
                self._reclaimable = self._reclaimable or new_segment
                self._changed.notify()

    def _report(self, damage: Damage) -> None:
        """A reader found damage (on any thread): the writer keeps a copy and notes it."""
        with self._changed:
            self._found.append(damage)
            self._changed.notify()

    async def close(self) -> None:
        """Write what is queued, seal, give everything back. What is still blocked by a full spool is not written.

        :raises SpoolFailed: the disk refused; what was acknowledged is safe all the same.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        for subscription in self._subscriptions.values():
            subscription.close()
        for _, future in [*self._queue, *self._urgent]:
            future.cancel()
        if self.failed is not None:
            raise self.failed

    def _write(self) -> None:
        """The writer thread."""
        synced = time.monotonic()
        try:
            while True:
                group, stop = self._wait(synced)
                if group:
                    self._commit(group)
                if self.upkeep.carry_out():
                    self._reclaimable = True  # a full spool may have room now
                self._note_damage()
                if (self._dirty or self._store.behind) and time.monotonic() - synced >= _CURSOR_INTERVAL:
                    self._dirty = False
                    synced = time.monotonic()
                    self._store.tend()
                    self._with_room(self._log.sync_cursors)
                if self._reclaimable:
                    self._reclaimable = False
                    if (self._with_room(self._log.reclaim) or 0) + self.upkeep.make_way(blocked=self._waiting)[0]:
                        self._waiting = self._notes_wait = False
                if stop and not group:
                    self._store.close()
                    break
        except Exception as error:  # noqa: BLE001 - whatever ends the writer must fail every future, or all would hang
            self._fail(error if isinstance(error, SpoolError) else SpoolFailed(f"the spool's writer failed: {error!r}"))
            self._store.abandon()
        finally:
            self._disk.unlock()

    def _note_damage(self) -> None:
        """Keep and note what readers found."""
        while self._found:
            damage = self._found.popleft()
            if self._log.report(damage):
                self._loop.call_soon_threadsafe(self._tell, damage)

    def _with_room(self, work: Callable[[], T]) -> T | None:
        """Do what needs the cursors on the disk; for want of room later."""
        try:
            return work()
        except DiskFull:
            self._retry_at = time.monotonic() + _RETRY_INTERVAL
            return None

    def _wait(self, synced: float) -> tuple[list[_Queued], bool]:
        """Sleep until there is something to do; take what is queued."""
        with self._changed:
            while not (
                (self._urgent and not self._notes_wait)
                or self._found
                or self.upkeep.orders
                or self._stopping
                or self._reclaimable
                or (self._queue and not self._waiting)
            ):
                due = [synced + _CURSOR_INTERVAL] if self._dirty or self._store.behind else []
                due += [] if self._retry_at is None else [self._retry_at]
                left = min(due) - time.monotonic() if due else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            if self._retry_at is not None and time.monotonic() >= self._retry_at:
                self._retry_at = None
                self._waiting = self._notes_wait = False
                self._reclaimable = self._dirty = True
            group: list[_Queued] = []
            if not self._notes_wait:
                group += self._urgent
                self._urgent.clear()
            while self._queue and not self._waiting and len(group) < _GROUP:
                group.append(self._queue.popleft())
            self._writing = group
            return group, self._stopping

    def _commit(self, group: list[_Queued]) -> None:
        """Write a group; what did not get in goes back to the head of the queue."""
        before = self._log.segments
        drafts = [draft for draft, _ in group]
        outcomes = self._store.commit(drafts)
        giving_way = False
        while len(outcomes) < len(drafts) and not giving_way:
            freed, giving_way = self.upkeep.make_way(blocked=True)
            if not freed:
                break
            outcomes += self._store.commit(drafts[len(outcomes) :])
        rest = group[len(outcomes) :]
        with self._changed:
            self._writing = []
            self._reclaimable = self._reclaimable or self._log.segments is not before
            self._block(rest, giving_way=giving_way)
        done = [(future, outcome) for (_, future), outcome in zip(group, outcomes, strict=False)]
        self._dirty = True  # the durable mark in the cursors' slots moves about once a second
        self._loop.call_soon_threadsafe(self._resolve, done)

    def _block(self, rest: list[_Queued], *, giving_way: bool) -> None:
        """Remember what did not get in, and why; room that sinks are about to give up is nothing to talk about."""
        notes = [queued for queued in rest if not _is_ordered(queued[0])]
        self._urgent.extendleft(reversed(notes))
        self._queue.extendleft(queued for queued in reversed(rest) if _is_ordered(queued[0]))
        before, reason = self._blocked_by, self._log.blocked_by if rest and not giving_way else None
        if rest:
            self._waiting = self._reclaimable = True
            self._notes_wait = bool(notes)
            self._retry_at = None if reason == "max_bytes" else time.monotonic() + _RETRY_INTERVAL
        if not rest and (self._waiting or not before):
            return  # a note that passes the queue says nothing about it
        self._blocked_by = reason
        if reason is not None and reason != before:
            log.warning("no room: the sources stop reading, delivery goes on; all resumes by itself", reason=reason)
        elif before is not None and reason is None:
            log.info("there is room again: the sources read on", reason=before)

    def _resolve(self, done: Sequence[tuple["asyncio.Future[int]", int | ShipperError]]) -> None:
        """On the event loop: tell who waits."""
        now = time.monotonic()
        if now - self._ages[-1][1] >= 1.0:
            self._ages.append((self._log.next_seq, now))
        for future, outcome in done:
            if future.done():  # the caller cancelled it
                continue
            if isinstance(outcome, int):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        for subscription in self._subscriptions.values():
            subscription.wake()

    def _tell(self, damage: Damage) -> None:
        self.damages.append(damage)
        self.on_damage(damage)

    def _fail(self, error: SpoolError) -> None:
        with self._changed:
            self.failed = error
            waiting = [it[1] for it in (*self._writing, *self._urgent, *self._queue, *self.upkeep.orders)]
        self._loop.call_soon_threadsafe(self._resolve, [(future, error) for future in waiting])
        self._loop.call_soon_threadsafe(self.on_failure, error)
        log.error("the spool stopped: nothing more is acknowledged", error=str(error))
