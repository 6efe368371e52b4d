"""Following files: whose turn it is, reading, pausing, watching, letting go.

Two tasks share the state, on one loop: ``Discovery`` finds files, ``Follower`` reads them. A tail belongs to the reader
while its stage is ``AWAY``; nobody else closes it or moves it in the schedule then.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from shipper.batch import Batch, Payload
from shipper.sources.base import Intake
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.discover import Discovery, Timings
from shipper.sources.file.globs import Globs
from shipper.sources.file.lags import Lags
from shipper.sources.file.schedule import AWAY, IDLE, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch_fallback import best_watcher
from shipper.sources.file.worker import Worker


class Follower:
    """Follows the files of one source until it is cancelled.

    :raises SourceError: a position kept in the spool cannot be read.
    """

    def __init__(
        self,
        intake: Intake,
        globs: Globs,
        start_at: Literal["beginning", "end"] = "beginning",
        timings: Timings | None = None,
    ) -> None:
        self.timings = timings or Timings()
        self.schedule = Schedule()
        self.catalog = Catalog(globs, intake.labels, intake.state, start_at)
        self.lags = Lags(intake.lag)
        self.scanned = False
        """The first look at the directories is done."""
        self._intake = intake
        self._window = min(intake.max_bytes, intake.max_record)
        self._work = asyncio.Event()
        self._hinted: set[Tail] = set()
        self._worker = Worker(intake)
        self.discovery = Discovery(
            globs, self.catalog, self.schedule, self.lags, self.timings, self._work.set, self._count_lost
        )
        self._globs = globs

    async def follow(self) -> None:
        """Read what is there and what comes, until cancelled."""
        watcher = best_watcher(self._hint_file, self.discovery.hint, self._globs)
        self.discovery.watcher = watcher
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.discovery.scan()
            self.scanned = True
            tasks = [asyncio.create_task(self.discovery.run()), asyncio.create_task(self._read_forever())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await asyncio.to_thread(
                    self._worker.close, self.catalog.tails
                )  # first: a look that still runs may arm a watch
            finally:
                if self.discovery.watcher is not None:
                    self.discovery.watcher.close()

    async def read_once(self) -> None:
        """Read what is there now, the half lines too, and return."""
        try:
            await self.discovery.scan()
            self.scanned = True
            for tail in self.catalog.tails:
                tail.stop = tail.size
            while (turn := self.schedule.take()) is not None:
                if not await self._older_is_read(turn):
                    self.schedule.ready(turn)
                    continue
                read = await self._turn(turn)
                if turn.descriptor >= 0 and (turn.waiting or (read and turn.unread)):
                    self.schedule.ready(turn)
                self.discovery.trim()
            await self._flush()
        finally:
            await asyncio.to_thread(self._worker.close, self.catalog.tails)

    async def _read_forever(self) -> None:
        while True:
            due = self.schedule.due(time.monotonic())
            if due:
                await self._settle([tail for tail in due if tail.stage != IDLE])
                for tail in due:
                    if tail.stage == IDLE and not tail.linked and tail.due == math.inf:
                        await self._let_go(tail)
            turn = self.schedule.take()
            if turn is not None:
                await self._follow_on(turn)
                continue
            if self.discovery.changes.urgent:
                await self._flush()
            self._work.clear()
            if not self.schedule.has_ready:
                due_in = self.schedule.next_due - time.monotonic()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if due_in == math.inf else due_in):
                        await self._work.wait()

    def _hint_file(self, tail: Tail) -> None:
        if tail.stage == AWAY:
            self._hinted.add(tail)
        else:
            self.schedule.wake(tail, time.monotonic())
            self._work.set()

    async def _follow_on(self, tail: Tail) -> None:
        """One turn of a tail, and what it does next."""
        if self.catalog.order.older(tail) is not None:
            if tail.descriptor >= 0 and not tail.unread:
                self.schedule.rest(tail, 0.0)  # what was there before may still be written: look, then decide
                return
            if not await self._older_is_read(tail):
                self.schedule.ready(tail)
                return
        read = await self._turn(tail)
        self._hinted.discard(tail)
        if tail.descriptor < 0:
            return  # it could not be read
        if (read and tail.unread >= self._window) or (not read and tail.waiting):
            self.schedule.ready(tail)  # a full frame is there, or a long line has to be searched on
        elif read:
            now = time.monotonic()
            tail.paced = now + self._intake.max_delay
            self.schedule.gather(tail, now)
        else:
            self.schedule.rest(tail, 0.0)
        self.discovery.trim()

    async def _older_is_read(self, tail: Tail) -> bool:
        """Spend a turn of a tail on what stood under its path first; True once nothing of that is left to read."""
        order = self.catalog.order
        older = order.older(tail)
        if older is None:
            return True
        if self.catalog.claimed(older):
            self.schedule.remove(older)
            more = await self._turn(older)
            end = order.end(older)
            if older.descriptor >= 0:
                self.schedule.rest(older, 0.0)
                if (more or older.waiting) and older.offset < end:
                    return False
        order.done(older)
        return order.older(tail) is None

    async def _turn(self, tail: Tail, *, flush: bool = False) -> bool:
        """Let the intake read from a tail. Whether there was something."""
        discovery = self.discovery
        carried = discovery.changes.some()
        failure: list[Exception] = []
        receipt = await self._intake.take(partial(self._worker.read, tail, carried, failure, flush))
        if receipt is not None:
            discovery.changes.carried(carried)
            discovery.changes.overtaken(generation.hex() for generation in [*tail.ended, tail.generation])
            tail.ended.clear()
        if tail not in self.catalog.tails:
            tail.close()
            return False
        if tail.descriptor >= 0:
            discovery.opened.pop(tail, None)
            discovery.opened[tail] = None
        self._note(tail)
        if failure:
            self._failed(tail, failure[0])
        return receipt is not None

    def _note(self, tail: Tail) -> None:
        """Report what a look at a file found."""
        if tail.lost:
            self._intake.lost("truncated", tail.lost, tail.label)
            tail.lost = 0
        if tail.ended:
            self.discovery.changes.add(tail.state())
            tail.ended.clear()
        self.lags.set(tail, tail.unread)

    def _failed(self, tail: Tail, error: Exception) -> None:
        """A tail cannot be read now: scans look for it."""
        self.discovery.opened.pop(tail, None)
        tail.close()
        if isinstance(error, OSError):
            self.discovery.cannot_read(tail, error)
            tail.modified = -1  # so that the next scan wakes it
            self.schedule.idle(tail)
        else:
            self.catalog.unclaim(tail)
            self.schedule.remove(tail)
            self.discovery.hint()

    def _count_lost(self, tail: Tail) -> None:
        """The file of a tail is gone."""
        size = tail.lost + max(0, tail.size - tail.offset)
        tail.lost = 0
        if size:
            self._intake.lost("vanished", size, tail.label)

    async def _settle(self, tails: Sequence[Tail]) -> None:
        """Tails that have rested: look whether more came; if not, watch them."""
        if not tails:
            return
        for tail in tails:
            tail.stage = AWAY
        active, reason = await asyncio.to_thread(self._worker.look, tails, self.discovery.watcher)
        if reason is not None:
            self.discovery.replace_watcher(reason)
        now = time.monotonic()
        for tail in tails:
            if tail not in self.catalog.tails:
                continue
            self._note(tail)
            if tail not in active and tail not in self._hinted:
                lingers = tail.descriptor >= 0 and not tail.linked
                self.schedule.idle(tail, now + self.timings.linger if lingers else math.inf)
            elif now < tail.paced and tail.unread < self._window:
                self.schedule.gather(tail, now)
            else:
                self.schedule.ready(tail)
            self._hinted.discard(tail)

    async def _let_go(self, tail: Tail) -> None:
        """A file that lost its path was quiet for long: read its half line, close it, forget it if it was deleted."""
        tail.stage = AWAY
        if tail.descriptor < 0:
            self.schedule.idle(tail)
            return
        await self._turn(tail, flush=True)
        if tail.descriptor < 0:
            return  # it could not be read
        if tail.unread or tail in self._hinted:
            self._hinted.discard(tail)
            self.schedule.ready(tail)
            return
        if tail.links == 0:
            self.discovery.forget(tail)
            return
        self.discovery.opened.pop(tail, None)
        tail.close()
        self.schedule.idle(tail)

    async def _flush(self) -> None:
        """Make state durable that no batch carried."""
        changes = self.discovery.changes
        while carried := changes.some():
            intake, now = self._intake, time.time_ns() // 1000
            batch = Batch(intake.name, dict(intake.labels), Payload.lines(b""), [], now, state=dict(carried))
            await self._intake.take(lambda batch=batch: batch)  # type: ignore[misc]
            changes.carried(carried)
