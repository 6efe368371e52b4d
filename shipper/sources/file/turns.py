"""Turns: reads of files, handed to the intake together with what waits to become durable.

What a frame costs is mostly the way there and back: from the loop to a worker thread, to the writer, and to the disk
that syncs it. So several go that way together: of one file that has them, or of several files.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from shipper.batch import Batch, Payload
from shipper.sources.base import Intake
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.changes import NOTHING, Carried
from shipper.sources.file.discover import Discovery
from shipper.sources.file.lags import Lags
from shipper.sources.file.schedule import IDLE, OUT, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.worker import Worker, stands

if TYPE_CHECKING:
    from shipper.sources.file.join import Joiner

FRAMES: Final = 4
"""So many are read in one go, and more only where more files have their turn: each gives one. Every other file gets its
turn after four frames at the latest."""
_RECENTLY: Final = 1.0
"""Seconds: a scan that takes as long as this is not too long ago when it is done."""
_LOOK: Final = 0.5
_SHARE: Final = 20
"""While the intake has no room, the files are looked at every ``_LOOK`` seconds, and so many times as seldom as a look
takes."""


class Turns:
    """Those of one source. A tail that has its turn is ``AWAY``; what it does next is the follower's business."""

    def __init__(
        self, intake: Intake, catalog: Catalog, schedule: Schedule, discovery: Discovery, lags: Lags, worker: Worker
    ) -> None:
        self._intake = intake
        self._catalog = catalog
        self._schedule = schedule
        self._discovery = discovery
        self._lags = lags
        self._worker = worker

    async def turn(self, tail: Tail, after: Tail) -> bool:
        """``round`` for one tail, which comes before another that is ``AWAY`` too."""
        read = await self.round([tail], after=[after])
        self.note(after)
        return tail in read

    async def round(
        self, tails: Iterable[Tail], worth: int = 1, *, flush: bool = False, after: Iterable[Tail] = ()
    ) -> set[Tail]:
        """Let the intake read from tails, and several times from one that still has ``worth`` bytes. Those whose last
        read gave something. ``after``: tails that are ``AWAY`` and wait for these.
        """
        turns = _Round(tails, worth, self._worker, flush=flush)
        for tail in turns.tails if self._worker.joins else ():
            tail.looked = self.looked(tail)
        await self.take(turns.next, len(turns.tails) + FRAMES - 1, [*turns.tails, *after])
        return {tail for tail in turns.tails if self._done(tail, turns)}

    def looked(self, tail: Tail) -> float:
        """See ``Tail.looked``."""
        for newer in self._catalog.order.after(tail):
            if newer.stage != OUT and (newer.stage != IDLE or newer.unread) and self._catalog.claimed(newer):
                return -math.inf
        return 0.0 if self._discovery.holds_back(tail.line) else self._discovery.looked

    async def may_flush(self, tail: Tail) -> bool:
        """Whether it is certain that nothing went on with an open record before it was due: while nothing ran, a newer
        file may have come. Else that one's turn comes next, or a scan, which finds it.
        """
        due = math.inf if tail.joiner is None else tail.joiner.due
        if not due <= time.monotonic() < tail.half_due:
            return True
        looked = self.looked(tail)
        if looked == -math.inf:
            return False
        if looked < due and not await asyncio.to_thread(stands, tail):
            self._discovery.hint()
            return False
        return True

    def may_go_on_elsewhere(self, tail: Tail, linger: float) -> bool:
        """Whether a newer file may go on with what is open in a tail that was quiet for ``linger`` seconds: one waits,
        or nobody has looked for one since. Then somebody does.
        """
        recently = time.monotonic() - max(linger, _RECENTLY)
        if tail.joiner is None or tail.joiner.idle or self.looked(tail) >= recently:
            return False
        self._discovery.hint()
        return True

    def _done(self, tail: Tail, turns: "_Round") -> bool:
        """Deal with what a turn brought. Whether something was read and the tail is still followed."""
        discovery = self._discovery
        if tail.given_up and tail in self._catalog.tails:
            discovery.forget(tail)
        if tail not in self._catalog.tails:
            tail.close()
            return False
        if tail.descriptor >= 0:
            discovery.descriptors.used(tail)
        self.note(tail)
        if tail in turns.failures:
            self._failed(tail, turns.failures[tail])
        return tail in turns.read

    async def take(self, read: Callable[[Carried], Batch | None], most: int = 1, tails: Collection[Tail] = ()) -> bool:
        """Let the intake take batches, the first of which carries what waits for one. Whether there was one. ``tails``:
        those that are ``AWAY``.
        """
        changes = self._discovery.changes
        carried = waiting = changes.some()
        newer: list[str] = []

        def work() -> Batch | None:
            nonlocal waiting
            batch = read(waiting)
            if batch is not None:
                newer.extend(key for key, value in batch.state.items() if waiting.state.get(key, b"") is not value)
                waiting = NOTHING
            return batch

        if not await self._taken(work, most, tails):
            return False
        changes.carried(carried)
        changes.overtaken(newer)
        return True

    async def _taken(self, work: Callable[[], Batch | None], most: int = 1, tails: Collection[Tail] = ()) -> bool:
        """Have the intake take what ``work`` gives. While it has no room all files that wait are looked at: what is
        truncated meanwhile is counted.
        """
        taking = asyncio.ensure_future(self._intake.take(work, most))
        try:
            pause = _LOOK
            while not (await asyncio.wait({taking}, timeout=pause))[0]:
                began = time.monotonic()
                await self.look_on(tails)
                pause = max(_LOOK, _SHARE * (time.monotonic() - began))
        except asyncio.CancelledError:
            taking.cancel()
            await asyncio.wait({taking})
            raise
        return taking.result() is not None

    async def look_on(self, tails: Collection[Tail] = ()) -> None:
        """Look at the files that wait for their turn, or that have rested, and at ``tails``, which are ``AWAY``."""
        waiting = self._schedule.take_all(time.monotonic())
        looked = await asyncio.to_thread(self._worker.look_on, [*tails, *waiting])
        for tail in waiting:
            if tail in self._catalog.tails:
                self._schedule.ready(tail)
        for tail, unread in looked:
            if tail in self._catalog.tails:
                if tail in tails:
                    self._lags.set(tail, unread)  # the rest is noted when its turn is over: it may be read just now
                else:
                    self.note(tail)

    async def finish(self, *joiners: "Joiner") -> None:
        """Close the records that joiners hold, and those that files left open which are gone for good."""
        left = self._discovery.left_open
        while left:
            await self.take(partial(self._worker.finish, left[0]))
            del left[0]
        for joiner in joiners:
            if not joiner.idle:
                await self.take(partial(self._worker.finish, joiner))

    def note(self, tail: Tail) -> None:
        """Report what a look at a file found."""
        for before in tail.left:
            self._discovery.overwritten(before)
        tail.left.clear()
        if tail.ended or tail.losses:
            self._discovery.changes.add(tail.state(), tail.losses)
            tail.ended.clear()
            tail.losses.clear()
        self._lags.set(tail, tail.unread)

    def _failed(self, tail: Tail, error: Exception) -> None:
        """A tail cannot be read now: scans look for it."""
        self._discovery.descriptors.close(tail)
        if self._discovery.descriptors.short(error):
            self._schedule.ready(tail)
        elif isinstance(error, OSError):
            self._discovery.cannot_read(tail, error)
            tail.modified = -1  # so that the next scan wakes it
            self._schedule.idle(tail)
        else:
            self._catalog.unclaim(tail)
            self._schedule.remove(tail)
            self._discovery.hint()

    async def flush(self) -> None:
        """Make state durable that no batch carried."""
        changes = self._discovery.changes
        while changes.waiting:
            carried = changes.some()
            intake, now = self._intake, time.time_ns() // 1000
            batch = Batch(intake.name, dict(intake.labels), Payload.lines(b""), [], now, carried.state)
            batch.losses = carried.losses
            await self._taken(lambda batch=batch: batch)  # type: ignore[misc]
            changes.carried(carried)


