"""Reading durable entries in order, from memory or from disk, with a gap wherever numbers are missing.

A reader belongs to one sink. It never passes ``Log.durable`` and never reads an entry whose number its segment's
successor has given anew. Damaged bytes are skipped to the next valid envelope; what they held becomes a ``Gap``, and is
reported once it is known which numbers are missing.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from shipper.batch import DeadLetter
from shipper.errors import FrameError, SpoolFailed
from shipper.sinks.base import Gap, Item, Sent
from shipper.spool.body import BEFORE_ALL, Lost, Position, decode_body
from shipper.spool.disk import Disk
from shipper.spool.files import Damage, Segment, segment_name
from shipper.spool.frame import Frame
from shipper.spool.heads import restamp
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import NUMBERED, Entry, EntryType
from shipper.spool.streams import Identity

_CACHE: Final = 4 * 1024 * 1024


class Readable(Protocol):
    """What a reader asks of a log."""

    @property
    def segments(self) -> dict[int, Segment]:
        """By number. Replaced, never changed."""
        ...

    @property
    def durable(self) -> Position:
        """Nothing is read at or after it."""
        ...

    @property
    def identity(self) -> Identity:
        """Whose frames are stamped anew when they are read. Replaced, never changed."""
        ...


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

    def __init__(self, disk: Disk, log: Readable, recent: Recent, damaged: Callable[[Damage], None]) -> None:
        self._disk = disk
        self._log = log
        self._recent = recent
        self._damaged = damaged
        self.abandoned = False
        """Nobody wants what it reads any more: segments may vanish under it, which is no damage."""
        self._lost: Lost | None = None
        """What the next step says first."""
        self._file: SegmentReader | None = None
        self._hole: Damage | None = None
        """Bytes that were skipped, while nobody knows yet which numbers they held."""
        self._neighbours: tuple[dict[int, Segment], int, int | None] = ({}, 0, None)
        self.position = BEFORE_ALL
        self.next = 0

    def seek(self, position: Position, seq: int, lost: Lost | None = None) -> None:
        """Go on from there; ``seq`` is the next number expected, ``lost`` what is missing before ``position``."""
        self.position = position
        self.next = seq
        self._lost = lost
        self._hole = None

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

        :raises FutureFormat: a newer shipper wrote it.
        """
        lost, self._lost = self._lost, None
        if lost is not None and lost.next > self.next:
            gap = Item(self.next, Gap(self.next, lost.next - 1, lost.records, lost.reason))
            self.next = lost.next
            return Read(gap, [], self.position, self.position, lost.next)
        while True:
            durable = self._log.durable  # looked at once: the writer moves both while this runs
            segments = self._log.segments
            number, offset = self.position.segment, self.position.offset
            if self.position >= durable:
                return None
            segment = segments.get(number)
            end = durable.offset if number == durable.segment else segment.end if segment else 0
            if segment is None or offset >= end:
                read = self._enter(number, segments)
            else:
                entry = self._recent.get(number, offset) or self._from_disk(segment, offset, end)
                if entry is None:
                    self._skip(number, offset, end)
                    continue
                read = self._accept(entry, number, segments)
            if read is not None:
                return read

    def _accept(self, entry: Entry, number: int, segments: dict[int, Segment]) -> Read | None:
        """Judge an entry by its number; None when it says nothing to a sink."""
        envelope = entry.envelope
        successor = self._successor(number, segments)
        if successor is not None and envelope.next > segments[successor].header.first:
            return self._enter(number, segments)
        if self._hole is not None or envelope.seq > self.next:
            missing = self._missing(envelope.seq, Damage(number, entry.offset, entry.offset, 0, 0, "missing"))
            if missing is not None:
                return missing
        before, self.position = self.position, Position(number, entry.end)
        if envelope.type is EntryType.SEAL:
            return None if successor is None else self._enter(number, segments)
        if envelope.type is EntryType.SNAPSHOT or (envelope.flags & NUMBERED and envelope.seq < self.next):
            return None
        return self._open(entry, before)

    def _open(self, entry: Entry, before: Position) -> Read:
        envelope = entry.envelope
        body = decode_body(entry.body)
        if not envelope.flags & NUMBERED:
            return Read(None, body.dead_letters, self.position, before, self.next)
        seq = envelope.seq
        self.next = seq + 1
        content: Frame | Gap
        sent = None
        if body.kept is not None:
            stream, first, part = body.kept
            sent = Sent(stream, first, body.upstream and body.upstream[1], part)
        if body.gap is not None:
            content = Gap(seq, seq, body.gap.records, f"upstream: {body.gap.reason}")
        else:
            try:
                content = entry.open_frame()
                identity = self._log.identity
                if content.stream in identity.former:
                    content = restamp(content, identity.stream)
            except FrameError as error:
                content, sent = Gap(seq, seq, -1, "corrupt"), None  # who keeps it sends it again
                self._tell(Damage(before.segment, entry.offset, entry.end, seq, seq, str(error)))
        return Read(Item(seq, content, sent), body.dead_letters, self.position, before, self.next)

    def _from_disk(self, segment: Segment, offset: int, end: int) -> Entry | None:
        """The entry at ``offset``; None where none can be read."""
        try:
            if self._file is None or self._file.header.id != segment.header.id:
                self.close()
                self._file = SegmentReader(self._disk.open(segment_name(segment.header.id)), segment.header)
            return self._file.entry(offset, end)
        except (FileNotFoundError, SpoolFailed):
            return None

    def _skip(self, number: int, offset: int, end: int) -> None:
        """Go to the next valid envelope behind damaged bytes."""
        after = end
        if self._file is not None:
            try:
                after = self._file.resync(offset + 1, end)
            except SpoolFailed:
                after = end
        start = offset if self._hole is None else self._hole.start
        self._hole = Damage(number, start, after, 0, 0, "corrupt")
        self.position = Position(number, after)

    def _enter(self, number: int, segments: dict[int, Segment]) -> Read | None:
        """Go to the segment after ``number``, which is not the last; the gap, if numbers between are missing.

        What is left is held open no longer: its room is free only then, and what follows may come from memory.
        """
        self.close()
        successor = min(other for other in segments if other > number)
        into = segments[successor]
        place = Damage(successor, 0, 0, 0, 0, "missing") if number != BEFORE_ALL.segment else None
        missing = self._missing(into.header.first, place)
        self.position = Position(successor, into.begin)
        return missing and missing._replace(after=self.position)

    def _missing(self, seq: int, place: Damage | None) -> Read | None:
        """The gap up to ``seq``, the number that stands here; it is reported where it was not expected.

        ``place`` None: this sink was not there while what it misses was removed.
        """
        hole, self._hole = self._hole or place, None
        last = max(seq, self.next) - 1
        if hole is not None and (seq > self.next or hole.end > hole.start):
            self._tell(Damage(hole.segment, hole.start, hole.end, self.next, last, hole.reason))
        if seq <= self.next:
            return None
        gap = Item(self.next, Gap(self.next, last, -1, hole.reason if hole else "removed"))
        self.next = seq
        return Read(gap, [], self.position, self.position, seq)

    def _tell(self, damage: Damage) -> None:
        if not self.abandoned:
            self._damaged(damage)

    def _successor(self, number: int, segments: dict[int, Segment]) -> int | None:
        """The segment after ``number``; remembered, for it is asked for every entry."""
        if self._neighbours[0] is not segments or self._neighbours[1] != number:
            successor = min((other for other in segments if other > number), default=None)
            self._neighbours = (segments, number, successor)
        return self._neighbours[2]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.file.close()
            self._file = None
