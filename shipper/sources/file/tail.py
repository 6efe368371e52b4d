"""One file generation and how far it was read: verified at every look. What reads it is ``reading.read``.

A ``Tail`` holds no bytes between reads. All methods that touch the file run on a worker thread, one at a time for each
tail; the attributes are read and scheduled by the loop between the calls.
"""

import errno
import math
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shipper.batch import Labels, Loss
from shipper.sources.file.handle import Handle
from shipper.sources.file.identity import (
    NOTHING,
    PREFIX_SIZE,
    TAIL_SIZE,
    Position,
    digest,
    encode_position,
    reopen,
    version_of,
)
from shipper.sources.file.packed import Kind
from shipper.sources.file.text import Text

if TYPE_CHECKING:
    from shipper.sources.file.join import Joiner


class Gone(Exception):
    """The generation is not where it was, nor beside it under another name."""


@dataclass(slots=True, eq=False)
class Tail(Handle):
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
    line: str = ""
    born: int = 0
    """Its place among those that stood under one path: see ``order.Order``, which alone writes these two."""
    offset: int = 0
    """The first byte that was not read."""
    searched: int = 0
    """No newline stands between ``offset`` and here."""
    hole: int = 0
    """Where this is more than ``offset``: NULs alone stand between them."""
    room: bool = False
    """What was searched last ended with NULs: room that a writer made in advance and may fill later."""
    text: Text | None = None
    """What its lines are; None: not known yet."""
    half: tuple[int, int, int] = (0, 0, 0)
    """The half line at the last read: ``offset``, ``size`` and ``modified``."""
    half_due: float = math.inf
    """When (monotonic) it goes on as a record if it stays as it is."""
    sure: int = 0
    """Up to here it was seen, and compared after that: should it be truncated, so much was there."""
    stop: int | None = None
    """With ``once``: nothing from this byte on is read."""
    prefix_size: int = 0
    prefix: bytes = NOTHING
    tail: bytes = NOTHING
    """See ``Position``."""
    losses: list[Loss] = field(default_factory=list)
    """Bytes that can never be read: they go with the next ``state`` that is written."""
    ended: list[bytes] = field(default_factory=list)
    """Generations that this file had before, to be forgotten with the next state that is written."""
    left: list["Tail"] = field(default_factory=list)
    """What this file was before: generations that may go on in a copy of it, until somebody takes them from here."""
    overwritten: bool = False
    """Its file was truncated or written anew: a copy of it may have been made before that."""
    seal: bytes = b""
    """See ``Position``."""
    given_up: bool = False
    """It was deleted, and is not held any longer: ``close_deleted_after``."""
    linked: bool = False
    """It was under its path when the globs were expanded last."""
    missing: float | None = None
    """Since when (monotonic) it is nowhere to be found."""
    joiner: "Joiner | None" = None
    """What joins its lines to records, once it was read; None where lines are records."""
    lent: "Joiner | None" = None
    """Its joiner that went on to the next file of its path with open records; theirs is what ``held`` speaks of."""
    held: tuple[int, bytes] | None = None
    """Where the first open record begins, and the hash of the bytes before it: there a restart has to go on."""
    ahead: dict[str, int] = field(default_factory=dict)
    """See ``Position``."""
    looked: float = 0.0
    """Up to then (monotonic) no newer file of its path went on with what is open, as far as the directories were looked
    at; ``-inf``: one may do so, and is read next.
    """
    forgotten: bool = False
    """Its position is not kept any more."""
    flush_at: float = math.inf
    """When (monotonic) a read with ``flush`` is due if nothing more comes. Set by reads."""
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
        tail.durable = position.offset
        tail.line, tail.born = os.fsdecode(position.line or position.path), position.born
        tail.modified, tail.version = position.modified, position.version
        tail.packed, tail.seal, tail.ahead = position.packed, position.seal, position.ahead
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
        offset, tail = self.held or (self.offset, self.tail)
        return Position(
            path,
            b"" if where == path else where,
            self.inode,
            self.device,
            offset,
            self.size,
            self.prefix_size,
            self.prefix,
            tail,
            b"" if self.line in ("", self.path) else os.fsencode(self.line),
            self.born,
            modified=self.modified,
            version=self.version,
            packed=self.packed,
            ahead=self.ahead,
            seal=self.seal,
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
        self.version = version_of(descriptor)
        self.where = where
        self.missing = None
        self._look(info)
        self.sure = max(self.sure, self.size)

    def start_at(self, offset: int) -> None:
        """Begin a generation that is open and was never read at ``offset`` instead of its first byte."""
        self.offset = self.searched = offset
        lead = min(TAIL_SIZE, offset)
        self.tail = digest(self.pread(lead, offset - lead))

    def look(self) -> bool:
        """Whether there is something that a read has to deal with. An open file that changed is compared with what is
        known of it, so that all that it says is unread is counted if the file is truncated next.

        :raises OSError: reading will tell.
        """
        before = (self.size, self.modified)
        if self.descriptor >= 0:
            self._look(os.fstat(self.descriptor))
            changed = before != (self.size, self.modified)
            if changed and not self.packed:
                self._compare()
            return self.waiting or changed
        if self.packed:
            return self.waiting
        info = os.stat(self.where)
        there = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        return self.waiting or there != (self.device, self.inode, *before)

    def _compare(self) -> None:
        """What was there at a look is this generation's if the bytes known of it are there after that."""
        generation = self.generation
        self.fix()
        lead = min(TAIL_SIZE, self.offset)
        if generation == self.generation and digest(self.pread(lead, self.offset - lead)) != self.tail:
            self.begin_anew()
        if generation != self.generation:
            self._look(os.fstat(self.descriptor))
            self.fix()
        self.sure = max(self.sure, self.size)

    def _look(self, info: os.stat_result) -> None:
        if self.packed:
            self.links, self.modified = info.st_nlink, info.st_mtime_ns
            return
        if info.st_size < self.size:
            # It shrank. If this is the end of the generation, what it had at the last look is what was lost.
            self.sure = max(self.sure, self.size)
            if info.st_size < self.offset:
                self.begin_anew()
        written = info.st_mtime_ns != self.modified
        if info.st_size < self.searched or (info.st_size == self.size and written):
            self.searched, self.hole = self.offset, 0  # what was searched was written anew
        if self.room and written:
            self.searched = self.offset
        if info.st_size < self.size or (written and (self.room or info.st_size == self.size)):
            self.durable = min(self.durable, self.offset)  # so was what was synced
        self.size, self.links, self.modified = info.st_size, info.st_nlink, info.st_mtime_ns

    def pack(self, kind: Kind, seal: bytes, length: int) -> None:
        """Go on in a compressed file that holds ``length`` bytes; ``adopt`` comes next."""
        self.close()
        self.packed, self.seal, self.size, self.sure = kind, seal, length, length
        self.durable = 0

    def begin_anew(self) -> None:
        """The file was truncated, or its content is not the one that was read: a new generation from its first byte."""
        if self.packed:
            raise OSError(errno.EIO, "it is not the compressed file that it was")
        if self.prefix_size:
            before = Tail.resumed(self.labels, self.generation, self.position())
            before.size = before.sure = max(self.sure, self.offset)
            before.overwritten = True
            self._leave_joiner(before)
            self.left.append(before)
        else:
            self.lose(self.sure, "truncated")
            self.ended.append(self.generation)
        self.generation = os.urandom(16)
        self.offset = self.searched = self.hole = self.size = self.sure = 0
        self.durable = -1  # it becomes known before it is read
        self.text = None
        self.prefix_size, self.prefix, self.tail = 0, NOTHING, NOTHING
        self.stop = None if self.stop is None else os.fstat(self.descriptor).st_size

    def _leave_joiner(self, before: "Tail") -> None:
        """What is open belongs to the generation that was. All of it was read."""
        before.offset = before.searched = self.offset
        before.tail, before.held = self.tail, self.held
        before.joiner, before.lent = self.joiner, self.lent
        for joiner in (self.joiner, self.lent):
            if joiner is not None:
                joiner.left(self, before)
        self.joiner, self.lent, self.held, self.ahead = None, None, None, {}

    def lose(self, end: int, reason: str) -> None:
        """What is not read before ``end`` never will be; see ``metric_table.LOSSES`` for the reasons."""
        if end > self.offset:
            self.losses.append(Loss(self.label, self.generation, self.offset, end, reason))

    def refresh(self) -> None:
        """Look at the file before it is read; opened again and verified where it is closed.

        :raises Gone: it is closed and cannot be found again.
        :raises OSError: it cannot be opened.
        """
        if self.descriptor >= 0:
            self._look(os.fstat(self.descriptor))
            return
        found = reopen(self.position())
        if found is None:
            raise Gone
        self.adopt(*found)

    def fix(self) -> None:
        """Take the hash of the first bytes while there are fewer than 1 KiB of them; checks those known."""
        if self.offset and self.prefix_size in (PREFIX_SIZE, self.size):
            return  # a read compares what stands before the position
        head = self.pread(PREFIX_SIZE, 0)
        if digest(head[: self.prefix_size]) != self.prefix:
            self.begin_anew()
            self.size = os.fstat(self.descriptor).st_size
        # NULs at the end may be room that a writer made in advance, and fills in later.
        head = head[: max(len(head.rstrip(b"\0")), self.offset)]
        self.prefix_size, self.prefix = len(head), digest(head)
        if len(head) > self.durable != 0:  # else it is synced before it is known
            self.make_durable(self.seen, self.label)

    @property
    def seen(self) -> int:
        """So much of the file was there at the last look."""
        return max(self.size, self.prefix_size)

    @property
    def unsynced(self) -> bool:
        """Whether nothing of it can be read before it is synced: all was read of what is known to be on the disk."""
        return self.seen > self.durable <= self.searched

    def sync(self) -> None:
        """Have on the disk what is to be read next: a position must not say of a file what a power cut takes from it.
        Shorter than its position it would be a truncated one, to be read from its first byte.
        """
        if self.unsynced:
            self.make_durable(self.seen, self.label)

    def advance(self, offset: int, before: bytes) -> None:
        """What stands before ``offset`` was read; ``before``: the last of it, ``TAIL_SIZE`` bytes or all there are."""
        self.offset = self.searched = offset
        self.tail = digest(before)
