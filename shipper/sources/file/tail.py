"""Reading one file generation: from its position, whole lines only, verified at every look.

A ``Tail`` holds no bytes between reads. A half line is read again from its start once its newline is there; how far it
was searched is remembered, so a long one is searched once. All methods that touch the file run on a worker thread, one
at a time for each tail; the attributes are read and scheduled by the loop between the calls.
"""

import os
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from shipper.batch import DEAD_LETTER_RAW, Labels
from shipper.sources.file.framing import Chunk
from shipper.sources.file.identity import (
    NOTHING,
    PREFIX_SIZE,
    TAIL_SIZE,
    Position,
    digest,
    encode_position,
    reopen,
)

_SEARCH: Final = 16 * 1024 * 1024
"""At most so many bytes are searched for the end of a line in one read, so that other files get their turn."""


class Gone(Exception):
    """The generation is not where it was, nor beside it under another name."""


@dataclass(slots=True, eq=False)
class Tail:
    """One generation of a file and how far it was read."""

    path: str
    """The path under which it is followed."""
    labels: Labels
    """Given those of the source; ``file`` is added."""
    generation: bytes = field(default_factory=partial(os.urandom, 16))
    label: str = ""
    """The path as text."""
    where: str = ""
    """Where it stands: its path, or where that leads, or where it was renamed to."""
    descriptor: int = -1
    """-1 while the file is closed."""
    inode: int = 0
    device: int = 0
    links: int = 1
    modified: int = 0
    size: int = 0
    """At the last look, like ``links`` and ``modified``."""
    offset: int = 0
    """The first byte that was not read."""
    searched: int = 0
    """No newline stands between ``offset`` and here."""
    sure: int = 0
    """Up to here the bytes after ``offset`` were this generation's."""
    stop: int | None = None
    """With ``once``: nothing from this byte on is read."""
    prefix_size: int = 0
    prefix: bytes = NOTHING
    tail: bytes = NOTHING
    """See ``Position``."""
    lost: int = 0
    """Bytes that vanished before they were read and were not counted yet."""
    ended: list[bytes] = field(default_factory=list)
    """Generations that this file had before, to be forgotten with the next state that is written."""
    linked: bool = False
    """It was under its path when the globs were expanded last."""
    missing: float | None = None
    """Since when (monotonic) it is nowhere to be found."""
    stage: int = 0
    due: float = 0.0
    paced: float = 0.0
    """These three belong to the schedule; a frame that is not full has to wait until ``paced``."""

    def __post_init__(self) -> None:
        self.where = self.where or self.path
        self.name(self.path, self.labels)

    @classmethod
    def resumed(cls, labels: Labels, generation: bytes, position: Position) -> "Tail":
        """The tail of a position that was kept in the spool; its file is not open yet."""
        tail = cls(os.fsdecode(position.path), labels, generation, where=os.fsdecode(position.where))
        tail.inode, tail.device = position.inode, position.device
        tail.offset = tail.searched = position.offset
        tail.size = tail.sure = position.size
        tail.prefix_size, tail.prefix, tail.tail = position.prefix_size, position.prefix, position.tail
        return tail

    def name(self, path: str, labels: Labels) -> None:
        """Set the path under which it is followed. ``labels`` are those of the source."""
        self.path = path
        self.label = os.fsencode(path).decode("utf-8", "replace")
        self.labels = {**labels, "file": self.label}

    @property
    def unread(self) -> int:
        """Bytes that were there at the last look and are not read yet."""
        return max(0, (self.size if self.stop is None else min(self.size, self.stop)) - self.offset)

    @property
    def waiting(self) -> bool:
        """Whether there were bytes at the last look that no read has seen."""
        return (self.size if self.stop is None else min(self.size, self.stop)) > self.searched

    def position(self) -> Position:
        """What is kept in the spool."""
        path, where = os.fsencode(self.path), os.fsencode(self.where)
        return Position(
            path,
            b"" if where == path else where,
            self.inode,
            self.device,
            self.offset,
            self.size,
            self.prefix_size,
            self.prefix,
            self.tail,
        )

    def state(self) -> dict[str, bytes | None]:
        """The changes of the spool's state that make this position durable."""
        changes: dict[str, bytes | None] = {generation.hex(): None for generation in self.ended}
        changes[self.generation.hex()] = encode_position(self.position())
        return changes

    def adopt(self, descriptor: int, info: os.stat_result, where: str) -> None:
        """Take over an open file that was verified to be this generation, or that is new."""
        self.close()
        self.descriptor = descriptor
        self.inode, self.device = info.st_ino, info.st_dev
        self.where = where
        self.missing = None
        self._look(info)

    def start_at(self, offset: int) -> None:
        """Begin a generation that is open and was never read at ``offset`` instead of its first byte."""
        self.offset = self.searched = offset
        lead = min(TAIL_SIZE, offset)
        self.tail = digest(os.pread(self.descriptor, lead, offset - lead))

    def close(self) -> None:
        """Give the descriptor back. The tail can be read on: it opens and verifies the file again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def look(self) -> bool:
        """Whether there is something that a read has to deal with.

        :raises OSError: reading will tell.
        """
        before = (self.size, self.modified)
        if self.descriptor >= 0:
            self._look(os.fstat(self.descriptor))
            return self.waiting or before != (self.size, self.modified)
        info = os.stat(self.where)
        there = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        return self.waiting or there != (self.device, self.inode, *before)

    def _look(self, info: os.stat_result) -> None:
        if info.st_size < self.size:
            # It shrank. If this is the end of the generation, what it had at the last look is what was lost.
            self.sure = max(self.sure, self.size)
            if info.st_size < self.offset:
                self._begin_anew()
        if info.st_size < self.searched or (info.st_size == self.size and info.st_mtime_ns != self.modified):
            self.searched = self.offset  # what was searched was written anew
        self.size, self.links, self.modified = info.st_size, info.st_nlink, info.st_mtime_ns

    def _begin_anew(self) -> None:
        """The file was truncated, or its content is not the one that was read: a new generation from its first byte."""
        self.lost += max(0, self.sure - self.offset)
        self.ended.append(self.generation)
        self.generation = os.urandom(16)
        self.offset = self.searched = self.size = self.sure = 0
        self.prefix_size, self.prefix, self.tail = 0, NOTHING, NOTHING
        if self.stop is not None:
            self.stop = os.fstat(self.descriptor).st_size

    def _open(self) -> None:
        found = reopen(self.position())
        if found is None:
            raise Gone
        self.adopt(*found)

    def fix(self) -> None:
        """Take the hash of the first bytes while there are fewer than 1 KiB of them; checks those known."""
        if self.prefix_size == PREFIX_SIZE or self.prefix_size == self.size:
            return
        head = os.pread(self.descriptor, PREFIX_SIZE, 0)
        if digest(head[: self.prefix_size]) != self.prefix:
            self._begin_anew()
            self.size = os.fstat(self.descriptor).st_size
        self.prefix_size, self.prefix = len(head), digest(head)

    def read(self, max_bytes: int, max_record: int, *, flush: bool = False) -> Chunk | None:
        """The next chunk: at most ``max_bytes`` of whole lines, or one line. None when no line is whole.

        ``flush``: nothing more is expected, a half line at the end is read too. So it is before ``stop``.

        :raises Gone: the file is closed and cannot be found again.
        :raises OSError: it cannot be read, or not be opened.
        """
        if self.descriptor < 0:
            self._open()
        window = min(max_bytes, max_record)
        while True:
            self._look(os.fstat(self.descriptor))
            self.fix()
            generation = self.generation
            chunk = self._read(window, max_record, flush=flush)
            if generation == self.generation:
                self.sure = self.size
                return chunk

    def _read(self, window: int, max_record: int, *, flush: bool) -> Chunk | None:
        stop = self.size if self.stop is None else min(self.size, self.stop)
        if self.searched > self.offset:
            end = self._search(stop, window)
            if end is not None and end - self.offset > max_record:
                return self._too_long(end, newline=1)
            if end is None:
                whole = self.searched >= stop and (flush or self.stop is not None)
                return self._half(stop, max_record) if whole else None
            window = max(window, end + 1 - self.offset)
        if self.stop is not None:
            window = min(window, max(0, stop - self.offset))
        lead = min(TAIL_SIZE, self.offset)
        data = os.pread(self.descriptor, lead + window, self.offset - lead)
        if digest(data[:lead]) != self.tail:
            self._begin_anew()
            return None
        cut = data.rfind(b"\n", lead) + 1
        read_to = self.offset + len(data) - lead
        self.size = max(self.size, read_to)
        if cut <= lead:
            # A half line, or one longer than the window: search on from here, at once.
            self.searched = read_to
            return self._read(window, max_record, flush=flush) if read_to > self.offset else None
        chunk = Chunk(self.offset, self.offset + cut - lead, data[lead:cut])
        self._advance(chunk.end, data[max(0, cut - TAIL_SIZE) : cut])
        if len(data) < lead + window:
            self.searched = read_to
        return chunk

    def _search(self, stop: int, window: int) -> int | None:
        """Where the newline of the half line is; moves ``searched`` on while there is none."""
        last = min(stop, self.searched + _SEARCH)
        while self.searched < last:
            piece = os.pread(self.descriptor, min(window, last - self.searched), self.searched)
            found = piece.find(b"\n")
            if found >= 0:
                return self.searched + found
            if not piece:  # truncated just now: the next look sees it
                break
            self.searched += len(piece)
        return None

    def _half(self, stop: int, max_record: int) -> Chunk | None:
        """The half line before ``stop``, to be read although it is not whole."""
        if stop <= self.offset:
            return None
        if stop - self.offset > max_record:
            return self._too_long(stop, newline=0)
        data = self._from_line(stop - self.offset)
        if data is None:
            return None
        chunk = Chunk(self.offset, self.offset + len(data), data + b"\n", partial=True)
        self._advance_to(chunk.end)
        return chunk

    def _too_long(self, end: int, newline: int) -> Chunk | None:
        """The line from the position to ``end`` does not fit into a frame."""
        data = self._from_line(min(end - self.offset, DEAD_LETTER_RAW))
        if data is None:
            return None
        chunk = Chunk(self.offset, end + newline, data, end - self.offset, partial=not newline)
        self._advance_to(chunk.end)
        return chunk

    def _from_line(self, size: int) -> bytes | None:
        """Bytes from the position on; None when what stands before it is not what was read."""
        lead = min(TAIL_SIZE, self.offset)
        data = os.pread(self.descriptor, lead + size, self.offset - lead)
        if digest(data[:lead]) != self.tail:
            self._begin_anew()
            return None
        return data[lead:]

    def _advance_to(self, offset: int) -> None:
        lead = min(TAIL_SIZE, offset)
        self._advance(offset, os.pread(self.descriptor, lead, offset - lead))

    def _advance(self, offset: int, before: bytes) -> None:
        self.offset = self.searched = offset
        self.tail = digest(before)
