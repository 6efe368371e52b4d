"""Following files: whose turn it is, pausing, watching, letting go. What a turn is: ``turns``.

Two tasks share the state, on one loop: ``Discovery`` finds files, ``Follower`` reads them. A tail belongs to the reader
while its stage is ``AWAY``; nobody else closes it or moves it in the schedule then.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal

from shipper.sources.base import Intake
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.discover import Discovery
from shipper.sources.file.globs import Globs
from shipper.sources.file.keeping import Parts
from shipper.sources.file.lags import Lags
from shipper.sources.file.limits import Timings
from shipper.sources.file.reading import PLAIN, Rules
from shipper.sources.file.schedule import AWAY, IDLE, OUT, READY, TICK, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.turns import FRAMES, Turns
from shipper.sources.file.watch_fallback import best_watcher
from shipper.sources.file.worker import Worker

_ROUND: Final = 16
"""At most so many files are read in one go: the first one's lines wait for the last one's."""


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
        rules: Rules = PLAIN,
        watch: Literal["auto", "poll"] = "auto",
    ) -> None:
        self.timings = timings or Timings()
        self.schedule = Schedule()
        self.catalog = Catalog(globs, intake.labels, intake.state, start_at)
        self.lags = Lags(intake.lag)
        self.backlog: int | None = None
        """Bytes that were unread when the first look at the directories was done; None before that."""
        self._intake = intake
        self._window = min(intake.max_bytes, intake.max_record)
        self._work = asyncio.Event()
        self._hinted: set[Tail] = set()
        self._unpacks: Tail | None = None
        self._worker = Worker(intake, rules)
        parts = Parts(globs, self.catalog, self.schedule, self.lags, self.timings, self._work.set, self._worker)
        self.discovery = Discovery(parts)
        self._turns = Turns(intake, self.catalog, self.schedule, self.discovery, self.lags, self._worker)
        self._globs = globs
        self._watch = watch

    async def follow(self) -> None:
        """Read what is there and what comes, until cancelled."""
        watcher = best_watcher(self._watch, self._hint_file, self.discovery.hint, self._globs)
        self.discovery.watcher = watcher
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.discovery.scan()
            self.backlog = self.lags.unread
            tasks = [asyncio.create_task(self.discovery.run()), asyncio.create_task(self._read_forever())]
            tasks.append(asyncio.create_task(self.discovery.kin.archives.run()))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                # First: a look that still runs may arm a watch.
                await asyncio.to_thread(self._worker.close, self.catalog.tails)
            finally:
                if self.discovery.watcher is not None:
                    self.discovery.watcher.close()

    async def read_once(self) -> None:
        """Read what is there now, the half lines too, and return."""
        try:
            while self.backlog is None or self.discovery.kin.unsettled:
                await self.discovery.scan(once=True)
                self.backlog = self.lags.unread if self.backlog is None else self.backlog
                for tail in self.catalog.tails:
                    tail.stop = tail.size if tail.stop is None else tail.stop
                await self._read_out()
            await self._turns.finish(*[tail.joiner for tail in self.catalog.tails if tail.joiner is not None])
            await self._turns.flush()
        finally:
            await asyncio.to_thread(self._worker.close, self.catalog.tails)

    async def _read_out(self) -> None:
        while tails := self._take():
            if self.catalog.order.older(tails[0]) is not None and not await self._older_is_read(tails[0]):
                self.schedule.ready(tails[0])
                continue
            read = await self._turns.round(tails)
            for tail in tails:
                if tail.stage == AWAY and (tail.waiting or (tail in read and tail.unread)):
                    self.schedule.ready(tail)
                elif tail.stage == AWAY:  # else it could not be read
                    self.discovery.descriptors.close(tail)
                    self.schedule.remove(tail)
            self.discovery.descriptors.trim()

    async def _read_forever(self) -> None:
        while True:
            await self._turns.finish()
            if self.discovery.seen:
                self.discovery.seen = False
                await self._turns.look_on()
            await self._deal_with_due(time.monotonic())
            tails = self._take()
            if tails:
                await self._follow_on(tails)
                continue
            if self.discovery.changes.urgent:
                await self._turns.flush()
            self._work.clear()
            if not self.schedule.has_ready:
                due_in = self.schedule.next_due - time.monotonic()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if due_in == math.inf else due_in):
                        await self._work.wait()

    async def _deal_with_due(self, now: float) -> None:
        due = self.schedule.due(now)
        await self._settle([tail for tail in due if tail.stage != IDLE])
        for tail in due:
            if tail.stage != IDLE or tail.due < math.inf:
                continue
            if tail.flush_at <= now:
                await self._flush_out(tail)
            elif not tail.linked:
                await self._let_go(tail)
            else:
                self.schedule.idle(tail)  # it has a path again; what it holds back is due later

    def _hint_file(self, tail: Tail) -> None:
        if tail.stage == AWAY:
            self._hinted.add(tail)
        else:
            self.schedule.wake(tail, time.monotonic())
            self._work.set()

    def _take(self) -> list[Tail]:
        """The tails that have their turn now: as many as have four frames together, so far as that is known."""
        tails: list[Tail] = []
        unread, room = 0, self.discovery.descriptors.room
        while len(tails) < _ROUND and (tail := self.schedule.peek()) is not None:
            alone = bool(tail.packed) or self.catalog.order.older(tail) is not None
            unread += tail.unread
            room -= tail.descriptor < 0
            if tails and (alone or room < 0 or unread > FRAMES * self._window):
                break
            self.schedule.take()
            tails.append(tail)
            if alone:
                break
        return tails

    async def _follow_on(self, tails: Sequence[Tail]) -> None:
        """One turn of each tail, and what it does next."""
        if not await self._may_go_on(tails[0]):  # the others may
            return
        read = await self._turns.round(tails, self._window)
        for tail in tails:
            self._hinted.discard(tail)
            if tail.stage != AWAY or self._put_away(tail, more=tail in read):
                continue  # it could not be read, or it is a compressed file that was read
            if tail in read and tail.unread < (1 if tail.packed else self._window):
                now = time.monotonic()
                tail.paced = now + self._intake.max_delay
                self.schedule.gather(tail, now)
            elif tail in read or tail.waiting:
                self.schedule.ready(tail)  # a full frame is there, or a long line has to be searched on
            else:
                self.schedule.rest(tail, 0.0)
        self.discovery.descriptors.trim()

    async def _may_go_on(self, tail: Tail) -> bool:
        """Whether a tail may be read now; if not, it was put where it belongs."""
        older = self.catalog.order.older(tail)
        if older is not None:
            if tail.descriptor >= 0 and not tail.unread:
                self.schedule.rest(tail, 0.0)  # what was there before may still be written: look, then decide
                return False
            if self.discovery.kin.looks_for(older):
                self.schedule.rest(tail, time.monotonic() + TICK)
                return False
            if not await self._older_is_read(tail):
                self.schedule.ready(tail)
                return False
        if tail.packed and not self._may_unpack(tail):
            self.schedule.rest(tail, time.monotonic() + TICK)
            return False
        return True

    def _may_unpack(self, tail: Tail) -> bool:
        """Compressed files are read one after the other: each one that is begun takes up to ten MiB of memory."""
        before = self._unpacks
        if before is not tail and before is not None and before.descriptor >= 0 and before.stage != OUT:
            return False
        self._unpacks = tail
        return True

    def _put_away(self, tail: Tail, *, more: bool) -> bool:
        """Close a compressed file that was read to its end: nothing comes any more. ``more``: what is unread may be
        read, also where it was searched for a newline. Else it is no line, such as half a character.
        """
        if not tail.packed or tail.waiting or (more and tail.unread):
            return False
        self.discovery.descriptors.close(tail)
        self.schedule.idle(tail)
        return True

    async def _older_is_read(self, tail: Tail) -> bool:
        """Spend a turn of a tail on what stood under its path first; True once nothing of that is left to read."""
        order = self.catalog.order
        older = order.older(tail)
        if older is None:
            return True
        if self.catalog.claimed(older):
            self.schedule.away(older)
            more = await self._turns.turn(older, tail)
            if older.stage == READY:
                return False  # it could not be opened just now
            end = order.end(older)
            if older.stage == AWAY:
                self.schedule.rest(older, 0.0)
                if (more or older.waiting) and older.offset < end:
                    return False
        self._hand_over(older)
        order.done(older)
        return order.older(tail) is None

    def _hand_over(self, older: Tail) -> None:
        newer = self.catalog.order.next(older)
        if newer is not None and older.joiner is not None:
            older.joiner.hand_over(older, newer)

    async def _settle(self, tails: Sequence[Tail]) -> None:
        """Tails that have rested: look whether more came; if not, watch them."""
        if not tails:
            return
        for tail in tails:
            self.schedule.away(tail)
        active = await asyncio.to_thread(self._worker.look, tails, self.discovery.watcher)
        now = time.monotonic()
        for tail in tails:
            if tail not in self.catalog.tails:
                continue
            self._turns.note(tail)
            if self._put_away(tail, more=True):
                continue
            if not tail.packed and tail not in active and tail not in self._hinted:
                lingers = tail.descriptor >= 0 and not tail.linked
                self.schedule.idle(tail, now + self.timings.linger if lingers else math.inf)
            elif now < tail.paced and tail.unread < self._window:
                self.schedule.gather(tail, now)
            else:
                self.schedule.ready(tail)
            self._hinted.discard(tail)

    async def _flush_out(self, tail: Tail) -> None:
        """Nothing more came to a half line or an open record: read it as it stands."""
        self.schedule.away(tail)
        if not await self._turns.may_flush(tail):
            tail.flush_at = time.monotonic() + TICK
            self.schedule.idle(tail)
            return
        tail.flush_at = math.inf  # until a read sets it anew
        await self._turns.round([tail], flush=True)
        if tail.stage == AWAY:
            self.schedule.rest(tail, 0.0)  # due at once: it is looked at again, and watched

    async def _let_go(self, tail: Tail) -> None:
        """A file that lost its path was quiet for long: read its half line, close it, forget it if it was deleted."""
        self.schedule.away(tail)
        if tail.descriptor < 0:
            self.schedule.idle(tail)
            return
        if self._turns.may_go_on_elsewhere(tail, self.timings.linger):
            self.schedule.idle(tail, time.monotonic() + TICK)
            return
        tail.half_due = 0.0  # nobody is going to end it
        read = tail in await self._turns.round([tail], flush=True)
        if tail.stage != AWAY:
            return  # it could not be read
        if tail.waiting or (read and tail.unread) or tail in self._hinted:
            self._hinted.discard(tail)
            self.schedule.ready(tail)
            return
        if tail.links == 0:
            self.discovery.deleted(tail)
            return
        self.discovery.descriptors.close(tail)
        self.schedule.idle(tail)