class _Round:
    """Reads of some tails, one after the other, on a worker thread."""

    def __init__(self, tails: Iterable[Tail], worth: int, worker: Worker, *, flush: bool) -> None:
        self.tails = list(tails)
        self.read: set[Tail] = set()
        """Those whose last read gave something."""
        self.failures: dict[Tail, Exception] = {}
        self._left = self.tails[::-1]
        self._generations = {tail: tail.generation for tail in self.tails}
        self._worth = worth
        self._worker = worker
        self._flush = flush
        self._frames = 0
        self._synced = False

    def next(self, carried: Carried) -> Batch | None:
        """The next batch; None when there are no more."""
        if not self._synced:
            self._worker.sync(self.tails)
            self._synced = True
        while self._left:
            tail = self._left[-1]
            if tail.generation != self._generations[tail]:
                # It was truncated while the intake had no room: what it was before comes first.
                self._left.pop()
                self.read.discard(tail)
                continue
            failure: list[Exception] = []
            batch = self._worker.read(tail, carried, failure, flush=self._flush)
            if failure:
                self.failures[tail] = failure[0]
            if batch is None:
                self._left.pop()
                self.read.discard(tail)
                continue
            self._frames += 1
            self.read.add(tail)
            more = self._frames < FRAMES and tail.descriptor >= 0 and tail.unread >= self._worth
            if not more or failure or self._flush:
                self._left.pop()
            return batch
        return None
