"""Which files there are: every tail of a source, found again by identity, whatever its path is by now.

A tail is *claimed* when an open file was verified to be its generation in this run; a position that came out of the
spool is a *stray* until then, and so is a claimed tail that was closed and could not be found again. Methods marked
"thread" touch the disk and run on a worker thread; all others run on the loop.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from shipper.batch import Labels
from shipper.sources.file.globs import Globs, Scan, Sighting
from shipper.sources.file.identity import NotRegular, decode_position, kind, open_regular, same
from shipper.sources.file.order import Order
from shipper.sources.file.tail import Tail

PATTERNS: Final = "patterns"
"""State key: the patterns whose files were started at their end. What is new under them later is read from its
beginning, or lines written while shipper was down would be skipped."""

_File = tuple[int, int]


@dataclass(slots=True)
class Found:
    """What stands behind a sighting that no claimed tail is known for."""

    sighting: Sighting
    tail: Tail | None = None
    descriptor: int = -1
    info: os.stat_result | None = None
    error: OSError | None = None


@dataclass(slots=True)
class Sought:
    """What was found of a closed tail that is not under its path any more."""

    tail: Tail
    place: str | None = None
    """None: it is not in its directory."""
    descriptor: int = -1
    info: os.stat_result | None = None
    unknown: bool = False
    """The directory could not be listed: nothing can be said."""


class Catalog:
    """The tails of one source.

    :raises SourceError: a position kept in the spool cannot be read.
    """

    def __init__(
        self, globs: Globs, labels: Labels, state: Mapping[str, bytes], start_at: Literal["beginning", "end"]
    ) -> None:
        self.globs = globs
        self.tails: dict[Tail, None] = {}
        self._labels = labels
        self._claimed: dict[_File, Tail] = {}
        self.order = Order()
        self._at_end: frozenset[str] = frozenset()
        """Patterns whose never-seen files begin at their end, in the first scan."""
        if start_at == "end":
            known = msgspec.msgpack.decode(state[PATTERNS], type=list[str]) if PATTERNS in state else []
            self._at_end = frozenset(globs.include) - frozenset(known)
        for key, value in state.items():
            if key != PATTERNS:
                generation, position = decode_position(key, value)
                tail = Tail.resumed(labels, generation, position)
                self.tails[tail] = None
                self.order.add(tail, tail.path)

    def first_scan_done(self) -> dict[str, bytes]:
        """From now on new files begin at their beginning. Returns the state that says so."""
        if not self._at_end:
            return {}
        self._at_end = frozenset()
        return {PATTERNS: msgspec.msgpack.encode(sorted(self.globs.include))}

    def claimed(self, tail: Tail) -> bool:
        """Whether the tail's file was verified in this run."""
        return self._claimed.get((tail.device, tail.inode)) is tail

    def link(self, scan: Scan, problems: dict[str, str]) -> tuple[list[tuple[Tail, Sighting]], list[Sighting]]:
        """Compare an expansion of the globs with what is known: tails and where they stand now, and sightings to
        examine. Tails that were not sighted are unlinked. ``problems`` gets what is refused.
        """
        files: dict[_File, Sighting] = {}
        for sighting in scan.files.values():
            info = sighting.info
            if not stat.S_ISREG(info.st_mode):
                problems[sighting.path] = f"{sighting.path} is {kind(info.st_mode)}, not a file: left alone"
                continue
            file = (info.st_dev, info.st_ino)
            tail = self._claimed.get(file)
            if file not in files or (tail is not None and tail.path == sighting.path):
                files[file] = sighting  # one tail a file, however many names it has
        seen: list[tuple[Tail, Sighting]] = []
        unknown: list[Sighting] = []
        for tail in self.tails:
            tail.linked = False
        for file, sighting in files.items():
            tail = self._claimed.get(file)
            if tail is None:
                unknown.append(sighting)
                continue
            tail.linked = True
            tail.where = sighting.where
            if tail.path != sighting.path:
                tail.name(sighting.path, self._labels)
            seen.append((tail, sighting))
        return seen, unknown

    def find_moved(self, file: os.stat_result, place: str, left: int) -> bool:
        """A renamed file was seen at ``place``. Whether it is known (it may have been followed under another name)."""
        tail = self._claimed.get((file.st_dev, file.st_ino))
        if tail is None:
            return False
        self.order.leaves(tail, left)
        if not tail.linked:
            tail.where = place
        return True

    def examine(self, sightings: Iterable[Sighting], strays: Mapping[int, list[Tail]]) -> list[Found]:
        """Thread: open what was sighted and find out whose generation it is; a new one where it is nobody's."""
        return [self._examine(sighting, strays) for sighting in sightings]

    def _examine(self, sighting: Sighting, strays: Mapping[int, list[Tail]]) -> Found:
        try:
            descriptor, info = open_regular(sighting.where)
        except OSError as error:
            return Found(sighting, error=error)
        # The device settles ties between equal files with equal inode numbers, then the path.
        candidates = sorted(
            strays.get(info.st_ino, ()), key=lambda tail: (tail.device != info.st_dev, tail.path != sighting.path)
        )
        try:
            for tail in candidates:
                if same(descriptor, info.st_size, tail.position()):
                    return Found(sighting, tail, descriptor, info)
            tail = Tail(sighting.path, self._labels)
            tail.adopt(descriptor, info, sighting.where)
            tail.fix()
            if sighting.pattern in self._at_end and not any(stray.path == sighting.path for stray in self.tails):
                tail.start_at(info.st_size)
        except OSError as error:
            os.close(descriptor)
            return Found(sighting, error=error)
        return Found(sighting, tail, info=info)

    def strays(self) -> dict[int, list[Tail]]:
        """The tails that are not claimed, by inode."""
        found: dict[int, list[Tail]] = {}
        for tail in self.tails:
            if not self.claimed(tail):
                found.setdefault(tail.inode, []).append(tail)
        return found

    def claim(self, found: Found) -> Tail | None:
        """Follow what was examined. None when it cannot be, or when a tail follows it already."""
        tail, info = found.tail, found.info
        if tail is None or info is None:
            return None
        file = (info.st_dev, info.st_ino)
        if file in self._claimed or (found.descriptor >= 0 and self.claimed(tail)):
            # Another name of the same file was examined just before.
            self.discard(found)
            return None
        if found.descriptor >= 0:
            tail.adopt(found.descriptor, info, found.sighting.where)
            tail.name(found.sighting.path, self._labels)
        self._claimed[file] = tail
        self.tails[tail] = None
        tail.linked = not found.sighting.left
        if found.descriptor < 0:
            self.order.add(tail, found.sighting.path, found.sighting.left)
        return tail

    def discard(self, found: Found) -> None:
        """Do not follow what was examined."""
        if found.descriptor >= 0:
            os.close(found.descriptor)
        elif found.tail is not None:
            found.tail.close()

    def unclaim(self, tail: Tail) -> None:
        """The tail was closed and its file is not there any more."""
        if self.claimed(tail):
            del self._claimed[(tail.device, tail.inode)]

    def drop(self, tail: Tail) -> None:
        """Forget a tail."""
        self.unclaim(tail)
        self.order.done(tail)
        tail.close()
        self.tails.pop(tail, None)

    def absent(self) -> list[Tail]:
        """The closed tails that were not under their paths at the last ``link``."""
        return [tail for tail in self.tails if tail.descriptor < 0 and not tail.linked]

    def seek(self, absent: Iterable[Tail]) -> list[Sought]:
        """Thread: look for closed tails under other names in the directories where they were."""
        listings: dict[str, dict[int, str] | None] = {}
        return [self._seek(tail, listings) for tail in absent]

    def _seek(self, tail: Tail, listings: dict[str, dict[int, str] | None]) -> Sought:
        directory = os.path.dirname(tail.where)
        if directory not in listings:
            listings[directory] = _inodes(directory)
        listing = listings[directory]
        if listing is None:
            return Sought(tail, unknown=True)
        place = listing.get(tail.inode)
        if place is None or tail.prefix_size == 0:
            return Sought(tail)
        try:
            if self.claimed(tail):
                info = os.stat(place)
                there = (info.st_dev, info.st_ino) == (tail.device, tail.inode)
                return Sought(tail, place, info=info) if there else Sought(tail)
            descriptor, info = open_regular(place)
        except OSError as error:
            return Sought(tail, unknown=not isinstance(error, FileNotFoundError | NotRegular))
        with suppress(OSError):
            if info.st_ino == tail.inode and same(descriptor, info.st_size, tail.position()):
                return Sought(tail, place, descriptor, info)
        os.close(descriptor)
        return Sought(tail)

    def found_again(self, sought: Sought) -> bool:
        """Take over what ``seek`` found. Whether there is something to look at in the file."""
        tail, info = sought.tail, sought.info
        if sought.place is None or info is None:
            return False
        tail.missing = None
        if sought.descriptor < 0:
            tail.where = sought.place
            return (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified)
        file = (info.st_dev, info.st_ino)
        if file in self._claimed or tail not in self.tails:
            os.close(sought.descriptor)
            return False
        tail.adopt(sought.descriptor, info, sought.place)
        self._claimed[file] = tail
        return True


def _inodes(directory: str) -> dict[int, str] | None:
    """The paths in a directory by inode; empty when it is not there, None when it cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            return {entry.inode(): entry.path for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        return None
