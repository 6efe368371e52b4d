"""What is done where inotify cannot be had, or is of no use.

On other systems than Linux ``watchfiles`` watches directories and tells of every write, so a hot file costs more than
with ``watch.Inotify``, and renames come without their other half. Where it cannot work either, where inotify gives no
queue, and with ``watch: poll``, looking every second replaces hints.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Literal

from shipper.log import get_logger
from shipper.sources.file.globs import Globs
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import CannotWatch, Inotify, NoInotify, Watcher

log = get_logger("file")

_EVERY_SECOND: Final = "no file events: looking at the files every second instead"
_GATHER: Final = 10
"""Milliseconds that ``watchfiles`` gathers changes for."""


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
        self._judge(watched - self._watched, watched)
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

        self.deaf = False
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
            self.deaf = True
            log.warning(_EVERY_SECOND, why=str(error), every=600.0)


class Poll(Watcher):
    """No hints at all."""

    deaf = True

    def directories(self, wanted: Collection[str], strange: Collection[str]) -> bool:  # noqa: ARG002 - as for the others
        """See ``Watcher``."""
        return False

    def arm(self, tail: Tail) -> None:
        """See ``Watcher``."""

    def disarm(self, tail: Tail) -> None:
        """See ``Watcher``."""

    def close(self) -> None:
        """See ``Watcher``."""


def best_watcher(
    way: Literal["auto", "poll"], on_file: Callable[[Tail], None], on_tree: Callable[[], None], globs: Globs
) -> Watcher:
    """With ``auto`` inotify, on other systems than Linux ``watchfiles``, else none; the log says so."""
    if way == "poll":
        return Poll(on_file, on_tree)
    try:
        return Inotify(on_file, on_tree, globs)
    except NoInotify as reason:
        log.info("using watchfiles for file events", why=str(reason))
        return Watchfiles(on_file, on_tree)
    except CannotWatch as reason:
        log.warning(_EVERY_SECOND, why=str(reason), every=600.0)
        return Poll(on_file, on_tree)
