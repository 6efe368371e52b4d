"""Which file is read before which: what stood under a path earlier comes first, so order holds across rotations, also
across those that happened while shipper was down. No I/O.

Each tail belongs to a *line*, named by the path that its files had when they were written, and has a number in it that
is kept with its position: a smaller one was written earlier.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from shipper.sources.file.globs import Sighting
from shipper.sources.file.tail import Tail

_STEP: Final = 1 << 32
_SMALL: Final = 1 << 16
"""Numbers lie ``_STEP`` apart, those of files that were found later ``_SMALL``: more fit between two than ever come."""


class Names:
    """Which line a path belongs to, where a log has several names: links, and where they lead.

    A link is rotated under the name of what it leads to, and both may be meant: the files of both are one line.
    """

    def __init__(self) -> None:
        self._leads: dict[str, str] = {}
        self._lines: dict[str, str] = {}

    def resume(self, tails: Iterable[Tail]) -> None:
        """Links that positions from the spool tell of: while a log is rotated its link leads nowhere."""
        self._leads = {tail.path: tail.where for tail in tails if tail.where != tail.path == tail.line}
        self._lines = {place: link for link, place in self._leads.items()}

    def look(self, files: Mapping[str, Sighting], tails: Iterable[Tail]) -> None:
        """Take over the links of a scan. One that is not there keeps its meaning as long as files are known by it."""
        links = {path: sighting.where for path, sighting in files.items() if sighting.where != path}
        if not links and not self._leads:  # as nearly always
            return
        known = {tail.line for tail in tails}
        away = {link: place for link, place in self._leads.items() if link not in files and link in known}
        self._leads = links | away
        names: dict[str, list[str]] = {place: [] for place in self._leads.values()}
        for path, sighting in files.items():
            if sighting.where in names:
                names[sighting.where].append(path)
        for link, place in away.items():
            names[place].append(link)
        self._lines = {
            place: next((name for name in [*found, place] if name in known), found[0]) for place, found in names.items()
        }

    def line(self, path: str) -> str:
        """The line of what stands under a path: named by that of its names that names a line already."""
        return self._lines.get(self.place(path), path)

    def place(self, path: str) -> str:
        """Where a path leads: itself if it is no link."""
        return self._leads.get(path, path)

    def both(self, path: str) -> set[str]:
        """A path and where it leads."""
        return {path, self.place(path)}

    def stands(self, tail: Tail) -> bool:
        """Whether a tail's file is the one that stands where its line is written now."""
        return tail.linked and (tail.path == tail.line or self.place(tail.path) == self.place(tail.line))


class Order:
    """The files of each line, the earliest first, until they are read to their ends."""

    def __init__(self) -> None:
        self.names = Names()
        self.known = 0
        """The highest number that was given before the scan that runs now."""
        self._last = 0
        self._lines: dict[str, list[Tail]] = {}
        self._waiting: set[Tail] = set()
        self._left: dict[Tail, int] = {}
        self._ends: dict[Tail, int] = {}

    def resume(self, tails: Iterable[Tail]) -> None:
        """Put the tails of positions from the spool in the order that was kept with them."""
        tails = list(tails)
        self.names.resume(tails)
        for tail in sorted(tails, key=lambda tail: tail.born):
            self._lines.setdefault(tail.line, []).append(tail)
            self._waiting.add(tail)
            self._last = max(self._last, tail.born)

    def scan(self) -> None:
        """A scan begins."""
        self.known = self._last

    def add(self, tail: Tail, path: str, left: int = 0, *, rotated: bool = False) -> None:
        """A tail was found under its path, after all that were found there before. ``left``: it was renamed since, so
        its place is among those that left too. ``rotated``: it left after those known before this scan, and before any
        whose leaving was seen.
        """
        line = self._lines.setdefault(path, [])
        at = len(line)
        while at and (left or rotated):
            last = line[at - 1]
            later = self._left.get(last, 0) > left if left else last in self._left and last.born > self.known
            if not later and not self.names.stands(last):
                break
            at -= 1
        tail.line = path
        if at == len(line):
            self._last += _STEP
            tail.born = self._last
        else:
            before, after = line[at - 1].born if at else line[at].born - _STEP, line[at].born
            tail.born = before + min(_SMALL, (after - before) // 2)
        line.insert(at, tail)
        self._waiting.add(tail)
        if left:
            self._left[tail] = left

    def returns(self, tail: Tail) -> None:
        """There may be more to read of a tail, whose number stays: what comes after it waits again."""
        self.done(tail)
        tail.line = tail.line or tail.path
        line = self._lines.setdefault(tail.line, [])
        line.insert(next((at for at, other in enumerate(line) if other.born >= tail.born), len(line)), tail)
        self._waiting.add(tail)

    def leaves(self, tail: Tail, left: int) -> None:
        """A tail was renamed away; ``left`` counts such events."""
        if tail in self._waiting:
            self._left[tail] = left

    def older(self, tail: Tail) -> Tail | None:
        """What has to be read before a tail: the first of its line."""
        if tail not in self._waiting:
            return None
        first = self._lines[tail.line][0]
        return None if first is tail else first

    def next(self, older: Tail) -> Tail | None:
        """What comes after a tail in its line."""
        line = self._lines.get(older.line, []) if older in self._waiting else []
        at = line.index(older) + 1 if line else 0
        return line[at] if at < len(line) else None

    def after(self, tail: Tail) -> list[Tail]:
        """All that comes after a tail in its line."""
        line = self._lines[tail.line] if tail in self._waiting else []
        return line[line.index(tail) + 1 :] if tail in line else []

    def before(self, tail: Tail) -> list[Tail]:
        """All that has to be read before a tail."""
        line = self._lines[tail.line] if tail in self._waiting else []
        return line[: line.index(tail)] if tail in line else []

    def end(self, older: Tail) -> int:
        """How much of an older file comes first: what it held when this was asked for the first time. The newer one has
        bytes by then, so whoever writes has left the older one.
        """
        return self._ends.setdefault(older, older.size)

    def done(self, tail: Tail) -> None:
        """Nothing has to wait for this tail any more."""
        if tail in self._waiting:
            self._waiting.remove(tail)
            line = self._lines[tail.line]
            line.remove(tail)
            if not line:
                del self._lines[tail.line]
        self._left.pop(tail, None)
        self._ends.pop(tail, None)
