"""The spool: the log behind a writer thread, for the event loop.

``append`` queues a draft and returns a future. The writer takes all that has gathered while it synced the last group,
writes and syncs it as one (group commit), and resolves the futures. While the log is full, drafts with frames wait in
the queue, those without (dead letters, notes) go on. A disk error ends the spool: every future fails, ``failed`` is
set, and the process is expected to stop; nothing was acknowledged that is not durable.
"""

import asyncio
import bisect
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from shipper.errors import ShipperError, SpoolError, SpoolFailed
from shipper.log import get_logger
from shipper.spool.body import Mark
from shipper.spool.disk import RealDisk
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage
from shipper.spool.reader import Reader
from shipper.spool.store import Store
from shipper.spool.subscription import Subscription

_GROUP: Final = 256
"""Drafts at most in one commit."""
_CURSOR_INTERVAL: Final = 1.0
_AGES: Final = 3600
log = get_logger("spool")

_Queued = tuple[EntryDraft, "asyncio.Future[int]"]


class Spool:
    """The disk-backed queue of one agent or collector. Everything but the writer runs on one event loop."""

    def __init__(self, root: Path, max_bytes: int, dead_letter_bytes: int, sinks: Sequence[str]) -> None:
        """Open or make the spool in ``root``; blocking, at most about a second. ``start`` begins to write.

        :raises SpoolLocked: another process uses it.
        :raises FutureFormat: a newer shipper wrote it.
        :raises SpoolFailed: the disk refused.
        """
        self._disk = RealDisk(root)
        self._disk.lock()
        try:
            self._store = Store(self._disk, max_bytes, dead_letter_bytes, sinks)
        except BaseException:
            self._disk.unlock()
            raise
        self._log: Final = self._store.log
        self.stream: Final = self._log.stream
        self.epoch: Final = self._log.epoch
        self.incarnation: Final = self._log.incarnation
        self.max_frame: Final = self._log.max_frame
        self.max_bytes: Final = max_bytes
        self.damages: Final = list(self._log.damages)
        """What was found damaged at the start, and since."""
        self.on_damage: Callable[[Damage], None] = lambda _damage: None
        """Called on the event loop for each damage found while running."""
        self.failed: SpoolError | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._ages: deque[tuple[int, float]] = deque([(self._log.next_seq, time.monotonic())], maxlen=_AGES)
        self._changed = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._urgent: deque[_Queued] = deque()
        self._writing: list[_Queued] = []
        """What the writer has taken and not answered yet."""
        self._found: deque[Damage] = deque()
        self._reclaimable = True
        self._dirty = True
        self._blocked = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)

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
    def used(self) -> int:
        """Bytes that the segments take on disk."""
        return self._log.used

    @property
    def blocked(self) -> bool:
        """The spool is full: appends with frames wait until a sink acknowledged enough."""
        return self._blocked

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
        self._loop = asyncio.get_running_loop()
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
                ordered = draft.frames or draft.upstream is not None
                (self._queue if ordered else self._urgent).append((draft, future))
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

    def segment_ends(self) -> dict[int, int]:
        """Bytes written in each segment."""
        return {number: segment.end for number, segment in self._log.segments.items()}

    def age(self, seq: int) -> float:
        """Seconds since a frame became durable, to about a second."""
        at = bisect.bisect_right(self._ages, seq, key=lambda entry: entry[0])
        return time.monotonic() - self._ages[max(0, at - 1)][1]

    def cursor_moved(self, *, new_segment: bool) -> None:
        """A subscription acknowledged something."""
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
        for _, future in self._queue:
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
                while self._found:
                    damage = self._found.popleft()
                    if self._log.report(damage):
                        self._loop.call_soon_threadsafe(self._tell, damage)
                if self._dirty and time.monotonic() - synced >= _CURSOR_INTERVAL:
                    self._dirty = False
                    self._log.sync_cursors()
                    synced = time.monotonic()
                if self._reclaimable:
                    self._reclaimable = False
                    if self._log.reclaim():
                        self._blocked = False
                if stop and not group:
                    self._store.close()
                    break
        except Exception as error:  # noqa: BLE001 - whatever ends the writer must fail every future, or all would hang
            self._fail(error if isinstance(error, SpoolError) else SpoolFailed(f"the spool's writer failed: {error!r}"))
            self._store.abandon()
        finally:
            self._disk.unlock()

    def _wait(self, synced: float) -> tuple[list[_Queued], bool]:
        """Sleep until there is something to do; take what is queued."""
        with self._changed:
            while not (
                self._urgent
                or self._found
                or self._stopping
                or self._reclaimable
                or (self._queue and not self._blocked)
            ):
                timeout = max(0.0, synced + _CURSOR_INTERVAL - time.monotonic()) if self._dirty else None
                if not self._changed.wait(timeout) and self._dirty:
                    break
            group = list(self._urgent)
            self._urgent.clear()
            while self._queue and not self._blocked and len(group) < _GROUP:
                group.append(self._queue.popleft())
            self._writing = group
            return group, self._stopping

    def _commit(self, group: list[_Queued]) -> None:
        """Write a group; what did not get in goes back to the head of the queue."""
        outcomes = self._store.commit([draft for draft, _ in group])
        rest = group[len(outcomes) :]
        with self._changed:
            self._writing = []
            if rest:
                self._queue.extendleft(reversed(rest))
                self._blocked = self._reclaimable = True
        done = [(future, outcome) for (_, future), outcome in zip(group, outcomes, strict=False)]
        self._dirty = True  # the durable mark in the cursors' slots moves about once a second
        self._loop.call_soon_threadsafe(self._resolve, done)

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
            waiting = [*self._writing, *self._urgent, *self._queue]
        self._loop.call_soon_threadsafe(self._resolve, [(future, error) for _, future in waiting])
        log.error("the spool stopped: nothing more is acknowledged", error=str(error))
