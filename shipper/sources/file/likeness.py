"""Is this file a copy of one that is known? What ``kin.Kin`` asks of the disk; all of it runs on worker threads."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from shipper.sources.file.globs import Sighting
from shipper.sources.file.identity import (
    PREFIX_SIZE,
    TAIL_SIZE,
    Position,
    digest,
    open_regular,
    same,
    same_content,
    seal_of,
)
from shipper.sources.file.names import derived, root, stem
from shipper.sources.file.packed import Kind, Packed, kind_of
from shipper.sources.file.tail import Tail

_SLICE: Final = 32 * 1024 * 1024
"""So many bytes of an archive are decompressed in one step: others use the worker threads too."""


class Known(NamedTuple):
    """A generation as it was at one moment."""

    tail: Tail
    position: Position


@dataclass(slots=True)
class Look:
    """What a file is that nobody follows: ``new``, an ``archive``, the ``copy`` of what ``tail`` has lost, or one that
    may become a copy of a file that is there: ``wait``.
    """

    sighting: Sighting
    verdict: Literal["new", "archive", "copy", "wait"]
    tail: Tail | None = None
    descriptor: int = -1
    info: os.stat_result | None = None
    firm: bool = False
    """It waits until the reader has noticed that the original is gone."""


def compare(
    sightings: Iterable[Sighting],
    strays: Mapping[int, list[Tail]],
    lost: Iterable[Known],
    live: Callable[[], list[Known]],
) -> list[Look]:
    """Look at files whose names are those of rotated ones. ``strays``: tails without a file, by inode; ``lost``: those
    whose files were overwritten; ``live``: gives those whose files are there, and what these lost just now.
    """
    return [_compare(sighting, strays, list(lost), live) for sighting in sightings]


def _compare(
    sighting: Sighting, strays: Mapping[int, list[Tail]], lost: list[Known], live: Callable[[], list[Known]]
) -> Look:
    try:
        descriptor, info = open_regular(sighting.where)
    except OSError:
        return Look(sighting, "new")  # examining it says what is wrong
    try:
        look = _judge(sighting, descriptor, info, strays, lost, live)
    except OSError:
        look = Look(sighting, "wait")
    if look.verdict == "copy":
        look.descriptor, look.info = descriptor, info
    else:
        os.close(descriptor)
    return look


def _judge(
    sighting: Sighting,
    descriptor: int,
    info: os.stat_result,
    strays: Mapping[int, list[Tail]],
    lost: list[Known],
    live: Callable[[], list[Known]],
) -> Look:
    if any(same(descriptor, info.st_size, tail.position()) for tail in strays.get(info.st_ino, ())):
        return Look(sighting, "new")  # itself, renamed
    if kind_of(sighting.where, descriptor) is not None:
        return Look(sighting, "archive")
    copied = [
        known
        for known in lost
        if known.position.prefix_size
        and derived(sighting.where, known.tail.path)
        and same_content(descriptor, info.st_size, known.position)
    ]
    if copied:
        return Look(sighting, "copy", max(copied, key=lambda known: known.position.offset).tail)
    for known in live():
        if derived(sighting.where, known.tail.path) and _may_be_copied(descriptor, info, known):
            return Look(sighting, "wait", firm=not _stands(known))
    return Look(sighting, "new")


def _stands(known: Known) -> bool:
    """Whether a generation's file is what it was; if not, its reader has not noticed yet."""
    try:
        descriptor, info = open_regular(known.tail.where)
    except OSError:
        return False
    try:
        return info.st_ino == known.position.inode and same_content(descriptor, info.st_size, known.position)
    finally:
        os.close(descriptor)


def _may_be_copied(descriptor: int, info: os.stat_result, known: Known) -> bool:
    """Whether a file is, as far as it goes, a copy of one that is there."""
    position = known.position
    if not position.prefix_size:
        return False
    if not info.st_size or same_content(descriptor, info.st_size, position):
        return True
    if info.st_size >= position.offset:
        return False
    # It may be a copy that is being made: if the original is truncated meanwhile, it was finished before that.
    with suppress(OSError):
        original, there = open_regular(known.tail.where)
        try:
            size = min(info.st_size, PREFIX_SIZE)
            last = max(0, info.st_size - TAIL_SIZE)
            if there.st_ino == position.inode and all(
                os.pread(descriptor, length, at) == os.pread(original, length, at)
                for length, at in ((size, 0), (info.st_size - last, last))
            ):
                return True
        finally:
            os.close(original)
    return os.fstat(descriptor).st_size != info.st_size


