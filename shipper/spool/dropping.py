"""Giving up frames so that others go on: which ones, and how many records they hold.

Frames are dropped by whole segments, the oldest first, and never from the segment that is being written. A drop moves
a cursor's place and leaves its number, with a note of what is missing between them (``body.Lost``): from that a reader
makes the gap, also after a restart. Nothing is unlinked here: ``reclaim`` writes the cursors first.

Who gives way, and when
- a sink that the config no longer has, once the spool is two thirds full, before anything else happens;
- a sink with ``when_full: drop_oldest``, when it holds back more than its ``max_backlog``, or when the spool has no
  room and only sinks that may drop hold its oldest segment: if any other sink holds it, dropping would free nothing.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from shipper.errors import SpoolError, SpoolFailed
from shipper.spool.body import CursorValue, Lost, Position, decode_body
from shipper.spool.disk import Disk
from shipper.spool.files import Segment, segment_name
from shipper.spool.heads import records_of
from shipper.spool.segment import ENVELOPE_SIZE, HEADER_SIZE, NUMBERED, EntryType, Envelope

if TYPE_CHECKING:
    from shipper.spool.log import Log

SINK_REMOVED: Final = "sink_removed"
DROP_OLDEST: Final = "drop_oldest"
_UNKNOWN: Final = -1
_READ: Final = 4096
"""What is read of an entry at once: its envelope, the frame's header and, mostly, its metadata."""


class Drop(NamedTuple):
    """What one sink is to give up: the frames before ``next``."""

    sink: str
    reason: str
    position: Position
    """Where it goes on."""
    next: int
    counts: "array[int]"
    """The records of the last ``len(counts)`` numbers before ``next``; -1: nobody knows."""

    def records(self, first: int) -> int:
        """The records of the numbers from ``first`` on; -1 when those of some are not known."""
        wanted = max(0, self.next - first)
        some = self.counts[max(0, len(self.counts) - wanted) :]
        return _UNKNOWN if len(some) < wanted or _UNKNOWN in some else sum(some)


class Dropped(NamedTuple):
    """What a sink lost just now: for the metrics and the log."""

    sink: str
    reason: str
    frames: int
    records: int
    """Those that are known."""


def after_drop(value: CursorValue, drop: Drop) -> CursorValue | None:
    """A cursor that gives way to a drop; None when it stands behind it already."""
    if value.position >= drop.position:
        return None
    lost = value.lost if value.lost is not None and value.lost.next > value.seq else None
    records = drop.records(lost.next if lost else value.seq)
    if lost is not None:
        records = _UNKNOWN if _UNKNOWN in (records, lost.records) else records + lost.records
    missing = Lost(drop.next, records, drop.reason) if drop.next > value.seq else None
    return CursorValue(value.seq, drop.position, value.crc, value.durable, missing)


def after_ack(value: CursorValue, seq: int, position: Position, crc: int, records: int) -> CursorValue:
    """A cursor that moves to ``seq``; ``records``: what it passes, of what was lost to it otherwise; -1: unknown."""
    lost = value.lost
    if lost is None or seq >= lost.next:
        return CursorValue(seq, max(position, value.position), crc, value.durable)
    left = _UNKNOWN if _UNKNOWN in (lost.records, records) else lost.records - records
    return CursorValue(seq, value.position, crc, value.durable, Lost(lost.next, left, lost.reason))


def held_back(log: "Log", at: Position) -> int:
    """Bytes written in the spool at and after a place."""
    segments = log.segments
    ahead = sum(segment.end for number, segment in segments.items() if number >= at.segment)
    return max(0, ahead - (at.offset if at.segment in segments else 0))


def plan_backlogs(disk: Disk, log: "Log", limits: Mapping[str, int | None]) -> list[Drop]:
    """One segment of every sink that holds back more than it may. ``limits``: the sinks that may drop."""
    drops = []
    for sink, limit in limits.items():
        at = log.cursors[sink].value.position
        if limit is None or at.segment >= log.durable.segment:
            continue
        if held_back(log, at) > limit:
            drops.append(_drop(disk, log, sink, at.segment, DROP_OLDEST))
    return drops


def plan_room(disk: Disk, log: "Log", limits: Mapping[str, int | None]) -> list[Drop]:
    """What the sinks must give up so that the oldest segment can go; nothing when that would not free it."""
    oldest = min(log.segments, default=0)
    if oldest >= log.durable.segment:  # there may be none at all: a new spool on a full disk
        return []
    holders = [name for name, cursor in log.cursors.items() if cursor.value.position.segment <= oldest]
    if not all(name in log.removed or name in limits for name in holders):
        return []
    return [_drop(disk, log, name, oldest, SINK_REMOVED if name in log.removed else DROP_OLDEST) for name in holders]


def _drop(disk: Disk, log: "Log", sink: str, segment: int, reason: str) -> Drop:
    """Give up everything up to the end of a segment, or of the oldest one where it is gone."""
    here = min(number for number in log.segments if number >= segment)
    into = log.segments[min(number for number in log.segments if number > here)].header
    counts = _counts(disk, log.segments[here], into.first)
    return Drop(sink, reason, Position(into.id, HEADER_SIZE), into.first, counts)


def _counts(disk: Disk, segment: Segment, limit: int) -> "array[int]":
    """The records of each number that a segment gave, up to its successor's first."""
    counts = array("q", [_UNKNOWN]) * max(0, limit - segment.header.first)
    for seq, records in record_counts(disk, segment):
        if 0 <= seq - segment.header.first < len(counts):
            counts[seq - segment.header.first] = records
    return counts


def record_counts(disk: Disk, segment: Segment) -> Iterator[tuple[int, int]]:
    """The numbers that stand in a segment and how many records each holds; reads no payload. Ends at damage."""
    try:
        file = disk.open(segment_name(segment.header.id))
    except (FileNotFoundError, SpoolFailed):
        return
    try:
        offset, data, start = segment.begin, b"", 0
        while offset + ENVELOPE_SIZE <= segment.end:
            if offset + _READ // 8 > start + len(data):
                data, start = file.read(min(_READ, segment.end - offset), offset), offset
            envelope = Envelope.decode(data, offset - start, segment.header.seed(offset))
            if envelope is None:
                return
            if envelope.flags & NUMBERED:
                at = offset + ENVELOPE_SIZE
                if envelope.type is EntryType.GAP:
                    gap = decode_body(file.read(envelope.body_size, at)).gap
                    yield envelope.seq, _UNKNOWN if gap is None else gap.records
                else:
                    head = data[at - start : at - start + envelope.frame_size]
                    records = records_of(head, envelope.frame_check)
                    if records is None and len(head) < envelope.frame_size:  # its metadata is long
                        records = records_of(file.read(envelope.frame_size, at), envelope.frame_check)
                    yield envelope.seq, _UNKNOWN if records is None else records
            offset += envelope.size
    except SpoolError:
        return
    finally:
        file.close()
