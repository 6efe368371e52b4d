"""Opening a spool: what is readable is found, what is not is set aside, nothing stops the start.

Read are: every segment's header, the newest snapshot, and the entries after it (at most about one segment), so a start
does not scan the backlog. The rules (the design is in docs/guide/guarantees and the format in segment.py):

- A bad entry *below* the durable mark (known from later entries or from a cursor slot) is corruption: it is copied to
  ``quarantine/``, reported as lost, and reading goes on at the next valid envelope.
- A bad entry *at or past* it was never acknowledged to anyone: a copy is kept, and the segment ends there.
- A segment whose header cannot be read goes to ``quarantine/`` whole.
- Nothing here is written into a segment. The new one that every open starts says where its predecessor ends.
"""

from dataclasses import dataclass, field
from typing import Final

from shipper.errors import FrameError, SpoolError, SpoolFailed
from shipper.spool.body import CursorValue, Position, Snapshot, decode_body
from shipper.spool.cursor import Cursor
from shipper.spool.disk import Disk
from shipper.spool.files import QUARANTINE, Damage, Segment, quarantine, read_snapshot, segment_name, snapshot_name
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import CONTINUED, HEADER_SIZE, NUMBERED, EntryType, Envelope, SegmentHeader

_PEEK: Final = 1024 * 1024


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
    damages: list[Damage] = field(default_factory=list)


def recover(disk: Disk, marks: list[Position]) -> Recovered:
    """Read the spool's files. ``marks`` are the durable marks of the cursor slots.

    :raises FutureFormat: a newer shipper wrote some of it; nothing was changed.
    """
    found = Recovered()
    names = disk.names()
    found.highest = max(
        [int(name[:20]) for name in [*names, *disk.names(QUARANTINE)] if name[:20].isdigit()]
        + [mark.segment for mark in marks],
        default=0,
    )
    unreadable: list[int] = []
    for name in names:
        if not (name.endswith(".seg") and name[:20].isdigit()):
            continue
        number = int(name[:20])
        try:
            size = disk.size(name)
            file = disk.open(name)
            header = SegmentHeader.decode(file.read(HEADER_SIZE, 0), name)
            file.close()
        except SpoolError:
            unreadable.append(number)
            continue
        if header.id != number:
            unreadable.append(number)
            continue
        found.segments[number] = Segment(header, size, size + _size_of(disk, snapshot_name(number)))
        found.epoch = max(found.epoch, header.epoch)
        found.stream = header.stream
    _read_tail(disk, marks, found)
    for name in names:
        if name.endswith(".snap") and name[:20].isdigit() and int(name[:20]) not in {*found.segments, *unreadable}:
            disk.unlink(name)  # a crash between the snapshot and its segment
    for number in unreadable:
        _set_segment_aside(disk, number, number < max(found.segments, default=0), found)
    return found


def _size_of(disk: Disk, name: str) -> int:
    try:
        return disk.size(name)
    except FileNotFoundError:
        return 0


def _read_tail(disk: Disk, marks: list[Position], found: Recovered) -> None:
    """Find the newest snapshot and apply the entries after it."""
    numbers = sorted(found.segments)
    base = 0
    for at in range(len(numbers) - 1, -1, -1):
        snapshot = read_snapshot(disk, found.segments[numbers[at]])
        if snapshot is not None:
            found.snapshot, base = snapshot, at
            break
    for number in numbers[base:]:
        segment = found.segments[number]
        found.next_seq = max(found.next_seq, segment.header.first)
        later = [other for other in numbers if other > number]
        limit = found.segments[later[0]].header.first if later else None
        mark = segment.end if later else max((m.offset for m in marks if m.segment == number), default=0)
        try:
            _apply_segment(disk, segment, mark, limit, found)
        except SpoolFailed as error:  # the disk cannot read it: its successor's first number tells what is missing
            found.damages.append(Damage(number, HEADER_SIZE, segment.end, found.next_seq, 0, str(error)))
    for _epoch, first in found.snapshot.epochs:
        found.next_seq = max(found.next_seq, first)


