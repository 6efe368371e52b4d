"""Finding files: scans of the directories, started by hints and by the clock, and what follows from them.

It hands tails with something to read to the schedule and leaves the reading to ``follow.Follower``; it goes on while
the reader waits for a full spool, so that files which rotate meanwhile are opened before they are gone.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from shipper.log import get_logger
from shipper.sources.file.catalog import Catalog, Found, Sought
from shipper.sources.file.changes import Changes
from shipper.sources.file.globs import Globs, Scan, Sighting
from shipper.sources.file.identity import NotRegular, explain
from shipper.sources.file.lags import Lags
from shipper.sources.file.schedule import IDLE, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import CannotWatch, Watcher
from shipper.sources.file.watch_fallback import instead
from shipper.sources.file.worker import whole

log = get_logger("file")

OPEN_FILES: Final = 256
"""So many files stay open; those read longest ago are closed, and verified when they are opened again."""
_AT_ONCE: Final = 64
"""Files that are examined in one go."""
_GAP: Final = 0.05
_SHARE: Final = 20
"""Between scans lie at least ``_GAP`` seconds, and so many times as long as the last one took."""

_ROUNDS: Final = 4
"""Looks for renamed files in one scan, while they are renamed on and on."""
_REMIND: Final = 600.0
"""Seconds between two warnings about a file that cannot be read."""


class Timings(NamedTuple):
    """Seconds, for everything that a file source waits for by itself."""

    rescan: float = 10.0
    """Between scans that no hint asked for."""
    linger: float = 30.0
    """A file that lost its path is read on until it was quiet for so long."""
    forget: float = 600.0
    """The position of a file that is gone is kept for so long: a directory may be mounted late."""


class Discovery:
    """Keeps the catalog right. ``changed`` is called when the schedule may have new work, ``gone`` for every tail that
    nobody will find again.
    """

    def __init__(
        self,
        globs: Globs,
        catalog: Catalog,
        schedule: Schedule,
        lags: Lags,
        timings: Timings,
        changed: Callable[[], None],
        gone: Callable[[Tail], None],
    ) -> None:
        self.catalog = catalog
        self.problems: dict[str, str] = {}
        """Paths that cannot be read, and why, as of the last scan."""
        self.watched: set[str] = set()
        """Directories where files may appear."""
        self.opened: dict[Tail, None] = {}
        """The open tails, the one read longest ago first."""
        self.changes = Changes()
        self.watcher: Watcher | None = None
        self._globs = globs
        self._schedule = schedule
        self._lags = lags
        self._timings = timings
        self._changed = changed
        self._gone = gone
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Something happened in the directories: scan soon."""
        self._hint.set()

    async def run(self) -> None:
        """Scan whenever there is reason to, until cancelled. The first scan is the caller's."""
        while True:
            wait = self.watcher.rescan if self.watcher is not None else None
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timings.rescan if wait is None else wait):
                    await self._hint.wait()
            self._hint.clear()
            began = time.monotonic()
            await self.scan()
            # A first event is dealt with at once; a storm of them must not keep the machine busy.
            pause = max(_GAP, _SHARE * (time.monotonic() - began))
            await asyncio.sleep(min(pause, self._timings.rescan))

    async def scan(self) -> None:
        """Look at the directories once and deal with all that is found."""
        scan = await asyncio.to_thread(self._globs.scan)
        self._watch(scan)
        problems: dict[str, str] = {path: explain(path, error) for path, error in scan.problems.items()}
        seen, unknown = self.catalog.link(scan, problems)
        for tail, sighting in seen:
            self._see(tail, sighting.info)
        await self._trace(problems)  # first: they were there before what is there now
        await self._examine(unknown, problems)
        await self._seek()
        self._report(problems)
        self._linger()
        self.changes.add(self.catalog.first_scan_done(), urgent=True)
        self._changed()

    async def _trace(self, problems: dict[str, str]) -> None:
        """Follow the files that were renamed since the last scan, and that may have come and gone without being seen.

        In the order in which they left their paths, as they are read in that order; one that is renamed again just now
        holds up those that left the same path later, and is looked for anew.
        """
        for _ in range(_ROUNDS):
            if self.watcher is None:
                return
            moves = self.watcher.moves
            self.watcher.drain()
            waiting = moves.waiting()
            if not waiting:
                return
            places = await asyncio.to_thread(_stat, [place for place, _ in waiting])
            self.watcher.drain()  # what was seen at a place is the file only if it was not renamed again by then
            held: set[str] = set()
            unknown = []
            for place, moved in waiting:
                if moved.origin in held or not moves.still(place, moved):
                    held.add(moved.origin)
                elif place in places and not self.catalog.find_moved(places[place], place, moved.left):
                    unknown.append(Sighting(moved.origin, place, places[place], left=moved.left))
            await self._examine(unknown, problems)
            for place, moved in waiting:
                if moved.origin not in held:
                    moves.done(place, moved)

    def _watch(self, scan: Scan) -> None:
        self.watched = scan.directories
        try:
            if self.watcher is not None and self.watcher.directories(scan.directories, scan.strange):
                self._hint.set()  # what came between the look and the watch
        except CannotWatch as reason:
            self.replace_watcher(reason)

    def replace_watcher(self, reason: CannotWatch) -> None:
        """Go on without inotify."""
        before, self.watcher = self.watcher, None
        if before is None:
            return
        before.close()
        self.watcher = instead(reason, before.on_file, before.on_tree)
        for tail in self.catalog.tails:
            if tail.stage == IDLE:
                self._schedule.ready(tail)
        self._hint.set()
        self._changed()

    def _see(self, tail: Tail, info: os.stat_result) -> None:
        """A known file was sighted."""
        self._lags.set(tail, max(0, info.st_size - tail.offset))
        if (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified):
            if tail.stage and info.st_mtime_ns >= tail.modified:
                tail.sure = max(tail.sure, info.st_size)  # should it be truncated before it is read: so much was there
            self.wake(tail)

    def wake(self, tail: Tail) -> None:
        """There may be something to read."""
        self._schedule.wake(tail, time.monotonic())
        self._changed()

    async def _examine(self, sightings: list[Sighting], problems: dict[str, str]) -> None:
        for at in range(0, len(sightings), _AT_ONCE):
            part = sightings[at : at + _AT_ONCE]
            await whole(
                partial(self.catalog.examine, part, self.catalog.strays()),
                partial(self._claim, problems=problems),
            )
            self.trim()

    def _claim(self, found: Found, problems: dict[str, str]) -> None:
        path = found.sighting.path
        if isinstance(found.error, NotRegular):
            problems[path] = f"{found.error}, not a file: left alone"
        elif found.error is not None and not isinstance(found.error, FileNotFoundError):
            problems[path] = explain(path, found.error)
        if self._comes_later(found):
            self.catalog.discard(found)
            return
        new = found.descriptor < 0
        tail = self.catalog.claim(found)
        if tail is None:
            return
        if new and tail.size:
            # Known from now on: should it be renamed while shipper is down, it is found.
            self.changes.add(tail.state(), urgent=True)
        self._follow(tail)

    def _comes_later(self, found: Found) -> bool:
        """While a file was examined it was renamed, or what stood there before: the next scan sees where it is."""
        sighting, info = found.sighting, found.info
        if info is None or self.watcher is None:
            return False
        self.watcher.drain()
        if sighting.left:
            return (info.st_dev, info.st_ino) != (sighting.info.st_dev, sighting.info.st_ino)
        pending = self.watcher.moves.pending(sighting.path)
        if pending:
            self._hint.set()
        return pending

    def _follow(self, tail: Tail) -> None:
        """A file was opened."""
        self.opened[tail] = None
        self._lags.set(tail, tail.unread)
        if tail.unread:
            self._schedule.ready(tail)
        else:
            self._schedule.rest(tail, 0.0)  # due at once: it is armed, and looked at again
        self._changed()

    async def _seek(self) -> None:
        """Deal with closed tails that are not under their paths: renamed, or gone."""
        absent = self.catalog.absent()
        if not absent:
            return
        await whole(partial(self.catalog.seek, absent), self._sought)
        self.trim()

    def _sought(self, sought: Sought) -> None:
        tail = sought.tail
        if self.catalog.found_again(sought):
            if tail.descriptor >= 0:
                self._follow(tail)
            else:
                self.wake(tail)
        elif sought.place is None and not sought.unknown and tail.descriptor < 0 and not tail.linked:
            now = time.monotonic()
            tail.missing = tail.missing or now
            if now - tail.missing >= self._timings.forget:
                self.forget(tail)

    def cannot_read(self, tail: Tail, error: OSError) -> None:
        """A file that was found cannot be read (any more)."""
        text = explain(tail.path, error)
        self.problems[tail.path] = text
        log.warning(text, every=_REMIND)

    def forget(self, tail: Tail) -> None:
        """The file is gone for good: its position is not kept any longer."""
        self.changes.add({generation.hex(): None for generation in [*tail.ended, tail.generation]})
        self.opened.pop(tail, None)
        if self.watcher is not None:
            self.watcher.disarm(tail)
        self.catalog.drop(tail)
        self._schedule.remove(tail)
        self._lags.set(tail, None)
        self._gone(tail)

    def trim(self) -> None:
        """Close the files read longest ago while too many are open; not those that are being read."""
        for tail in list(self.opened):
            if len(self.opened) <= OPEN_FILES:
                break
            if tail.stage:
                del self.opened[tail]
                tail.close()

    def _linger(self) -> None:
        """Files that lost their paths are let go once they have been quiet for a while."""
        until = time.monotonic() + self._timings.linger
        for tail in self.catalog.tails:
            if tail.stage == IDLE and not tail.linked and tail.descriptor >= 0 and tail.due > until:
                self._schedule.idle(tail, until)

    def _report(self, problems: dict[str, str]) -> None:
        for path, text in problems.items():
            if self.problems.get(path) != text:
                log.warning(text)
        self.problems = problems


def _stat(places: list[str]) -> dict[str, os.stat_result]:
    """On a worker thread: what stands where."""
    found = {}
    for place in places:
        with suppress(OSError):
            found[place] = os.stat(place)
    return found
