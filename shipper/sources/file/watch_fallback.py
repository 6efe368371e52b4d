"""The other way to get hints: ``watchfiles``, where inotify cannot be had (its limits are used up, another system).

It watches directories and tells of every write, so a hot file costs more than with ``watch.Inotify``, and renames come
without their other half. Where it cannot work either, looking every second replaces hints.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from shipper.log import get_logger
from shipper.sources.file.globs import Globs
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import CannotWatch, Inotify, Watcher

log = get_logger("file")

_GATHER: Final = 10
"""Milliseconds that ``watchfiles`` gathers changes for."""
_POLL: Final = 1.0


class Watchfiles(Watcher):
    """Hints from ``watchfiles``, imported here alone."""

    def __init__(self, on_file: Callable[[Tail], None], on_tree: Callable[[], None]) -> None:
        super().__init__(on_file, on_tree)
        self._armed: dict[str, Tail] = {}
        self._watched: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def directories(self, wanted: Collection[str], strange: Collection[str]) -> bool:
        """See ``Watcher``; never raises."""
        watched = {*wanted, *strange}
        if watched == self._watched:
            return False
        self._watched = watched
        before, self._task = self._task, asyncio.create_task(self._listen(sorted(watched)))
        if before is not None:
            before.cancel()
        return True

    def arm(self, tail: Tail) -> None:
        """See ``Watcher``; never raises."""
        self._armed[tail.where] = tail

    def disarm(self, tail: Tail) -> None:
        """See ``Watcher``."""
        if self._armed.get(tail.where) is tail:
            del self._armed[tail.where]

    def close(self) -> None:
        """See ``Watcher``."""
        if self._task is not None:
            self._task.cancel()

    async def _listen(self, directories: list[str]) -> None:
        from watchfiles import Change, awatch

        self.rescan = None
        try:
            async for changes in awatch(
                *directories,
                watch_filter=None,
                debounce=_GATHER,
                step=_GATHER,
                recursive=False,
                ignore_permission_denied=True,
            ):
                for change, path in changes:
                    tail = self._armed.pop(path, None)
                    if tail is not None:
                        self.on_file(tail)
                    if change != Change.modified:
                        self.on_tree()
        except (OSError, RuntimeError) as error:  # what its native part raises, by its own account
            self.rescan = _POLL
            log.warning("no file events: looking at the files every second instead", why=str(error), every=600.0)


def best_watcher(on_file: Callable[[Tail], None], on_tree: Callable[[], None], globs: Globs) -> Watcher:
    """Use inotify where it can be had, else ``watchfiles``; the log says so."""
    try:
        return Inotify(on_file, on_tree, globs)
    except CannotWatch as reason:
        return instead(reason, on_file, on_tree)


def instead(reason: CannotWatch, on_file: Callable[[Tail], None], on_tree: Callable[[], None]) -> Watcher:
    """``watchfiles``, because inotify cannot be had (any more)."""
    log.warning("using watchfiles for file events", why=str(reason), every=600.0)
    return Watchfiles(on_file, on_tree)