def _apply_segment(disk: Disk, segment: Segment, mark: int, limit: int | None, found: Recovered) -> None:
    """Take over a segment's entries. ``limit``: the successor's first number, None for the newest segment."""
    file = disk.open(segment_name(segment.header.id))
    reader = SegmentReader(file, segment.header)
    entries, holes = _walk(reader, segment.end)
    mark = max([mark, *(envelope.durable for _, envelope in entries)])
    stop = min([start for start, _ in holes if start >= mark], default=segment.end)
    if limit is not None:
        stop = min([stop, *(at for at, envelope in entries if envelope.flags & NUMBERED and envelope.seq >= limit)])
    kept = [(offset, envelope) for offset, envelope in entries if offset < stop]
    if limit is None:
        stop, kept = _cut_unfinished(reader, kept, mark, stop)
    for start, end in holes:
        first = max([segment.header.first, *(envelope.next for at, envelope in kept if at < start)])
        after = [envelope.seq for at, envelope in kept if at > start] or ([] if limit is None else [limit])
        last = after[0] - 1 if after else first - 1
        if start < min(stop, mark) and (limit is None or end < segment.end or last >= first):
            found.damages.append(Damage(segment.header.id, start, end, first, last, "corrupt"))
    for offset, envelope in kept:
        found.next_seq = max(found.next_seq, envelope.next)
        entry = reader.entry(offset, segment.end)
        if entry is not None and envelope.type is not EntryType.SNAPSHOT:
            apply(entry.body, found.snapshot)
    if limit is None:
        if stop < segment.end and any(file.read(min(_PEEK, segment.end - stop), stop)):
            found.damages.append(
                Damage(segment.header.id, stop, segment.end, found.next_seq, 0, "tail unknown", acknowledged=False)
            )
        segment.size -= segment.end - stop
        segment.end = stop
    file.close()


def _walk(reader: SegmentReader, limit: int) -> tuple[list[tuple[int, Envelope]], list[tuple[int, int]]]:
    """The envelopes of all entries that are whole, with their offsets, and the holes between them."""
    entries: list[tuple[int, Envelope]] = []
    holes: list[tuple[int, int]] = []
    offset = HEADER_SIZE
    while offset < limit:
        entry = reader.entry(offset, limit)
        if entry is not None:
            entries.append((offset, entry.envelope))
            offset = entry.end
            continue
        end = reader.resync(offset + 1, limit)
        holes.append((offset, end))
        offset = end
    return entries, holes


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


def apply(data: bytes, snapshot: Snapshot) -> None:
    """Take over what an entry's body changed."""
    body = decode_body(data)
    for key, value in body.state.items():
        if value is None:
            snapshot.state.pop(key, None)
        else:
            snapshot.state[key] = value
    if body.upstream is not None:
        snapshot.marks[body.upstream[0]] = body.upstream[1]


def _set_segment_aside(disk: Disk, number: int, older: bool, found: Recovered) -> None:
    """A segment without a readable header: an older one held data, the newest was never used when it is all zero."""
    name = segment_name(number)
    size = _size_of(disk, name)
    blank = False
    if not older:
        try:
            file = disk.open(name)
            blank = not any(any(file.read(_PEEK, at)) for at in range(0, size, _PEEK))
            file.close()
        except SpoolFailed:
            blank = False
    if blank:
        disk.unlink(name)
        return
    disk.make_folder(QUARANTINE)
    disk.rename(name, f"{QUARANTINE}/{name}")
    disk.sync_folder(QUARANTINE)
    disk.sync_folder()
    found.damages.append(Damage(number, 0, size, 0, -1, "the segment's header is damaged", acknowledged=older))


def seal_predecessor(disk: Disk, found: Recovered) -> None:
    """Cut off what a crash left behind the last whole batch, so that nobody ever takes it for data.

    :raises SpoolFailed: the disk refused.
    """
    for damage in found.damages:
        quarantine(disk, damage)
    if found.segments:
        newest = found.segments[max(found.segments)]
        file = disk.open(segment_name(newest.header.id), write=True)
        file.truncate(newest.end)
        file.sync()
        file.close()


def place_cursors(cursors: dict[str, Cursor], found: Recovered) -> None:
    """A cursor that was lost is taken from the snapshot, else from the oldest segment: duplicates, no loss."""
    oldest = min(found.segments, default=0)
    for name, cursor in cursors.items():
        snapshot = found.snapshot.cursors.get(name)
        if snapshot is not None and (not cursor.known or snapshot.seq > cursor.value.seq):
            cursor.place(snapshot)
        elif not cursor.known and cursor.exists and oldest:
            cursor.place(CursorValue(found.segments[oldest].header.first, Position(oldest, HEADER_SIZE)))
