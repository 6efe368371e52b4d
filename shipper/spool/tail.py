"""Replaying the entries after the newest snapshot, and judging the damage among them.

- A bad entry *below* the durable mark (known from later entries, from a cursor slot, or because a later segment was
  begun) is corruption: it is reported as lost, and reading goes on at the next valid envelope.
- A bad entry *at or past* it was never acknowledged to anyone: the segment ends there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from shipper.errors import FrameError, SpoolFailed
from shipper.spool.body import CursorValue, Snapshot, decode_body
from shipper.spool.disk import Disk
from shipper.spool.files import Damage, Segment, read_snapshot, segment_name
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import CONTINUED, HEADER_SIZE, Entry, EntryType, Envelope

_BLOCK: Final = 1024 * 1024


@dataclass(slots=True)
class Recovered:
    """What an open found."""

    segments: dict[int, Segment] = field(default_factory=dict)
    snapshot: Snapshot = field(default_factory=Snapshot)
    next_seq: int = 1
    epoch: int = 0
    stream: bytes = b""
    highest: int = 0
    """The highest segment number ever seen, set aside ones included."""
    lost: int = 0
    """Segments at the end that cannot be read: they gave sequence numbers that nobody knows."""
    damages: list[Damage] = field(default_factory=list)
    unended: Damage | None = None
    """Damage at the very end: its last number is the one before the next that is given."""
    no_snapshot: list[int] = field(default_factory=list)
    """Segments whose snapshot cannot be read."""


def replay(disk: Disk, cursors: Sequence[CursorValue], found: Recovered) -> None:
    """Find the newest snapshot and apply the entries after it to ``found``.

    :raises FutureFormat: a newer shipper wrote some of them.
    """
    numbers = sorted(found.segments)
    base = 0
    for at in range(len(numbers) - 1, -1, -1):
        snapshot = read_snapshot(disk, found.segments[numbers[at]])
        if snapshot is not None:
            found.snapshot, base = snapshot, at
            break
        found.no_snapshot.append(numbers[at])
    floor = min((cursor.seq for cursor in cursors), default=0)
    for at in range(base, len(numbers)):
        number = numbers[at]
        segment = found.segments[number]
        found.next_seq = max(found.next_seq, segment.header.first)
        limit = found.segments[numbers[at + 1]].header.first if at + 1 < len(numbers) else None
        mark = max((c.durable.offset for c in cursors if c.durable.segment == number), default=0)
        if limit is not None or found.highest > number:
            mark = segment.end
        try:
            _replay_segment(disk, segment, mark, limit, floor, found)
        except SpoolFailed as error:  # the disk cannot read it: its successor's first number tells what is missing
            last = found.next_seq - 1 if limit is None else limit - 1
            _add(
                found,
                Damage(number, HEADER_SIZE, segment.end, found.next_seq, last, str(error)),
                ended=limit is not None,
            )
            found.lost += limit is None
    for _epoch, first in found.snapshot.epochs:
        found.next_seq = max(found.next_seq, first)


def _replay_segment(disk: Disk, segment: Segment, mark: int, limit: int | None, floor: int, found: Recovered) -> None:
    """Take over a segment's entries.

    ``mark``: how far it is known to be durable; its end when a later one was begun. ``limit``: the successor's first
    number, None where there is none. ``floor``: the first number that some sink has not acknowledged.
    """
    file = disk.open(segment_name(segment.header.id))
    reader = SegmentReader(file, segment.header)
    entries, holes, end = _walk(reader, segment.end)
    sealed = mark >= segment.end
    mark = max([mark, *(envelope.durable for _, envelope in entries)])
    stop = end if sealed else min([start for start, _ in holes if start >= mark], default=end)
    kept = [(at, e) for at, e in entries if at < stop and (limit is None or e.next <= limit)]
    if not sealed:
        stop, kept = _cut_unfinished(reader, kept, mark, stop)
    for start, after in holes:
        if start < stop:
            ended = limit is not None or any(at > start for at, _ in kept)
            _add(found, _damage(segment, start, after, kept, limit, floor), ended=ended)
    for offset, envelope in kept:
        found.next_seq = max(found.next_seq, envelope.next)
        entry = reader.entry(offset, segment.end)
        if entry is not None and envelope.type is not EntryType.SNAPSHOT:
            apply(entry, found.snapshot)
    if not sealed:
        if _any_byte(reader, stop, segment.end):
            damage = Damage(segment.header.id, stop, segment.end, found.next_seq, 0, "tail unknown", acknowledged=False)
            found.damages.append(damage)
        segment.size -= segment.end - stop
        segment.end = stop
    file.close()


def _add(found: Recovered, damage: Damage, *, ended: bool) -> None:
    if ended:
        found.damages.append(damage)
    else:
        found.unended = damage


def _damage(
    segment: Segment, start: int, end: int, kept: list[tuple[int, Envelope]], limit: int | None, floor: int
) -> Damage:
    """What a hole held: the numbers between its neighbours, but for those that every sink has acknowledged."""
    first = max([segment.header.first, floor, *(envelope.next for at, envelope in kept if at < start)])
    after = [envelope.seq for at, envelope in kept if at > start] or ([] if limit is None else [limit])
    return Damage(segment.header.id, start, end, first, max(first, *after[:1]) - 1 if after else first - 1, "corrupt")


def _walk(reader: SegmentReader, limit: int) -> tuple[list[tuple[int, Envelope]], list[tuple[int, int]], int]:
    """The envelopes of all whole entries with their offsets, the holes between them, and where the entries end."""
    entries: list[tuple[int, Envelope]] = []
    holes: list[tuple[int, int]] = []
    offset = HEADER_SIZE
    while offset < limit:
        entry = reader.entry(offset, limit)
        if entry is not None:
            entries.append((offset, entry.envelope))
            offset = entry.end
            if entry.envelope.type is EntryType.SEAL:
                break
            continue
        end = reader.resync(offset + 1, limit)
        if holes and holes[-1][1] == offset:
            offset = holes.pop()[0]
        holes.append((offset, end))
        offset = end
    return entries, holes, offset


def _cut_unfinished(
    reader: SegmentReader, entries: list[tuple[int, Envelope]], mark: int, stop: int
) -> tuple[int, list[tuple[int, Envelope]]]:
    """Drop what a crash left half written behind the durable mark: torn frames, batches without their last entry."""
    for at, (offset, envelope) in enumerate(entries):
        if offset < mark or not envelope.frame_size:
            continue
        entry = reader.entry(offset, stop)
        try:
            if entry is not None:
                entry.open_frame()
        except FrameError:
            entries, stop = entries[:at], offset
            break
    while entries and entries[-1][1].flags & CONTINUED and entries[-1][0] >= mark:
        stop = entries.pop()[0]
    return stop, entries


def _any_byte(reader: SegmentReader, start: int, end: int) -> bool:
    return any(reader.file.read(min(_BLOCK, end - at), at).strip(b"\0") for at in range(start, end, _BLOCK))


def apply(entry: Entry, snapshot: Snapshot) -> None:
    """Take over what an entry changed."""
    body = decode_body(entry.body)
    for key, value in body.state.items():
        if value is None:
            snapshot.state.pop(key, None)
        else:
            snapshot.state[key] = value
    if body.upstream is not None:
        snapshot.marks[body.upstream[0]] = body.upstream[1]
