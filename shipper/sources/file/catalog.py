"""Which files there are: every tail of a source, found again by identity, whatever its path is by now.

A tail is *claimed* when an open file was verified to be its generation in this run; a position that came out of the
spool is a *stray* until then, and so is a claimed tail that was closed and could not be found again. All this runs on
the loop; what touches the disk is handed out, for worker threads (``examine``).
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal

import msgspec

from shipper.batch import Labels
from shipper.sources.file.doubts import Looked, changed, is_another
from shipper.sources.file.examine import Found, Sought, examine, seek
from shipper.sources.file.globs import Globs, Scan, Sighting
from shipper.sources.file.identity import decode_position
from shipper.sources.file.names import stem
from shipper.sources.file.order import Order
from shipper.sources.file.refused import Foreign, Refused
from shipper.sources.file.rotated import Lines, base_of
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.tail import Tail

PATTERNS: Final = "patterns"
"""State key: the patterns whose files were started at their end. What is new under them later is read from its
beginning, or lines written while shipper was down would be skipped."""

_File = tuple[int, int]


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
        self._refused = Refused()
        self.order = Order()
        self.lines = Lines(globs, self.order, self.tails)
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
        self.order.resume(self.tails)

    def first_scan_done(self) -> dict[str, bytes]:
        """From now on new files begin at their beginning. Returns the state that says so."""
        if not self._at_end:
            return {}
        self._at_end = frozenset()
        return {PATTERNS: msgspec.msgpack.encode(sorted(self.globs.include))}

    def claimed(self, tail: Tail) -> bool:
        """Whether the tail's file was verified in this run."""
        return self._claimed.get((tail.device, tail.inode)) is tail

    def followed(self, file: _File) -> Tail | None:
        """The tail of a file, by device and inode."""
        return self._claimed.get(file)

    def link(self, scan: Scan, problems: dict[str, str]) -> tuple[list[tuple[Tail, Sighting]], list[Sighting]]:
        """Compare an expansion of the globs with what is known: tails and where they stand now, and sightings to
        examine. Tails that were not sighted are unlinked. ``problems`` gets what is refused.
        """
        files: dict[_File, Sighting] = {}
        self._refused.keep(scan.files.values())
        for sighting in scan.files.values():
            info = sighting.info
            if (problem := self._refused.problem(sighting)) is not None:
                problems[sighting.path] = problem
                continue
            file = (info.st_dev, info.st_ino)
            # One tail a file, however many names it has: its own stays while it is there, else the first one is it.
            tail, first = self._claimed.get(file), files.get(file)
            named = None if tail is None else tail.path
            if first is None or named == sighting.path or (named != first.path and sighting.path < first.path):
                files[file] = sighting
        seen: list[tuple[Tail, Sighting]] = []
        unknown: list[Sighting] = []
        for tail in self.tails:
            tail.linked = False
        for file, sighting in files.items():
            tail = self._claimed.get(file)
            if tail is not None and changed(tail, sighting.info):
                self.unclaim(tail)
                tail = None
            if tail is None:
                unknown.append(sighting)
                continue
            tail.linked = True
            tail.where = sighting.where
            if tail.path != sighting.path:
                tail.name(sighting.path, self._labels)
            seen.append((tail, sighting))
        return seen, unknown

    def doubtful(self, scan: Scan) -> list[str]:
        """Where files were sighted whose inode numbers closed tails have that wait for their turn, and that changed."""
        found = []
        for sighting in scan.files.values():
            tail, info = self._claimed.get(sighting.file), sighting.info
            if tail is None or tail.descriptor >= 0 or tail.stage == IDLE:
                continue
            if (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified):
                found.append(sighting.where)
        return found

    def settle_doubts(self, places: Mapping[str, Looked]) -> None:
        """Take over what ``look_at`` found at doubtful places: a tail whose file is another one is a stray."""
        for looked in places.values():
            self._settle(looked)

    def find_moved(self, looked: Looked, place: str, left: int) -> bool:
        """A renamed file was seen at ``place``. Whether it is known (it may have been followed under another name)."""
        tail = self._settle(looked)
        if tail is None:
            return False
        if changed(tail, looked.info):
            self.unclaim(tail)
            return False
        self.order.leaves(tail, left)
        if not tail.linked or tail.where != place:
            tail.where, tail.linked = place, False  # if it is linked, it was renamed after that was seen
        return True

    def _settle(self, looked: Looked) -> Tail | None:
        """The tail of a file that was looked at, unless it was deleted and the file is another one."""
        tail = self._claimed.get((looked.info.st_dev, looked.info.st_ino))
        if tail is not None and is_another(tail, looked):
            self.unclaim(tail)
            return None
        return tail

    def may_be_known(self, unknown: list[Sighting]) -> tuple[list[Sighting], list[Sighting]]:
        """Which sightings have the inode number of a stray, and the others."""
        inodes = {tail.inode for tail in self.tails if not self.claimed(tail)}
        known = [sighting for sighting in unknown if sighting.info.st_ino in inodes]
        return known, [sighting for sighting in unknown if sighting.info.st_ino not in inodes]

    def uncertain(self) -> set[str]:
        """The paths of strays: what happened there was not seen."""
        return {tail.line for tail in self.tails if not self.claimed(tail)}

    def files(self) -> frozenset[_File]:
        """The files that are followed, by device and inode."""
        return frozenset(self._claimed)

    def examination(self, sightings: list[Sighting]) -> Callable[[], list[Found]]:
        """What has to run on a worker thread to find out what was sighted; for ``claim``."""
        strays = self.strays()
        ends: set[str] = set()
        if self._at_end:
            ends = {sighting.path for sighting in sightings if sighting.pattern in self._at_end}
            ends -= {tail.path for tail in self.tails}
        return partial(examine, sightings, strays, ends, self._labels)

    def strays(self) -> dict[int, list[Tail]]:
        """The tails that are not claimed, by inode."""
        strays: dict[int, list[Tail]] = {}
        for tail in self.tails:
            if not self.claimed(tail):
                strays.setdefault(tail.inode, []).append(tail)
        return strays

    def note_overwritten(self, found: Found) -> None:
        """A file never seen has the inode of strays: those that stood under its path were overwritten."""
        for tail in self.tails:
            if found.tail is not None and not self.claimed(tail) and tail.path == found.sighting.path:
                new = found.tail
                if (tail.inode, tail.version) == (new.inode, new.version):
                    tail.overwritten = True

    def known(self, sighting: Sighting) -> bool:
        """Whether what was sighted was found meanwhile, by its inode number."""
        tail = self._claimed.get((sighting.info.st_dev, sighting.info.st_ino))
        if tail is None:
            return False
        if not tail.linked and sighting.pattern:
            tail.linked, tail.where = True, sighting.where
            tail.name(sighting.path, self._labels)
        return True

    def bury(self, tail: Tail) -> None:
        """The file of a tail is gone; its content may be found in another one."""
        self.unclaim(tail)
        tail.linked = False
        self.tails[tail] = None

    def begins_at_end(self, sighting: Sighting) -> bool:
        """Whether a file that was never seen is begun at its end."""
        return sighting.pattern in self._at_end and all(tail.path != sighting.path for tail in self.tails)

    def fresh(self, sighting: Sighting) -> Tail:
        """A new generation for a file that ``embody`` gives to it next."""
        tail = Tail(sighting.path, self._labels)
        self.tails[tail] = None
        line = sighting.line or self.order.names.line(base_of(stem(sighting.path)) or "")
        known = bool(sighting.line) or any(line == other.line for other in self.tails if other is not tail)
        self.order.add(tail, line if known else sighting.path, rotated=known)
        return tail

    def embody(self, tail: Tail, sighting: Sighting, info: os.stat_result, descriptor: int) -> None:
        """A tail without a file goes on in another one."""
        self.unclaim(tail)
        tail.adopt(descriptor, info, sighting.where)
        tail.overwritten, tail.durable = False, 0
        if tail.unread:
            self.order.returns(tail)
        self._claimed[(info.st_dev, info.st_ino)] = tail
        if sighting.pattern:
            tail.name(sighting.path, self._labels)
            tail.linked = True

    def claim(self, found: Found) -> Tail | None:
        """Follow what was examined. None when it cannot be, or when a tail follows it already."""
        tail, info = found.tail, found.info
        if isinstance(found.error, Foreign):
            self._refused.note(found.sighting, found.error)
        if tail is None or info is None:
            return None
        file = (info.st_dev, info.st_ino)
        self._settle(Looked(info, tail.version, found.head))
        if file in self._claimed or (found.descriptor >= 0 and (self.claimed(tail) or tail.stage == AWAY)):
            # Another name of the same file was examined just before, or the reader has found it too.
            self.discard(found)
            return None
        if found.descriptor >= 0:
            tail.adopt(found.descriptor, info, found.sighting.where)
            tail.name(found.sighting.path, self._labels)
        self._claimed[file] = tail
        self.tails[tail] = None
        sighting = found.sighting
        tail.linked = not sighting.away
        if found.descriptor < 0:
            line = self.order.names.line(sighting.line or sighting.path)
            self.order.add(tail, line, sighting.left, rotated=bool(sighting.line))
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
        tail.forgotten = True
        self.unclaim(tail)
        self.order.done(tail)
        tail.close()
        self.tails.pop(tail, None)

    def search(self) -> Callable[[], list[Sought]] | None:
        """What has to run on a worker thread to find the closed tails that were not under their paths at the last
        ``link``; for ``found_again``. None: there are none.
        """
        absent = [(tail, self.claimed(tail)) for tail in self.tails if tail.descriptor < 0 and not tail.linked]
        return partial(seek, absent) if absent else None

    def found_again(self, sought: Sought) -> bool:
        """Take over what ``seek`` found. Whether there is something to look at in the file."""
        tail, info = sought.tail, sought.info
        if sought.place is None or info is None:
            return False
        tail.missing = None
        if sought.descriptor < 0:
            tail.where = sought.place
            return info.st_mtime_ns != tail.modified or (not tail.packed and info.st_size != tail.size)
        file = (info.st_dev, info.st_ino)
        if file in self._claimed or tail not in self.tails:
            os.close(sought.descriptor)
            return False
        tail.adopt(sought.descriptor, info, sought.place)
        self._claimed[file] = tail
        return True
