"""Finding files: scans of the directories, started by hints and by the clock, and what follows from them.

It hands tails with something to read to the schedule and leaves the reading to ``follow.Follower``; it goes on while
the reader waits for a full spool, so that files which rotate meanwhile are opened before they are gone.
"""

import asyncio
import math
import os
import time
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from shipper.log import get_logger
from shipper.sources.file.examine import Found, Sought, look_at
from shipper.sources.file.glance import Glance
from shipper.sources.file.globs import Scan, Sighting
from shipper.sources.file.identity import NotRegular, explain
from shipper.sources.file.keeping import REMIND, Keeper, Parts
from shipper.sources.file.limits import TooOld
from shipper.sources.file.refused import Foreign
from shipper.sources.file.rotated import Away, Siblings, by_age
from shipper.sources.file.schedule import AWAY, OUT
from shipper.sources.file.tail import Tail
from shipper.sources.file.tracing import tell_renamed, trace
from shipper.sources.file.worker import whole

log = get_logger("file")

_AT_ONCE: Final = 64
"""Files that are examined in one go."""
_GAP: Final = 0.05
_SHARE: Final = 20
"""Between scans lie at least ``_GAP`` seconds, and so many times as long as the last one took."""
_SHARE_OF_FINDS: Final = 4
"""As long as scans find files: what is rotated on and on is deleted some day."""

_RETRY: Final = 0.5
"""Seconds until the next look at what is compressed just now and has to be read before something else."""


