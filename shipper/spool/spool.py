"""The spool: the log behind a writer thread, for the event loop.

``append`` queues a draft and returns a future, which the writer (writer.py) resolves once the draft is durable. A disk
that refuses three times in a row ends the spool: every future fails, ``failed`` is set, ``on_failure`` is called, and
the process is expected to stop; nothing was acknowledged that is not durable.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shipper.errors import SpoolError, SpoolFailed
from shipper.log import get_logger
from shipper.spool.ages import Ages
from shipper.spool.body import Mark, Position
from shipper.spool.disk import OwnDisk
from shipper.spool.draft import EntryDraft
from shipper.spool.dropping import held_back
from shipper.spool.files import Damage
from shipper.spool.log import NOTHING
from shipper.spool.reader import Reader
from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store, open_store
from shipper.spool.subscription import Subscription
from shipper.spool.upkeep import Upkeep
from shipper.spool.writer import Answers, Writer
from shipper.units import Share

if TYPE_CHECKING:
    from shipper.ledger.changes import Changes

log = get_logger("spool")


def _warn(error: SpoolFailed) -> None:
    text = "the disk refused a write: what nobody was told about is written again, in a new segment"
    log.warning(text, error=str(error))


def _begin_again(error: SpoolFailed) -> None:
    log.warning("the disk refused: the opening of the spool begins again", error=str(error))


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
        disk: Callable[[Path], OwnDisk] = RealDisk,
    ) -> None:
        """Open or make the spool in ``root``; blocking, at most about a second. ``start`` begins to write.

        ``limits``: the sinks whose oldest frames may be dropped, and how many bytes each may hold back (None: as many
        as fit). ``disk``: the disk on which ``root`` is.

        :raises SpoolLocked: another process uses it.
        :raises FutureFormat: a newer shipper wrote it.
        :raises SpoolFailed: the disk refused.
        """
        self._disk = disk(root)
        self._disk.lock()
        try:
            self._store = open_store(
                lambda: Store(self._disk, max_bytes, dead_letter_bytes, sinks, min_free, limits), _begin_again
            )
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
        self.on_failure: Callable[[SpoolError], None] = lambda _error: None
        """Called on the event loop when the spool has failed for good."""
        self._log.refused = _warn
        self.on_delivered: Final[dict[str, Callable[[], object]]] = {}
        """Called on the event loop when ``delivered`` may have moved."""
        self._subscriptions: dict[str, Subscription] = {}
        self.upkeep: Final = Upkeep(self._store, self._subscriptions)
        """``upkeep.on_dropped`` is called on the event loop for what a sink lost."""
        self._ages = Ages(self._log.next_seq)
        self._writer = Writer(self._disk, self._store, self.upkeep, self)

    @property
    def failed(self) -> SpoolError | None:
        """Why nothing more is written, for good; None: all is well."""
        return self._writer.failed

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
        return self.blocked_by is not None

    @property
    def blocked_by(self) -> str | None:
        """What there is no room for, for people: "max_bytes", "min_free" or "the disk is full"; None: nothing."""
        return self._writer.blocked_by

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

    def follow_ledger(self) -> "Changes":
        """What changes in the ledger, from the opening on. Asked for before ``start``; then it is the writer's."""
        return self._log.facts.follow()

    def start(self) -> None:
        """Start the writer; called on the event loop that ``append`` will be called on."""
        self._log.facts.begin()
        self._writer.start()

    async def on_writer(self, work: Callable[[], int]) -> int:
        """Have something done on the writer's thread, between two groups. :raises SpoolError: it is closed."""
        return await self._writer.order(work)

    def append(self, draft: EntryDraft, future: "asyncio.Future[int] | None" = None) -> "asyncio.Future[int]":
        """Queue a draft. The future, the caller's or a new one, resolves with its first sequence number after the
        ``fdatasync`` that covers it.

        Order of calls is order of numbers. A draft that takes no number (dead letters, notes) may overtake those that
        do: it must not change the state that they change. A duplicate resolves with 0 once its original is durable.
        The future fails with ProtocolError (out of order), SpoolError (too large, closed) or SpoolFailed (the disk).
        """
        return self._writer.append(draft, future)

    def subscribe(self, name: str) -> Subscription:
        """The view of a sink that was named at the opening."""

        def new_reader() -> Reader:
            return self._store.reader(partial(self._writer.report, name))

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
        return await self._writer.order(lambda: self.upkeep.forget(sink))

    async def strike_letters(self) -> None:
        """Strike out the dead letters that were replayed last. :raises SpoolError: refused by the disk, or closed."""
        await self._writer.order(self._store.strike)

    async def drop_letters(self, files: Mapping[str, int]) -> None:
        """Remove files of replayed dead letters: see ``Store.drop_letters``. :raises SpoolError: as above."""
        await self._writer.order(lambda: self._store.drop_letters(files))

    async def take_new_stream(self, reason: str, disowned: bytes | None = None) -> None:
        """Go on under a new stream id and incarnation, durable when this returns. Numbers go on.

        Frames that wait under a former id are stamped anew when they are read. ``disowned``: only if that is the id in
        force.

        :raises SpoolError: the disk refused, or the spool is closed.
        """
        old = self.stream
        if await self._writer.order(lambda: self.upkeep.renew(disowned)):
            self.upkeep.renamed(old, reason)

    async def wait_renamed(self, stream: bytes) -> None:
        """Wait until the stream id is another one than ``stream``."""
        await self.upkeep.wait_renamed(stream)

    def age(self, seq: int) -> float:
        """Seconds since a frame became durable, to about a second."""
        return self._ages.of(seq)

    def cursor_moved(self, *, new_segment: bool) -> None:
        """A subscription acknowledged something."""
        for moved in self.on_delivered.values():
            moved()
        self._writer.cursor_moved(new_segment=new_segment)

    async def close(self) -> None:
        """Write what is queued, seal, give everything back. What is still blocked by a full spool is not written.

        :raises SpoolFailed: the disk refused; what was acknowledged is safe all the same.
        """
        await self._writer.close()
        for subscription in self._subscriptions.values():
            subscription.close()
        if self.failed is not None:
            raise self.failed

    def answered(self, answers: Answers) -> None:
        """The writer's: tell who waits."""
        self._ages.reached(self._log.next_seq)
        for future, outcome in answers:
            if future.done():  # the caller cancelled it
                continue
            if isinstance(outcome, int):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        for subscription in self._subscriptions.values():
            subscription.wake()

    def damaged(self, damage: Damage) -> None:
        """The writer's: damage was met and noted."""
        self.damages.append(damage)
        self.on_damage(damage)

    def ended(self, error: SpoolError) -> None:
        """The writer's: the spool has failed."""
        self.on_failure(error)
