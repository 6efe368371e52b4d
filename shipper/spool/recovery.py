"""Opening a spool: what is readable is found, what is not is set aside, nothing stops the start.

Read are: every segment's header, the newest snapshot, and the entries after it (at most about one segment), so a start
does not scan the backlog. The rules (how entries are judged is in tail.py, the format in segment.py):

- Of damaged bytes a copy is kept under ``quarantine/``; a segment whose header cannot be read goes there whole.
- Nothing new is written into a segment. The new one that every open starts says where its predecessor ends.
- What was read may be in the page cache only: the segment that new numbers build on is synced first.
- Numbers that may have been given are not given again: when the newest segment is lost, as many are left out as it
  could have held.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from shipper.errors import SpoolError, SpoolFailed
from shipper.spool.body import BEFORE_ALL, CursorValue, Lost, Position
from shipper.spool.cursor import Cursor
from shipper.spool.disk import Disk, read_again
from shipper.spool.files import (
    QUARANTINE,
    Damage,
    Segment,
    quarantine,
    read_snapshot,
    segment_name,
    set_aside,
    snapshot_name,
)
from shipper.spool.scan import any_byte
from shipper.spool.segment import ENVELOPE_SIZE, HEADER_SIZE, SegmentHeader, may_hold_data
from shipper.spool.tail import Recovered, replay

_BLOCK: Final = 1024 * 1024
_NUMBERED: Final = re.compile(r"([0-9]{20})\.(seg|snap)")


def recover(disk: Disk, cursors: Sequence[CursorValue]) -> Recovered:
    """Read the spool's files. ``cursors``: what the cursor slots hold.

    :raises FutureFormat: a newer shipper wrote some of it; nothing was changed.
    :raises SpoolFailed: the disk refused.
    """
    found = Recovered()
    names = disk.names()
    kept = numbers(names, "seg")
    marked = max((cursor.durable.segment for cursor in cursors), default=0)
    aside = numbers(disk.names(QUARANTINE), "seg")
    found.highest = max([*kept, *numbers(names, "snap"), *aside, marked], default=0)
    unreadable = [number for number in kept if not read_header(disk, number, found)]
    half_made = drop_half_made(disk, cursors, found)
    newest = max(found.segments, default=0)
    used = [number for number in unreadable if number < newest or was_used(disk, number, cursors)]
    found.lost = max([*used, *aside, marked, newest]) - newest
    found.followed = found.lost > 0
    if found.lost == 1 and _passed(disk, newest + 1, cursors):
        found.lost = 0
    replay(disk, cursors, found)
    for number in numbers(names, "snap"):
        if number not in kept:  # a crash between the snapshot and its segment, or between their removals
            disk.unlink(snapshot_name(number))
    for number in (*unreadable, *half_made):
        if number not in used:
            disk.unlink(segment_name(number))
            disk.unlink(snapshot_name(number))
            continue
        size = _size_of(disk, segment_name(number))
        set_aside(disk, segment_name(number))
        found.damages.append(Damage(number, 0, size, 0, -1, "the segment's header is damaged"))
    for number in (*used, *found.no_snapshot):
        if _size_of(disk, snapshot_name(number)):
            set_aside(disk, snapshot_name(number))
    for number in found.no_snapshot:
        found.damages.append(Damage(number, HEADER_SIZE, HEADER_SIZE, 0, -1, "the segment's snapshot is damaged"))
    return found


def numbers(names: Iterable[str], kind: str) -> list[int]:
    """The numbers of the segments (``kind`` "seg") or of their snapshot files ("snap") among file names."""
    return [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name)) and match[2] == kind]


def is_segment_file(name: str) -> bool:
    """Whether a file name is that of a segment or of its snapshot."""
    return _NUMBERED.fullmatch(name) is not None


def is_snapshot_file(name: str) -> bool:
    """Whether a file name is that of a snapshot."""
    match = _NUMBERED.fullmatch(name)
    return match is not None and match[2] == "snap"


def read_header(disk: Disk, number: int, found: Recovered) -> bool:
    """Take over a segment; False when its header cannot be read."""
    name = segment_name(number)
    try:
        size = disk.size(name)
        file = disk.open(name)
        header = SegmentHeader.decode(read_again(file, HEADER_SIZE, 0), name)
        file.close()
    except SpoolError:
        return False
    if header.id != number:
        return False
    found.segments[number] = Segment(header, size, size + _size_of(disk, snapshot_name(number)))
    found.epoch = max(found.epoch, header.epoch)
    found.stream = header.stream
    return True


def _size_of(disk: Disk, name: str) -> int:
    try:
        return disk.size(name)
    except FileNotFoundError:
        return 0


def was_used(disk: Disk, number: int, cursors: Sequence[CursorValue]) -> bool:
    """Whether a newest segment without a readable header held entries: else a crash left it half made."""
    if any(cursor.durable.segment >= number for cursor in cursors):
        return True
    name = segment_name(number)
    try:
        file = disk.open(name)
        if file.read(HEADER_SIZE, 0).strip(b"\0"):  # a snapshot follows every header that was written whole
            return any_byte(file, HEADER_SIZE, disk.size(name))
    except SpoolFailed:
        return True
    return _may_hold_entries(disk, number)


def drop_half_made(disk: Disk, cursors: Sequence[CursorValue], found: Recovered) -> list[int]:
    """Forget the newest segments in which nothing but their header was ever whole; their numbers.

    The process ended, or the disk refused, before the snapshot was durable: nothing was built upon it, and the segment
    before is the one that ends somewhere.
    """
    dropped = []
    marked = max((cursor.durable.segment for cursor in cursors), default=0)
    for number in sorted(found.segments, reverse=True):
        segment = found.segments[number]
        if marked >= number or read_snapshot(disk, segment) is not None or _may_hold_entries(disk, number):
            break
        del found.segments[number]
        dropped.append(number)
    return dropped


def _may_hold_entries(disk: Disk, number: int) -> bool:
    name = segment_name(number)
    try:
        file = disk.open(name)
        return any(may_hold_data(file.read(_BLOCK, at)) for at in range(0, disk.size(name), _BLOCK))
    except SpoolFailed:
        return True


def _passed(disk: Disk, number: int, cursors: Sequence[CursorValue]) -> bool:
    """Whether some cursor stands at the end of a lost segment, so that its numbers are known all the same."""
    size = max(_size_of(disk, segment_name(number)), _size_of(disk, f"{QUARANTINE}/{segment_name(number)}"))
    end = max((cursor.position.offset for cursor in cursors if cursor.position.segment == number), default=0)
    return end > 0 and 0 < size <= end + ENVELOPE_SIZE  # a SEAL may follow


def seal_predecessor(disk: Disk, found: Recovered) -> None:
    """Keep copies of the damage, and cut off what a crash left behind the last whole batch.

    :raises SpoolFailed: the disk refused.
    """
    for damage in found.damages:
        quarantine(disk, segment_name(damage.segment), damage.start, damage.end)
    if found.segments:
        newest = found.segments[max(found.segments)]
        file = disk.open(segment_name(newest.header.id), write=True)
        file.truncate(newest.end)
        for at in range(newest.sure, newest.end, _BLOCK):  # written anew: a sync that failed in an earlier process may
            file.write([file.read(min(_BLOCK, newest.end - at), at)], at)  # have left it in the page cache only
        file.sync()
        file.close()


def place_cursors(cursors: Mapping[str, Cursor], found: Recovered, dropping: Collection[str]) -> None:
    """Cursors that were lost, or fell behind, are placed again: duplicates, no loss.

    A cursor that was lost is taken from the snapshot, else from the oldest segment. One with a damaged slot may be
    older than what was unlinked: no segment goes before every cursor has passed it, so the oldest one is the place.
    That does not hold for a sink that the last run did not have: what was removed meanwhile is missing to it; nor for
    those whose frames may be dropped (``dropping``): what lies before it may be lost to them, or not.
    """
    oldest = min(found.segments, default=0)
    for name, cursor in cursors.items():
        if cursor.forgotten:
            continue
        snapshot = found.snapshot.cursors.get(name)
        if snapshot is not None and (not cursor.known or snapshot.seq > cursor.value.seq):
            cursor.place(snapshot)
        behind = cursor.value.position.segment < oldest
        if (behind and cursor.suspect) or (oldest and cursor.exists and not cursor.known):
            first = found.segments[oldest].header.first
            if cursor.known and name in dropping and cursor.value.seq < first:
                lost = Lost(first, -1, "cursor_damaged")
                cursor.place(CursorValue(cursor.value.seq, Position(oldest, HEADER_SIZE), lost=lost))
            else:
                cursor.place(CursorValue(first, Position(oldest, HEADER_SIZE)))
        elif behind and cursor.known and snapshot is None and found.snapshot.cursors:
            cursor.place(CursorValue(cursor.value.seq, BEFORE_ALL))