class Discovery(Keeper):
    """Keeps the catalog right."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.watched: set[str] = set()
        """Directories where files may appear."""
        self.looked = 0.0
        """When (monotonic) the last scan began that is done: it found all that was there then, except what it held."""
        self._holds: set[str] = set()
        """Paths of which that scan left something to the next one."""
        self._too_old = TooOld(parts.timings.ignore_older)
        self._siblings = Siblings(parts.globs)
        self._glances = Glance(parts.catalog, self._too_old)
        self._held: set[str] = set()
        """Paths of which something was missed in the last scan, so that what was there later waits."""
        self._searched: set[str] = set()
        """Paths whose rotated files this scan looks for, whatever events tell."""

    async def run(self) -> None:
        """Scan whenever there is reason to, until cancelled. The first scan is the caller's."""
        while True:
            wait = min((self.watcher and self.watcher.rescan) or math.inf, self._deleted.wait(time.monotonic()))
            wait = min(wait, _RETRY if self._held else math.inf)
            try:
                async with asyncio.timeout(min(wait, self._timings.rescan)):
                    await self._hint.wait()
            except TimeoutError:
                if wait >= self._timings.rescan and await self._glance():
                    continue
            self._hint.clear()
            began = time.monotonic()
            found = await self.scan()
            # A first event is dealt with at once; a storm of them must not keep the machine busy.
            pause = max(_GAP, (_SHARE_OF_FINDS if found else _SHARE) * (time.monotonic() - began))
            await asyncio.sleep(min(pause, self._timings.rescan))

    def holds_back(self, line: str) -> bool:
        """Whether there may be files under a path that are not followed yet, though the last scan saw them."""
        return line in self._holds

    async def _glance(self) -> bool:
        """Whether a glance showed that a scan would find nothing."""
        plan = self._glances.plan(self.watcher)
        look = await asyncio.to_thread(plan) if plan is not None else None
        for tail, info in look or ():
            if self.catalog.claimed(tail):
                self.see(tail, info)
        return look is not None

    async def scan(self, *, once: bool = False) -> bool:
        """Look at the directories once and deal with all that is found. ``once``: nothing that comes later is. Returns
        whether there were files that nobody followed.
        """
        self.kin.begin()
        began = time.monotonic()
        gone = self._gone()  # first: what is gone by now is not among what is seen next
        scan = await asyncio.to_thread(self._globs.scan)
        while any(self.descriptors.short(error) for error in scan.problems.values()):
            await asyncio.sleep(_GAP)
            scan = await asyncio.to_thread(self._globs.scan)
        if once:
            for pattern in self._globs.without(scan.files):
                log.warning("no file matches", pattern=pattern, every=REMIND, key=(id(self), pattern))
        self._watch(scan)
        self.catalog.order.names.look(scan.files, self.catalog.tails)
        problems: dict[str, str] = {path: explain(path, error) for path, error in scan.problems.items()}
        missed, self._held = self._held | set(map(self.catalog.order.names.line, gone)), set()
        unseen = missed | self.catalog.uncertain()
        self.catalog.order.scan()
        self._too_old.keep({sighting.file for sighting in scan.files.values()})
        if doubtful := self.catalog.doubtful(scan):
            self.catalog.settle_doubts(await asyncio.to_thread(look_at, doubtful))
        seen, unknown = self.catalog.link(scan, problems)
        for tail, sighting in seen:
            self.see(tail, sighting.info)
        await self.look_at_unlinked()
        known, unknown = self.catalog.may_be_known(unknown)
        await self._examine(known, problems, later=unknown)
        await self._seek()
        away = self._away(unseen, missed)
        rotated = await asyncio.to_thread(self._siblings.find, away, self.catalog.files(), missed) if away else []
        unknown, kindred = self.kin.part(unknown)
        unknown += await self.kin.judge([*self.catalog.lines.archives(kindred, unknown, away), *rotated], once=once)
        self._held |= self.kin.archives.holding()
        problems |= self.kin.archives.problems
        siblings, others = self.catalog.lines.rotated(unknown, scan.files)
        self._searched = {path for path, _ in away}
        first = [sibling for sibling in siblings if sibling.line in self._searched]
        await self._examine(by_age(first), problems)
        if self.watcher is not None:  # before what is there now: they were there earlier
            await trace(self.watcher, self.catalog, self._held, partial(self._examine, problems=problems))
        await self._examine(by_age([s for s in siblings if s not in first]) + others, problems)
        await self.give_up_deleted()
        self._report(problems)
        self.let_go_later()
        self.changes.add(self.catalog.first_scan_done(), urgent=True)
        if self.watcher is not None and self.watcher.moves.gone:
            self._hint.set()
        self.looked, self._holds = began, set(self._held)
        self._glances.scanned(scan, settled=not (problems or self._held or self._hint.is_set()))
        self._changed()
        return bool(unknown or known)

    def _gone(self) -> set[str]:
        """The paths from where files went that were deleted before anybody saw them: maybe they were compressed."""
        if self.watcher is None:
            return set()
        self.watcher.drain()
        gone, self.watcher.moves.gone = self.watcher.moves.gone, set()
        return gone

    def _away(self, unseen: AbstractSet[str], missed: AbstractSet[str]) -> list[Away]:
        """The paths where a file was rotated while nobody looked, so that others may have come and gone. ``unseen``:
        those where it is so whatever events say; ``missed``: where it is so whatever stands there.
        """
        away = self.catalog.lines.away(missed)
        return [a for a in away if a.path in unseen or not self._leaving(a.path)]

    def _leaving(self, line: str) -> bool:
        """Whether files are known to have left a path that no scan has dealt with."""
        names = self.catalog.order.names.both(line)
        return self.watcher is not None and any(map(self.watcher.moves.pending, names))

    def _watch(self, scan: Scan) -> None:
        self.watched = set(scan.directories)
        if self.watcher is not None and self.watcher.directories(scan.directories, scan.strange):
            self._hint.set()  # what came between the look and the watch

    async def _examine(
        self, sightings: list[Sighting], problems: dict[str, str], later: list[Sighting] | None = None
    ) -> None:
        """Find out what was sighted and follow it. ``later`` gets what turns out to be new, where that has to wait."""
        if not sightings:  # as in nearly all scans
            return
        short: list[Sighting] = []

        def deal(found: Found) -> None:
            if self.descriptors.short(found.error):
                short.append(found.sighting)
            elif later is not None and found.info is not None and found.descriptor < 0:
                self.catalog.note_overwritten(found)
                self.catalog.discard(found)
                later.append(found.sighting)
            elif later is not None and isinstance(found.error, Foreign):  # it is not what had its inode number
                later.append(found.sighting)
            else:
                self._claim(found, problems)

        _, new = self.catalog.may_be_known(sightings)
        old = {sighting.file for sighting in new if self._too_old(sighting)}
        sightings = [sighting for sighting in sightings if sighting.file not in old]  # in their order
        while sightings:
            size = min(_AT_ONCE, self.descriptors.most)
            await whole(self.catalog.examination(sightings[:size]), deal)
            self.descriptors.trim()
            sightings = [*short, *sightings[size:]]
            short.clear()

    def _claim(self, found: Found, problems: dict[str, str]) -> None:
        path = found.sighting.path
        if isinstance(found.error, NotRegular):
            problems[path] = f"{found.error}, not a file: left alone"
        elif isinstance(found.error, Foreign):
            problems[path] = str(found.error)
        elif found.error is not None and not isinstance(found.error, FileNotFoundError):
            problems[path] = explain(path, found.error)
        new = found.descriptor < 0
        if new and self._comes_later(found):
            self.catalog.discard(found)
            return
        tail = self.catalog.claim(found)
        if tail is None:
            return
        if new and tail.size:
            # Known from now on: should it be renamed while shipper is down, it is found. So are those before it that
            # were empty when they were seen, or they would be missed between two that are known.
            for older in [*self.catalog.order.before(tail), tail]:
                if older is tail or (not older.size and older.stage not in (OUT, AWAY)):
                    self.changes.add(older.state(), urgent=True)
        self.follow(tail)

    def _comes_later(self, found: Found) -> bool:
        """A file never seen is not at its path any more, or one that stood there before it was missed: they are renamed
        just now. The next scan sees where they are; till then what stands there later waits.
        """
        sighting, info = found.sighting, found.info
        names = self.catalog.order.names
        line = names.line(sighting.line or sighting.path)
        moved = info is not None and (info.st_dev, info.st_ino) != sighting.file
        if sighting.left:
            return moved
        if self.watcher is not None:
            self.watcher.drain()
            # Rotated files that were looked for do not wait for what goes meanwhile: in a storm that has no end.
            if line not in self._searched or not sighting.line:
                moved = moved or not self.watcher.moves.gone.isdisjoint(names.both(line))
            moved = moved or (not sighting.line and self._leaving(line))
        if moved or (sighting.line and isinstance(found.error, FileNotFoundError)):
            self._held.add(line)
            self._hint.set()
        return line in self._held

    async def _seek(self) -> None:
        """Deal with closed tails that are not under their paths: renamed, or gone."""
        search = self.catalog.search()
        if search is not None:
            deleted: list[Tail] = []
            await whole(search, partial(self._sought, deleted=deleted))
            self.kin.deleted(deleted)
            self.descriptors.trim()

    def _sought(self, sought: Sought, deleted: list[Tail]) -> None:
        tail = sought.tail
        if tail.stage == AWAY or tail not in self.catalog.tails:  # the reader has opened it meanwhile, or tries to
            if sought.descriptor >= 0:
                os.close(sought.descriptor)
            return
        before = tail.where
        if self.catalog.found_again(sought):
            tell_renamed(tail, before)
            if tail.descriptor >= 0:
                self.follow(tail)
            else:
                self.wake(tail)
        elif sought.place is None and not sought.unknown and tail.descriptor < 0 and not tail.linked:
            now = time.monotonic()
            tail.missing = tail.missing or now
            self.catalog.unclaim(tail)  # a new file may get its inode number
            # Unread bytes that are nowhere are said to be lost soon; what was read may still come back compressed.
            lost = sought.certain and tail.unread > 0 and not tail.overwritten
            wait = min(self._timings.settle if lost else math.inf, self._timings.forget)
            if now - tail.missing >= wait and not self.kin.archives.awaits(tail):
                self.forget(tail)
            elif sought.certain:
                deleted.append(tail)

    def _report(self, problems: dict[str, str]) -> None:
        for path, text in problems.items():
            if self.problems.get(path) != text:
                log.warning(text)
        self.problems = problems
