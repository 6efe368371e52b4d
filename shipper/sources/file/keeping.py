"""The files that are followed: taken up, woken, and let go. What is known of all of them is kept here.

Finding them is the business of ``discover``, reading them that of ``follow``; both tell here what became of a file.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shipper.log import get_logger
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.changes import Changes
from shipper.sources.file.descriptors import Descriptors, changed
from shipper.sources.file.globs import Globs
from shipper.sources.file.identity import explain
from shipper.sources.file.kin import Kin
from shipper.sources.file.lags import Lags
from shipper.sources.file.limits import Deleted, Timings
from shipper.sources.file.schedule import AWAY, IDLE, OUT, READY, Schedule
from shipper.sources.file.tail import Tail
from shipper.sources.file.tracing import tell
from shipper.sources.file.watch import Watcher
from shipper.sources.file.worker import Worker

if TYPE_CHECKING:
    from shipper.sources.file.join import Joiner

log = get_logger("file")

REMIND: Final = 600.0
"""Seconds between two warnings about a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What one source works with."""

    globs: Globs
    catalog: Catalog
    schedule: Schedule
    lags: Lags
    timings: Timings
    changed: Callable[[], None]
    """Called when the schedule may have new work."""
    worker: Worker


class Keeper:
    """Keeps the tails of one source."""

    def __init__(self, parts: Parts) -> None:
        self.catalog = parts.catalog
        self.problems: dict[str, str] = {}
        """Paths that cannot be read, and why, as of the last scan."""
        self.descriptors = Descriptors()
        self.changes = Changes()
        self.seen = False
        """The last scan saw that files changed which wait for their turn."""
        self.left_open: list[Joiner] = []
        """What files that are gone for good left open, where nothing takes it over: it has to go out."""
        self.watcher: Watcher | None = None
        self._globs = parts.globs
        self._schedule = parts.schedule
        self._lags = parts.lags
        self._timings = timings = parts.timings
        self._changed = parts.changed
        self._hint = asyncio.Event()
        self.kin = Kin(
            self.catalog, self._globs, self, parts.worker.positions, settle=timings.settle, forget=timings.forget
        )
        self._worker = parts.worker
        self._deleted = Deleted(timings.close_deleted_after)

    def hint(self) -> None:
        """Something happened in the directories: scan soon."""
        self._hint.set()

    def see(self, tail: Tail, info: os.stat_result) -> None:
        """A known file was sighted."""
        if tail.packed:
            if tail.stage != AWAY and info.st_mtime_ns != tail.modified:  # it is not the file that it was
                self.descriptors.close(tail)
                self.catalog.unclaim(tail)
                self._schedule.remove(tail)
                self._hint.set()
            return
        changed = (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified)
        if tail.descriptor < 0:  # nobody looks at it before it is read
            self._lags.set(tail, max(0, info.st_size - tail.offset))
        elif tail.stage != AWAY:
            self._lags.set(tail, tail.unread)  # its name may be another one
            self.seen = self.seen or (changed and tail.stage == READY)
        if changed:
            self.wake(tail)

    def wake(self, tail: Tail) -> None:
        """There may be something to read."""
        self._schedule.wake(tail, time.monotonic())
        self._changed()

    def follow(self, tail: Tail) -> None:
        """A file was opened."""
        self._lags.set(tail, tail.unread)
        if tail.packed and not tail.unread:  # for good
            self._schedule.idle(tail)
            self.descriptors.close(tail)
            return
        self.descriptors.used(tail)
        if tail.unread:
            self._schedule.ready(tail)
        else:
            self._schedule.rest(tail, 0.0)  # due at once: it is armed, and looked at again
        self._changed()

    def cannot_read(self, tail: Tail, error: OSError) -> None:
        """A file that was found cannot be read (any more)."""
        text = explain(tail.path, error)
        self.problems[tail.path] = text
        log.warning(text, every=REMIND)

    async def give_up_deleted(self) -> None:
        """Close the deleted files that are held for too long."""
        if self._deleted.limit is None:
            return
        held = [tail for tail in self.catalog.tails if tail.descriptor >= 0 and not tail.linked]
        deleted = await asyncio.to_thread(self._worker.deleted, held) if held else []
        late = self._deleted.late(deleted, time.monotonic())
        if late:
            await asyncio.to_thread(self._worker.give_up, late)
        for tail in late:
            if tail.stage != AWAY and tail in self.catalog.tails:
                self.forget(tail)  # else the reader does, when it has it back

    def forget(self, tail: Tail) -> None:
        """The file is gone for good: its position is not kept any longer."""
        tell("what a file held before it was truncated is gone" if tail.overwritten else "a file is gone", tail)
        newer = self.catalog.order.next(tail)
        if newer is not None and tail.joiner is not None and newer.stage not in (OUT, AWAY):
            tail.joiner.hand_over(tail, newer)
            if newer.stage == IDLE:
                self._schedule.idle(newer)
        tail.lose(tail.size, "given_up" if tail.given_up else "truncated" if tail.overwritten else "vanished")
        joiner = tail.joiner or tail.lent
        if joiner is None or not joiner.forget(tail):
            self.changes.add({generation.hex(): None for generation in [*tail.ended, tail.generation]}, tail.losses)
        elif joiner is tail.joiner:
            self.left_open.append(joiner)
            self._changed()
        self.descriptors.close(tail)
        if self.watcher is not None:
            self.watcher.disarm(tail)
        self.catalog.drop(tail)
        self._schedule.remove(tail)
        self._lags.set(tail, None)

    def overwritten(self, tail: Tail) -> None:
        """A generation lost its file; a copy may hold what is unread."""
        tell("a file was truncated: it is read from its first byte", tail)
        self.changes.add(tail.state())
        self._lags.set(tail, tail.unread)
        self.catalog.order.returns(tail)
        self.kin.truncated(tail)

    def deleted(self, tail: Tail) -> None:
        """A file that was read to its end is not there any more."""
        self.descriptors.close(tail)
        self._schedule.remove(tail)
        if tail.packed or not self.kin.keep(tail):
            self.forget(tail)

    def found(self, tail: Tail) -> None:
        """A tail goes on in another file, which is open."""
        self.changes.add(tail.state(), tail.losses, urgent=True)
        tail.losses.clear()
        self.follow(tail)

    def let_go_later(self) -> None:
        """Files that lost their paths are let go once they have been quiet for a while."""
        until = time.monotonic() + self._timings.linger
        for tail in self.catalog.tails:
            if tail.stage == IDLE and not tail.linked and tail.descriptor >= 0 and tail.due > until:
                self._schedule.idle(tail, until)

    async def look_at_unlinked(self) -> None:
        """The directories say nothing of open files that lost their paths, and there may be no hints for them."""
        tails = [tail for tail in self.catalog.tails if tail.stage == IDLE and tail.descriptor >= 0 and not tail.linked]
        for tail in await asyncio.to_thread(changed, tails) if tails else ():
            self.wake(tail)
