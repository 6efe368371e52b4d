"""What a rescan does instead of a scan while nothing happens: it looks at the directories, and at few files.

A scan costs about 10 µs a file, also where thousands are idle. So for some rescans in a row a glance is enough: nothing
is missed by it as long as

- no directory has changed since it was listed: no name came or went, so each path still names the file that it named;
- every idle file has its watch, which gives a hint for the next write. What has none is looked at.

What could still go wrong is found by the next scan: docs/decisions/121-rescans-that-only-glance.md.
"""

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from shipper.sources.file.catalog import Catalog
from shipper.sources.file.globs import Scan, Sighting, Version, version
from shipper.sources.file.limits import TooOld
from shipper.sources.file.schedule import IDLE
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import Watcher

GLANCES: Final = 11
"""So many rescans in a row are no scans."""
FEW: Final = 64
"""With at most so many files every rescan is a scan: the way to the thread and back costs about as much as they do."""
TICK: Final = 3.0
"""Seconds in which a directory may change twice without its time telling so: on some file systems it counts in twos."""

Look = list[tuple[Tail, os.stat_result]]
_Expected = tuple[int, ...]
"""The first of these: device, inode, time of modification, size."""


class Glance:
    """When a glance is enough, and what it looks at. All methods run on the loop; what ``plan`` gives does not."""

    def __init__(self, catalog: Catalog, too_old: TooOld) -> None:
        self._catalog = catalog
        self._too_old = too_old
        self._since: dict[str, tuple[Version | None, float]] = {}
        self._others: list[tuple[str, _Expected]] = []
        self._left = 0

    def scanned(self, scan: Scan, *, settled: bool) -> None:
        """A scan is done. ``settled``: nothing waits for another one."""
        before, self._since = self._since, {}
        steady = True
        for path, state in (scan.strange | scan.directories).items():
            known = before.get(path)
            self._since[path] = known if known is not None and known[0] == state else (state, scan.ended)
            steady = steady and scan.began - self._since[path][1] >= TICK
        enough = settled and steady and len(scan.files) > FEW
        self._left = GLANCES if enough and self._sort(scan.files.values()) else 0

    def _sort(self, sightings: Iterable[Sighting]) -> bool:
        """Note the sightings for which no watch speaks. Whether all are accounted for."""
        self._others = []
        for sighting in sightings:
            tail, info = self._catalog.followed(sighting.file), sighting.info
            if tail is None and not self._too_old.holds(sighting):
                return False
            if tail is None:
                self._others.append((sighting.path, (*sighting.file, info.st_mtime_ns, info.st_size)))
            elif sighting.path != sighting.where:
                self._others.append((sighting.path, sighting.file))  # what is written there, its tail's watch tells
        return True

    def plan(self, watcher: Watcher | None) -> Callable[[], Look | None] | None:
        """What to do on a worker thread. It gives the files that are being read, as they are now; or None: something
        is different, so a scan has to find out. No plan: only a scan will do.
        """
        if watcher is None or watcher.rescan is not None or not self._left:
            return None
        self._left -= 1
        places = list(self._others)
        active: list[Tail] = []
        for tail in self._catalog.tails:
            if tail.missing is not None or not self._catalog.claimed(tail):
                return None
            if tail.linked and tail.stage == IDLE:
                if not tail.packed and not watcher.hears(tail):
                    places.append(_place(tail))
            elif tail.linked and tail.descriptor >= 0:
                active.append(tail)
            elif tail.stage == IDLE and tail.descriptor < 0:
                places.append(_place(tail))
            else:
                return None
        return partial(_look, [(path, state) for path, (state, _) in self._since.items()], places, active)


def _place(tail: Tail) -> tuple[str, _Expected]:
    expected = tail.device, tail.inode, tail.modified
    return tail.where, expected if tail.packed else (*expected, tail.size)


def _look(
    directories: Iterable[tuple[str, Version | None]], places: Iterable[tuple[str, _Expected]], active: Iterable[Tail]
) -> Look | None:
    if any(version(path) != state for path, state in directories):
        return None
    try:
        for path, expected in places:
            info = os.stat(path)
            if (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)[: len(expected)] != expected:
                return None
        found = [(tail, os.stat(tail.where)) for tail in active]
    except OSError:
        return None
    same = all((info.st_dev, info.st_ino) == (tail.device, tail.inode) for tail, info in found)
    return found if same else None
