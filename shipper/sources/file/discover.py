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
from typing import Final, NamedTuple, TypeVar

from shipper.log import get_logger
from shipper.sources.file.catalog import Catalog, Found, Sought
from shipper.sources.file.changes import Changes
from shipper.sources.file.globs import Globs, Scan, Sighting
from shipper.sources.file.identity import NotRegular
from shipper.sources.file.lags import Lags
from shipper.sources.file.schedule import IDLE, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import CannotWatch, Moved, Watcher
from shipper.sources.file.watch_fallback import instead

log = get_logger("file")

OPEN_FILES: Final = 256
"""So many files stay open; those read longest ago are closed, and verified when they are opened again."""
_AT_ONCE: Final = 64
"""Files that are examined in one go."""
_GAP: Final = 0.05
_SHARE: Final = 20
"""Between scans lie at least ``_GAP`` seconds, and so many times as long as the last one took."""

_REMIND: Final = 600.0
"""Seconds between two warnings about a file that cannot be read."""
_Result = TypeVar("_Result")


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
        pause = _GAP
        while True:
            if self.watcher is not None and self.watcher.rescan is not None:
                wait = self.watcher.rescan
            else:
                wait = self._timings.rescan
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._hint.wait()
            self._hint.clear()
            began = time.monotonic()
            await self.scan()
            pause = max(_GAP, _SHARE * (time.monotonic() - began))
            # A first event is dealt with at once; a storm of them must not keep the machine busy.
            await asyncio.sleep(min(pause, self._timings.rescan))

    async def scan(self) -> None:
        """Look at the directories once and deal with all that is found."""
        moved = {} if self.watcher is None else dict(self.watcher.moved)
        scan, places = await asyncio.to_thread(_look, self._globs, list(moved))
        if self.watcher is not None:
            self.watcher.drain()  # a rename after the look must not be taken for one that it has seen
            self._watch(scan)
        problems: dict[str, str] = {path: _explain(path, error) for path, error in scan.problems.items()}
        seen, unknown = self.catalog.link(scan, problems)
        for tail, sighting in seen:
            self._see(tail, sighting.info)
        await self._examine(unknown, problems, linked=True)
        await self._trace(moved, places, problems)
        await self._seek()
        self._report(problems)
        self._linger()
        self.changes.add(self.catalog.first_scan_done(), urgent=True)
        self._changed()

    async def _trace(
        self, moved: dict[str, Moved], places: dict[str, os.stat_result], problems: dict[str, str]
    ) -> None:
        """Files were renamed since the last scan: follow those that came and went without being seen."""
        if self.watcher is None:
            return
        there = self.watcher.moved
        # An entry that is still the same object was not renamed again: what was seen at its place is what it tells of.
        moved = {place: entry for place, entry in moved.items() if there.get(place) is entry}
        unknown = [
            Sighting(entry.origin, place, places[place], "")
            for place, entry in moved.items()
            if place in places and not self.catalog.find_moved(places[place], place)
        ]
        await self._examine(unknown, problems, linked=False)
        self.watcher.drain()  # renamed again before it was opened: then the next scan looks for it
        for place, entry in moved.items():
            if there.get(place) is entry:
                del there[place]

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
            self.wake(tail)

    def wake(self, tail: Tail) -> None:
        """There may be something to read."""
        self._schedule.wake(tail, time.monotonic())
        self._changed()

    async def _examine(self, sightings: list[Sighting], problems: dict[str, str], *, linked: bool) -> None:
        for at in range(0, len(sightings), _AT_ONCE):
            part = sightings[at : at + _AT_ONCE]
            await _whole(
                partial(self.catalog.examine, part, self.catalog.strays()),
                partial(self._claim, problems=problems, linked=linked),
            )
            self.trim()

    def _claim(self, found: Found, problems: dict[str, str], *, linked: bool) -> None:
        path = found.sighting.path
        if isinstance(found.error, NotRegular):
            problems[path] = f"{found.error}, not a file: left alone"
        elif found.error is not None and not isinstance(found.error, FileNotFoundError):
            problems[path] = _explain(path, found.error)
        new = found.descriptor < 0
        tail = self.catalog.claim(found, linked=linked)
        if tail is None:
            return
        if new and tail.size:
            # Known from now on: should it be renamed while shipper is down, it is found.
            self.changes.add(tail.state(), urgent=True)
        self._follow(tail)

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
        await _whole(partial(self.catalog.seek, absent), self._sought)
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
        text = _explain(tail.path, error)
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


async def _whole(work: Callable[[], list[_Result]], deal: Callable[[_Result], None]) -> None:
    """Run ``work`` on a worker thread and ``deal`` with its results; with all of them even when cancelled meanwhile,
    or what it opened would belong to nobody.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
    finally:
        for result in task.result() if task.done() else ():
            deal(result)


def _look(globs: Globs, moved: list[str]) -> tuple[Scan, dict[str, os.stat_result]]:
    """On a worker thread: expand the globs, and see what stands where files were renamed to."""
    places = {}
    for place in moved:
        with suppress(OSError):
            places[place] = os.stat(place)
    return globs.scan(), places


def _explain(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"permission denied: {path}: add the user to group adm"
    return f"cannot read {path}: {error.strerror or error}"
