"""Replaying the entries after the newest snapshot, and judging the damage among them.

- A bad entry *below* the durable mark (known from later entries, from a cursor slot, or because a later segment was
  begun) is corruption: it is reported as lost, and reading goes on at the next valid envelope.
- A bad entry *at or past* it was never acknowledged to anyone: the segment ends there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shipper.errors import FrameError, SpoolFailed
from shipper.ledger.book import DELIVERED
from shipper.spool.body import CursorValue, Snapshot, decode_body
from shipper.spool.disk import Disk
from shipper.spool.files import ENDED_KEY, Damage, Segment, read_snapshot, segment_name
from shipper.spool.ledger_news import OWN, News, of_entry
from shipper.spool.scan import SegmentReader, any_byte
from shipper.spool.segment import CONTINUED, HEADER_SIZE, Entry, EntryType
from shipper.spool.upstream import renew


class Hole(NamedTuple):
    """Bytes in which no entry can be read."""

    offset: int
    end: int


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
    followed: bool = False
    """A segment after the newest one that can be read was in use: the newest one was ended, not cut off."""
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
    for key, value in found.snapshot.state.items():
        if key.startswith(ENDED_KEY) and (ended := found.segments.get(int(key.removeprefix(ENDED_KEY)))):
            ended.end = min(ended.end, int(value))
    floor = min((cursor.seq for cursor in cursors), default=0)
    for at in range(base, len(numbers)):
        number = numbers[at]
        segment = found.segments[number]
        found.next_seq = max(found.next_seq, segment.header.first)
        limit = found.segments[numbers[at + 1]].header.first if at + 1 < len(numbers) else None
        mark = max((c.durable.offset for c in cursors if c.durable.segment == number), default=0)
        if limit is not None or found.followed:
            mark = segment.end
        try:
            _replay_segment(disk, segment, mark, limit, floor, found)
        except SpoolFailed as error:  # the disk cannot read it: its successor's first number tells what is missing
            after = limit or found.next_seq
            _report(found, Damage(number, HEADER_SIZE, segment.end, found.next_seq, after - 1, str(error)), limit)
            found.lost += limit is None
            segment.sure = segment.end  # nothing of it is built upon
    for _epoch, first in found.snapshot.epochs:
        found.next_seq = max(found.next_seq, first)


def _replay_segment(disk: Disk, segment: Segment, mark: int, limit: int | None, floor: int, found: Recovered) -> None:
    """Take over a segment's entries, in two passes that hold one entry at a time.

    ``mark``: how far it is known to be durable; its end when a later one was begun. ``limit``: the successor's first
    number, None where there is none. ``floor``: the first number that some sink has not acknowledged.
    """
    file = disk.open(segment_name(segment.header.id))
    reader = SegmentReader(file, segment.header)
    sealed = mark >= segment.end
    stop, holes = HEADER_SIZE, []
    for part in walk(reader, segment.end):
        stop = part.end
        if isinstance(part, Entry):
            mark = max(mark, part.envelope.durable)
        else:
            holes.append(part.offset)
    if not sealed:
        stop = min([stop, *(start for start in holes if start >= mark)])
    stop = _take(reader, segment, None if sealed else mark, stop, limit, floor, found)
    segment.sure = min(mark, stop)
    if not sealed:
        if any_byte(file, stop, segment.end):
            damage = Damage(segment.header.id, stop, segment.end, found.next_seq, 0, "tail unknown", acknowledged=False)
            found.damages.append(damage)
        segment.size -= segment.end - stop
        segment.end = stop
    file.close()


def _take(
    reader: SegmentReader,
    segment: Segment,
    mark: int | None,
    stop: int,
    limit: int | None,
    floor: int,
    found: Recovered,
) -> int:
    """Apply the entries before ``stop`` and report the holes between them; where the last whole batch ends.

    From ``mark`` on (None: nowhere) a crash may have left torn frames and batches without their last entry.
    """
    number = segment.header.id
    next_seq = segment.header.first
    hole: Hole | None = None
    batch: int | None = None
    begun: list[News] = []
    for part in walk(reader, stop):
        if given_anew(part, limit):
            break
        if isinstance(part, Hole):
            hole, batch = part, None
            continue
        envelope = part.envelope
        unsure = mark is not None and part.offset >= mark
        if unsure and envelope.frame_size and is_torn(part):
            stop = part.offset
            break
        if hole is not None:
            damage = _damage(number, hole, max(next_seq, floor), envelope.seq)
            found.damages.append(damage)
            found.snapshot.ledger.broken(OWN, gap=envelope.seq - 1, reason=missing_as(damage))
            hole = None
        next_seq = max(next_seq, envelope.next)
        if envelope.flags & CONTINUED and unsure:
            batch = part.offset if batch is None else batch
            begun.append(of_entry(part, decode_body(part.body), found.snapshot.marks))  # all else is in the last one
            continue
        batch = None
        found.next_seq = max(found.next_seq, next_seq)
        if envelope.type is not EntryType.SNAPSHOT:
            apply(part, found.snapshot, begun)
        begun = []
    if hole is not None:
        damage = _damage(number, hole, max(next_seq, floor), limit or 0)
        _report(found, damage, limit)
        if limit is not None:
            found.snapshot.ledger.broken(OWN, gap=limit - 1, reason=missing_as(damage))
    return stop if batch is None else batch


def _report(found: Recovered, damage: Damage, limit: int | None) -> None:
    """Damage at a segment's end: it is known how much is missing once the next number is."""
    if limit is None:
        found.unended = damage
    else:
        found.damages.append(damage)


def given_anew(part: Entry | Hole, limit: int | None) -> bool:
    """The entry's number is one that the next segment gives."""
    return limit is not None and isinstance(part, Entry) and part.envelope.next > limit


def is_torn(entry: Entry) -> bool:
    """The entry's frame is not whole."""
    try:
        entry.open_frame()
    except FrameError:
        return True
    return False


def missing_as(damage: Damage) -> str:
    """Why the ledger misses what damaged entries told of."""
    return damage.reason if damage.last >= damage.first else DELIVERED


def _damage(segment: int, hole: Hole, first: int, after: int) -> Damage:
    """What a hole held: the numbers between its neighbours, but for those that every sink has acknowledged."""
    return Damage(segment, hole.offset, hole.end, first, max(first, after) - 1, "corrupt")


def walk(reader: SegmentReader, limit: int, offset: int = HEADER_SIZE) -> Iterator[Entry | Hole]:
    """The whole entries of a segment and the holes between them, in order from ``offset``, up to its SEAL or ``limit``.

    :raises SpoolFailed: the disk cannot read it.
    """
    hole: int | None = None
    while offset < limit:
        entry = reader.entry(offset, limit)
        if entry is None:
            hole = offset if hole is None else hole
            offset = reader.resync(offset + 1, limit)
            continue
        if hole is not None:
            yield Hole(hole, offset)
            hole = None
        yield entry
        if entry.envelope.type is EntryType.SEAL:
            return
        offset = entry.end
    if hole is not None:
        yield Hole(hole, limit)


def apply(entry: Entry, snapshot: Snapshot, begun: Sequence[News] = ()) -> None:
    """Take over what an entry changed. ``begun``: of those before it in its batch, which are valid with it."""
    for news in begun:
        news.enter(snapshot.ledger)
    body = decode_body(entry.body)
    for key, value in body.state.items():
        if value is None:
            snapshot.state.pop(key, None)
        else:
            snapshot.state[key] = value
    of_entry(entry, body, snapshot.marks).enter(snapshot.ledger)
    if body.upstream is not None:
        renew(snapshot.marks, *body.upstream)