def beside(tails: Iterable[Tail], claimed: frozenset[tuple[int, int]]) -> list[Sighting]:
    """The files in the directories of ``tails`` whose names can be those of their rotated copies; none of ``claimed``
    (by device and inode).
    """
    wanted: dict[str, set[str]] = {}
    for tail in tails:
        wanted.setdefault(os.path.dirname(tail.where), set()).add(root(tail.where))
    found = []
    for directory, roots in wanted.items():
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if root(entry.name) not in roots:
                    continue
                with suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    if (info.st_dev, info.st_ino) not in claimed and entry.is_file(follow_symlinks=False):
                        found.append(Sighting(entry.path, entry.path, info))
    return found


@dataclass(slots=True)
class Inspection:
    """Reads an archive once, from its first byte to its last, to know what it is. ``step`` is called until it is done;
    the descriptor is the caller's then.
    """

    where: str
    known: list[Known]
    """Generations whose names are akin: is it one of these?"""
    apart: bool
    """What is called like its original is that, even if nobody follows it."""
    descriptor: int = -1
    info: os.stat_result | None = None
    kind: Kind | None = None
    """None when it is done: it is not compressed."""
    seal: bytes = b""
    original: bool = False
    """It is made of a file that is still there."""
    moving: bool = False
    """It was written to meanwhile."""
    matches: list[Tail] = field(default_factory=list)
    """Those of ``known`` that stand nowhere else and whose bytes, up to what was read of them, are in it."""
    head: bytes = b""
    """Its first 1 KiB."""
    last: bytes = b""
    """The hash of its last bytes: the ``tail`` of a position at its end."""
    reader: Packed | None = None
    _left: list[Known] = field(default_factory=list)

    def step(self) -> bool:
        """Go on for a while. Whether it is done.

        :raises OSError: it cannot be read.
        """
        if self.reader is None:
            return self._begin()
        reader = self.reader
        target = reader.length + _SLICE
        while self._left and self._left[0].position.offset <= target:
            tail, position = self._left.pop(0)
            lead = min(TAIL_SIZE, position.offset)
            before = reader.pread(lead, position.offset - lead)
            if len(before) == lead and reader.length >= position.offset and digest(before) == position.tail:
                self.matches.append(tail)
        reader.pread(0, target)
        if reader.end is None:
            return False
        lead = min(TAIL_SIZE, reader.length)
        self.last = digest(reader.pread(lead, reader.length - lead))
        now, then = os.fstat(self.descriptor), self.info
        self.moving = then is None or (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns)
        return True

    def _begin(self) -> bool:
        self.descriptor, self.info = open_regular(self.where)
        self.kind = kind_of(self.where, self.descriptor)
        if self.kind is None:
            return True
        self.seal = seal_of(self.descriptor, self.info.st_size)
        self.reader = Packed(self.descriptor, self.kind)
        self.head = head = self.reader.pread(PREFIX_SIZE, 0)
        self._left = []
        self.original = self.apart and os.path.exists(stem(self.where))
        for known in sorted(self.known, key=lambda known: known.position.offset):
            if _begins(head, known.position):
                if known.tail.missing is not None or not _stands(known):  # it is gone, noticed or not
                    self._left.append(known)
                elif stem(self.where) == known.tail.where:
                    self.original = True
        return self.original

    def close(self) -> None:
        """Nobody wants it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _begins(head: bytes, position: Position) -> bool:
    size = position.prefix_size
    return 0 < size <= len(head) and digest(head[:size]) == position.prefix


def of_one_log(archive: str, tail: Tail) -> bool:
    """Whether names allow that an archive is made of a tail's file."""
    return root(archive) == root(tail.where)
