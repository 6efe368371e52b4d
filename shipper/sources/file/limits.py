"""How long deleted files are held open, which files are too old to be begun, and what else counts in time.

Deleted files are timed by the monotonic clock, so it is running time. The age of a file never seen is the wall clock
less its time of modification: there is nothing else to go by. It says only what is begun, never what is gone on with.
"""

import math
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from shipper.sources.file.globs import Sighting
from shipper.sources.file.tail import Tail


class Timings(NamedTuple):
    """Seconds, for everything that a file source waits for by itself."""

    rescan: float = 10.0
    """Between scans that no hint asked for."""
    linger: float = 30.0
    """A file that lost its path is read on until it was quiet for so long."""
    forget: float = 600.0
    """The position of a file that is gone is kept for so long: a directory may be mounted late."""
    ignore_older: float | None = None
    close_deleted_after: float | None = None
    """As in the config of the source."""
    settle: float = 5.0
    """A file that may become a copy of another one waits until it was the same for so long."""


class Deleted:
    """Since when the files of open tails are deleted. ``limit``: how many seconds they are held; None: until they are
    read to their ends.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._since: dict[Tail, float] = {}

    def late(self, deleted: Iterable[Tail], now: float) -> list[Tail]:
        """Which of the files that are deleted now have been so for too long."""
        self._since = {tail: self._since.get(tail, now) for tail in deleted}
        return [] if self.limit is None else [tail for tail, at in self._since.items() if now - at >= self.limit]

    def wait(self, now: float) -> float:
        """Seconds until the next is to be given up; without end where none is."""
        if self.limit is None or not self._since:
            return math.inf
        return max(0.0, min(self._since.values()) + self.limit - now)


class TooOld:
    """Files never seen that were not written to for ``limit`` seconds and are left alone. None: none is."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._files: dict[tuple[int, int], tuple[int, int]] = {}

    def __call__(self, sighting: Sighting) -> bool:
        """Whether a file is one of them. It stays one until it changes, whatever the clock does."""
        if self._limit is None:
            return False
        now = (sighting.info.st_size, sighting.info.st_mtime_ns)
        if self._files.get(sighting.file) == now:
            return True
        self._files.pop(sighting.file, None)
        if time.time_ns() - sighting.info.st_mtime_ns <= self._limit * 1e9:
            return False
        self._files[sighting.file] = now
        return True

    def holds(self, sighting: Sighting) -> bool:
        """Whether a file was one of them when it was seen last, as it was sighted."""
        return self._files.get(sighting.file) == (sighting.info.st_size, sighting.info.st_mtime_ns)

    def keep(self, files: Collection[tuple[int, int]]) -> None:
        """Only these are still there."""
        for file in self._files.keys() - files:
            del self._files[file]
