"""Files that stood under a path and were renamed while nobody looked: known by their names, ordered by their times.

Programs that rotate put a number or a date behind the name: ``app.log.1``, ``app.log-20260101.gz``. Such a *sibling*
that was never seen has no other sign of what it is. So times of modification, which any clock may have written, decide
here, and only here: among files never seen (docs/decisions/104-rotated-while-down.md).
"""

import os
import re
import stat
from collections.abc import Collection, Container, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from shipper.sources.file.globs import Globs, Sighting
from shipper.sources.file.names import stem
from shipper.sources.file.order import Order
from shipper.sources.file.packed import UNFINISHED
from shipper.sources.file.tail import Tail

_SUFFIX: Final = re.compile(r"(?:\.[0-9][0-9.:TZ+_-]{0,39}|[_-][0-9][0-9.:TZ+_-]{5,39})\Z")
_NUMBER: Final = re.compile(r"\.([0-9]{1,4})\Z")
_LISTINGS: Final = 5
_LOOKS: Final = 2
"""So often a directory is looked at that does not change: a change may fall into the same tick as a look."""


class Away(NamedTuple):
    """A path whose generation known last is not there any more."""

    path: str
    since: int
    """When that was written to last, in nanoseconds."""


def base_of(path: str) -> str | None:
    """The path that a rotated file had, by its name; None: it does not look like one that was rotated."""
    directory, name = os.path.split(path)
    for at in range(1, len(name)):
        if name[at] in "._-" and _SUFFIX.match(name, at):
            return os.path.join(directory, name[:at])
    return None


def age(sighting: Sighting) -> tuple[int, int, str]:
    """Sorts siblings, the earliest first. Equal times: of numbers the highest is the earliest, of dates the lowest."""
    number = _NUMBER.search(stem(sighting.where))
    return (sighting.info.st_mtime_ns, -int(number[1]) if number else 0, sighting.where)


def by_age(siblings: Iterable[Sighting]) -> list[Sighting]:
    """Rotated files never seen, the one written to last at the end."""
    return sorted(siblings, key=age)


class Lines:
    """Says of files never seen which line they belong to (see ``order``), and which lines went on unseen."""

    def __init__(self, globs: Globs, order: Order, tails: Collection[Tail]) -> None:
        self._globs = globs
        self._order = order
        self._tails = tails
        self._begun: set[str] = set()
        """Lines of which nothing is known but archives yet: what stands there waits for them."""

    def rotated(self, unknown: Iterable[Sighting], paths: Container[str]) -> tuple[list[Sighting], list[Sighting]]:
        """Files never seen whose names say that they were rotated from a path that is known, or is among ``paths``; and
        the others.
        """
        known = {tail.line for tail in self._tails}
        siblings, others = [], []
        for sighting in unknown:
            base = base_of(sighting.path)
            line = self._order.names.line(base or "")
            if sighting.line:
                siblings.append(sighting)
            elif base is not None and (line in known or line in paths or base in paths):
                siblings.append(replace(sighting, line=line))
            else:
                others.append(sighting)
        return siblings, others

    def archives(
        self, kindred: Iterable[Sighting], unknown: Iterable[Sighting], away: Collection[Away]
    ) -> list[Sighting]:
        """Files never seen; of the compressed ones those say so that were rotated from one of the paths ``away``, or
        from a path that is new as they are: it is among the ``unknown``.
        """
        kindred = list(kindred)
        if not kindred:  # as in nearly all scans
            return []
        known = {tail.line for tail in self._tails} - self._begun
        first = {self._order.names.line(sighting.path) for sighting in unknown} - known
        lines = first | {path for path, _ in away}
        found = []
        for sighting in kindred:
            base = base_of(stem(sighting.path)) if stem(sighting.path) != sighting.path else None
            line = self._order.names.line(base or "")
            if base is not None and line in lines:
                self._begun |= first & {line}
                sighting = replace(sighting, line=line)  # noqa: PLW2901
            found.append(sighting)
        return found

    def away(self, gone: Container[str] = ()) -> list[Away]:
        """The paths that are meant and where none of the generations stands that were known before this scan, or from
        where others are ``gone``.
        """
        newest: dict[str, Tail] = {}
        there = set()
        for tail in self._tails:
            if tail.born > self._order.known:
                continue
            if self._order.names.stands(tail):
                there.add(tail.line)
            if tail.line not in newest or newest[tail.line].born < tail.born:
                newest[tail.line] = tail
        self._begun -= there
        return [
            Away(line, tail.modified)
            for line, tail in newest.items()
            if (line not in there or line in gone)
            and line not in self._begun
            and tail.modified > 0
            and self._globs.match(line) is not None
        ]


