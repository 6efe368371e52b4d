"""Reading durable entries in order, from memory or from disk, with a gap wherever numbers are missing.

A reader belongs to one sink. It never passes ``Log.durable`` and never reads an entry whose number its segment's
successor has given anew. Damaged bytes are skipped to the next valid envelope; what they held becomes a ``Gap``.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from shipper.batch import DeadLetter
from shipper.errors import FrameError, SpoolFailed
from shipper.sinks.base import Gap, Item
from shipper.spool.body import Position, decode_body
from shipper.spool.disk import Disk
from shipper.spool.files import Damage, segment_name
from shipper.spool.frame import Frame
from shipper.spool.log import Log
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, NUMBERED, Entry, EntryType

_CACHE: Final = 4 * 1024 * 1024


class Recent:
    """The entries that were written last, in memory, so that a live sink reads nothing from disk."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, int], Entry] = OrderedDict()
        self._bytes = 0

    def add(self, segment: int, entry: Entry) -> None:
        """Keep an entry; the oldest make room for it. Called by the writer."""
        self._entries[segment, entry.offset] = entry
        self._bytes += entry.envelope.size
        while self._bytes > _CACHE:
            self._bytes -= self._entries.popitem(last=False)[1].envelope.size

    def trim(self, floor: Position) -> None:
        """Forget what every sink has passed. Called by the writer."""
        place = (floor.segment, floor.offset)
        while self._entries and next(iter(self._entries)) < place:
            self._bytes -= self._entries.popitem(last=False)[1].envelope.size

    def get(self, segment: int, offset: int) -> Entry | None:
        """An entry that is still there."""
        return self._entries.get((segment, offset))


class Read(NamedTuple):
    """One step of a reader."""

    item: Item | None
    """None: an entry without a number (state, dead letters)."""
    dead_letters: list[DeadLetter]
    after: Position
    """Where the next step begins."""
    at: Position
    next: int
    """The sequence number that follows."""


class Reader:
    """Steps through the spool from a position. Not thread-safe; blocking when it must read from disk."""

    def __init__(self, disk: Disk, log: Log, recent: Recent, damaged: Callable[[Damage], None]) -> None:
        self._disk = disk
        self._log = log
        self._recent = recent
        self._damaged = damaged
        self._file: SegmentReader | None = None
        self.position = Position(0, 0)
        self.next = 0

    def seek(self, position: Position, seq: int) -> None:
        """Go on from there; ``seq`` is the next number expected."""
        self.position = position
        self.next = seq

    @property
    def at_end(self) -> bool:
        """Everything durable was read."""
        return self.position >= self._log.durable

    @property
    def in_memory(self) -> bool:
        """The next step needs no disk."""
        return self._recent.get(self.position.segment, self.position.offset) is not None

    def step(self) -> Read | None:
        """The next item or unnumbered entry; None when everything durable was read.

        :raises SpoolFailed: the disk cannot read it.
        """
        while not self.at_end:
            log = self._log
            number, offset = self.position.segment, self.position.offset
            segment = log.segments.get(number)
            newest = log.durable.segment
            end = log.durable.offset if number == newest else (segment.end if segment else 0)
            if segment is None or offset >= end:
                read = self._enter(number)
            else:
                entry = self._recent.get(number, offset) or self._from_disk(number, offset, end)
                read = self._skip_damage(number, offset, end) if entry is None else self._accept(entry, newest)
            if read is not None:
                return read
        return None

    def _accept(self, entry: Entry, newest: int) -> Read | None:
        """Judge an entry by its number; None when it says nothing to a sink."""
        envelope, number = entry.envelope, self.position.segment
        if envelope.flags & NUMBERED:
            successor = None if number == newest else self._successor(number)
            if successor is not None and envelope.seq >= self._log.segments[successor].header.first:
                return self._enter(number)
            if envelope.seq > self.next:
                return self._gap(envelope.seq - 1, "missing", self.position)
        before, self.position = self.position, Position(number, entry.end)
        if envelope.type in (EntryType.SNAPSHOT, EntryType.SEAL):
            return None
        if envelope.flags & NUMBERED and envelope.seq < self.next:
            return None
        return self._open(entry, before)

    def _open(self, entry: Entry, before: Position) -> Read:
        envelope = entry.envelope
        body = decode_body(entry.body)
        if not envelope.flags & NUMBERED:
            return Read(None, body.dead_letters, self.position, before, self.next)
        seq = self.next = envelope.seq
        self.next = seq + 1
        content: Frame | Gap
        if body.gap is not None:
            content = Gap(seq, seq, body.gap.records, f"upstream: {body.gap.reason}")
        else:
            try:
                content = entry.open_frame()
            except FrameError as error:
                content = Gap(seq, seq, -1, "corrupt")
                self._damaged(Damage(before.segment, entry.offset, entry.end, seq, seq, str(error)))
        return Read(Item(seq, content), body.dead_letters, self.position, before, self.next)

    def _from_disk(self, number: int, offset: int, end: int) -> Entry | None:
        if self._file is None or self._file.header.id != number:
            self.close()
            try:
                file = self._disk.open(segment_name(number))
            except FileNotFoundError:
                return None
            self._file = SegmentReader(file, self._log.segments[number].header)
        return self._file.entry(offset, end)

    def _skip_damage(self, number: int, offset: int, end: int) -> Read | None:
        """Resynchronise behind damaged bytes; the gap that they leave, if numbers are missing."""
        try:
            after = self._file.resync(offset + 1, end) if self._file else end
        except SpoolFailed:
            after = end
        entry = self._file.entry(after, end) if self._file and after < end else None
        successor = self._successor(number)
        if entry is not None:
            last = entry.envelope.seq - 1
        elif after < end or successor is None:
            last = self.next - 1  # the entry behind is damaged too: the next step sees how much is missing
        else:
            last = self._log.segments[successor].header.first - 1
        at, self.position = self.position, Position(number, after)
        if last >= self.next or entry is not None:
            self._damaged(Damage(number, offset, after, self.next, last, "corrupt"))
        return self._gap(last, "corrupt", at) if last >= self.next else None

    def _enter(self, number: int) -> Read | None:
        """Go to the segment after ``number``; the gap, if numbers between are missing."""
        successor = self._successor(number)
        if successor is None:
            self.position = self._log.durable
            return None
        at, self.position = self.position, Position(successor, HEADER_SIZE)
        first = self._log.segments[successor].header.first
        return self._gap(first - 1, "missing", at) if first > self.next else None

    def _gap(self, last: int, reason: str, at: Position) -> Read:
        gap = Item(self.next, Gap(self.next, last, -1, reason))
        self.next = last + 1
        return Read(gap, [], self.position, at, self.next)

    def _successor(self, number: int) -> int | None:
        return min((other for other in self._log.segments if other > number), default=None)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.file.close()
            self._file = None