class Siblings:
    """Looks for rotated files that no pattern means."""

    def __init__(self, globs: Globs) -> None:
        self._globs = globs
        self._looked: dict[str, tuple[int, int]] = {}

    def find(
        self, away: Collection[Away], known: AbstractSet[tuple[int, int]], again: AbstractSet[str]
    ) -> list[Sighting]:
        """The siblings of paths that were written to after what was known last, compressed ones too; none of the
        ``known`` files (by device and inode), and none that is excluded, or meant by a pattern (so it is sighted
        anyway). In directories that did not change those of the paths in ``again`` alone. Runs on a worker thread.
        """
        before, self._looked = self._looked, {}
        due = [
            (path, since, base)
            for path, since in away
            if self._due(path, base := os.path.realpath(path), {} if path in again else before)
        ]
        found = _beside(base for _, _, base in due)
        return [
            sibling
            for path, since, base in due
            for entry in found.get(base, ())
            if (sibling := self._sibling(path, since, entry)) is not None and sibling.file not in known
        ]

    def _due(self, path: str, base: str, before: dict[str, tuple[int, int]]) -> bool:
        try:
            changed, looks = os.stat(os.path.dirname(base)).st_mtime_ns, 0
        except OSError:
            return False  # it is not there, or the scan has said what is wrong
        if path in before and before[path][0] == changed:
            looks = before[path][1]
        self._looked[path] = (changed, looks + 1)
        return looks < _LOOKS

    def _sibling(self, path: str, since: int, entry: os.DirEntry[str]) -> Sighting | None:
        if self._globs.excludes(entry.path) or self._globs.match(entry.path) is not None:
            return None
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        if not stat.S_ISREG(info.st_mode) or info.st_mtime_ns < since:
            return None
        return Sighting(path, entry.path, info, line=path, away=True)


def _beside(bases: Iterable[str]) -> dict[str, list[os.DirEntry[str]]]:
    """The rotated files beside each of these paths. A directory is listed for all of them together: there may be
    thousands in one.
    """
    directories: dict[str, set[str]] = {}
    for base in bases:
        directories.setdefault(os.path.dirname(base), set()).add(base)
    found: dict[str, list[os.DirEntry[str]]] = {}
    for directory, wanted in directories.items():
        with suppress(OSError):  # as above
            for base, entry in _settled(directory, wanted):
                found.setdefault(base, []).append(entry)
    return found


def _settled(directory: str, bases: Container[str]) -> list[tuple[str, os.DirEntry[str]]]:
    """The files of a directory that were rotated from one of the paths; looked for until two looks agree: one that is
    renamed meanwhile may be missed.

    :raises OSError: the directory is not there, or cannot be listed.
    """
    before: set[int] = set()
    for _ in range(_LISTINGS):
        with os.scandir(directory) as entries:
            found = [
                (base, entry)
                for entry in entries
                if (base := base_of(stem(entry.path))) in bases and base and not entry.name.endswith(UNFINISHED)
            ]
        inodes = {entry.inode() for _, entry in found}
        if inodes == before:
            break
        before = inodes
    return found
