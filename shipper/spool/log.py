"""The log: all of the spool's mutable disk state, owned by one thread.

Synchronous and without a clock, so that the same code runs over a real disk and over a simulated one. Invariants:

1. ``commit`` returns after the ``fdatasync`` of everything that it reports as written; readers see nothing earlier
   (``durable`` moves last).
2. A segment's predecessor is synced and sealed before the segment's snapshot is written, and the snapshot is read back
   before the segment takes entries.
3. Cursors are written and synced before a segment behind them is unlinked, so on every crash image the durable cursors
   stand at or after the oldest segment.
4. Sequence numbers are dense: +1 a frame, empty frames and gaps included.
5. Only here duplicates are judged, against marks that move in the same write as the data.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from shipper.errors import ProtocolError, SpoolError
from shipper.spool.body import Body, CursorValue, GapNote, Mark, Position, Snapshot, encode_body
from shipper.spool.cursor import Cursor
from shipper.spool.disk import Disk, File
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, Segment, create_segment, new_salt, quarantine, segment_name, snapshot_name
from shipper.spool.frame import MAX_FRAME, Frame, crc32c
from shipper.spool.recovery import place_cursors, recover, seal_predecessor
from shipper.spool.segment import (
    CONTINUED,
    ENVELOPE_SIZE,
    MAX_ENTRIES,
    NUMBERED,
    Entry,
    EntryType,
    Envelope,
    SegmentHeader,
)
from shipper.spool.slots import Slots

_SMALLEST_SEGMENT: Final = 128 * 1024
_LARGEST_SEGMENT: Final = 64 * 1024 * 1024
_RESERVE: Final = 1024 * 1024
_EPOCHS_KEPT: Final = 1024
DUPLICATE: Final = 0
"""What ``commit`` reports for a frame that is there already."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """Who writes this spool: kept in the two-slot file ``stream``."""

    stream: bytes
    epoch: int
    incarnation: bytes


@dataclass(slots=True)
class _Active:
    """The segment that is being written."""

    segment: Segment
    file: File
    end: int
    """Where the next entry goes."""
    synced: int
    """How far it is known to be durable."""
    entries: int = 0


class Log:
    """The spool's files. One thread calls everything here, but for reading ``segments`` and ``durable``."""

    def __init__(self, disk: Disk, max_bytes: int, sinks: Sequence[str]) -> None:
        """Recover what is there, raise the epoch, begin a segment.

        :raises FutureFormat: a newer shipper wrote it; nothing was changed.
        :raises SpoolFailed: the disk refused a write.
        """
        self._disk = disk
        self.max_bytes = max_bytes
        self.segment_size: Final = min(max(max_bytes // 16, _SMALLEST_SEGMENT), _LARGEST_SEGMENT)
        self.max_frame: Final = min(MAX_FRAME, self.segment_size // 4)
        identity = Slots(disk, "stream", Identity)
        self.cursors = {name: Cursor(disk, name) for name in sinks}
        found = recover(disk, [cursor.durable_mark for cursor in self.cursors.values()])
        known = identity.value or Identity(found.stream or os.urandom(16), found.epoch, b"")
        self.stream: Final = known.stream
        self.epoch: Final = max(known.epoch, found.epoch) + 1
        self.incarnation: Final = os.urandom(16)
        identity.write(Identity(self.stream, self.epoch, self.incarnation))
        identity.close()
        self.next_seq = max([found.next_seq, *(cursor.value.seq for cursor in self.cursors.values())])
        self.segments = found.segments
        self.state = {
            key: value
            for key, value in found.snapshot.state.items()
            if not key.startswith("damage/") or int(key.split("/")[1]) in self.segments
        }
        self.marks = found.snapshot.marks
        self._epochs = [*found.snapshot.epochs[1 - _EPOCHS_KEPT :], (self.epoch, self.next_seq)]
        self.damages = found.damages
        self.published: Callable[[int, Entry], None] = lambda _segment, _entry: None
        """Called with every entry once it is durable."""
        self._group: list[Entry] = []
        seal_predecessor(disk, found)
        place_cursors(self.cursors, found)
        self._last_id = max([found.highest, *self.segments])
        self._active = self._begin_segment(self.segment_size)
        self.durable = Position(self._active.segment.header.id, self._active.end)
        for cursor in self.cursors.values():
            if not cursor.known:  # a new sink starts at the tail, and that must be durable before anything is written
                cursor.place(CursorValue(self.next_seq, self.durable))
            cursor.persist(self.durable)
        for damage in self.damages:
            self.report(damage)

    @property
    def used(self) -> int:
        """Bytes that the segments take on disk."""
        return sum(segment.size for segment in self.segments.values())

    @property
    def full(self) -> bool:
        """There is no room for another segment of data."""
        return self.used + self.segment_size > self.max_bytes - min(_RESERVE, self.max_bytes // 4)

    @property
    def floor(self) -> int:
        """The first sequence number that some sink has not acknowledged."""
        return min([self.next_seq, *(cursor.value.seq for cursor in self.cursors.values())])

    def commit(self, drafts: Sequence[EntryDraft]) -> list[int | ProtocolError | SpoolError]:
        """Write drafts in order and sync. One outcome a draft: its first sequence number, or why it was refused.

        Fewer outcomes than drafts: the spool is full and the rest did not get in. ``DUPLICATE`` stands for a frame
        that is there already.

        :raises SpoolFailed: the disk refused; nothing of this call may be acknowledged.
        """
        outcomes: list[int | ProtocolError | SpoolError] = []
        for draft in drafts:
            outcome: int | ProtocolError | SpoolError | None = self._judge(draft)
            if outcome is None:
                bodies, size = self._measure(draft)
                if size > self.segment_size // 2:
                    outcome = SpoolError(f"a batch of {size} bytes does not fit into a segment of {self.segment_size}")
                elif not self._fits(size, max(1, len(draft.frames))):
                    if draft.frames and self.full:
                        break
                    self._roll(min(self.segment_size, max(_SMALLEST_SEGMENT, 4 * size)) if self.full else 0)
                if outcome is None:
                    outcome = self.next_seq
                    self._lay(draft, bodies)
            outcomes.append(outcome)
        self._flush()
        return outcomes

    def _judge(self, draft: EntryDraft) -> int | ProtocolError | None:
        """Duplicate, out of order, or None: to be written."""
        upstream = draft.upstream
        if upstream is None:
            return None
        mark = self.marks.get(upstream.stream)
        expected = max(mark.next if mark else 0, upstream.floor)
        last = upstream.seq if draft.gap is None else draft.gap.last
        if last < expected:
            return DUPLICATE
        if upstream.seq > expected:
            return ProtocolError(
                f"stream {upstream.stream.hex()} sent number {upstream.seq} where {expected} was expected"
            )
        return None

    def _measure(self, draft: EntryDraft) -> tuple[list[bytes], int]:
        """The encoded bodies of the draft's entries, and the bytes that they will take."""
        upstream = draft.upstream
        mark = None
        if upstream is not None:
            after = (draft.gap.last if draft.gap else upstream.seq) + 1
            mark = (upstream.stream, Mark(after, upstream.epoch, upstream.incarnation, upstream.crc))
        last = encode_body(Body(draft.state, draft.dead_letters, mark, draft.gap))
        bodies = [b""] * (len(draft.frames) - 1) + [last]
        frames = sum(len(f.raw) if isinstance(f, Frame) else f.size for f in draft.frames)
        return bodies, frames + sum(map(len, bodies)) + ENVELOPE_SIZE * len(bodies)

    def _fits(self, size: int, entries: int) -> bool:
        active = self._active  # the last envelope's room is kept for the SEAL
        room = active.segment.header.size - ENVELOPE_SIZE - active.end
        return size <= room and active.entries + entries < MAX_ENTRIES

    def _lay(self, draft: EntryDraft, bodies: list[bytes]) -> None:
        """Number the draft's frames and put its entries into the group that the next flush writes."""
        numbered = NUMBERED if draft.frames or (draft.gap and draft.upstream) else 0
        kind = EntryType.GAP if draft.gap else EntryType.DATA
        for at, body in enumerate(bodies):
            raw, check = b"", 0
            if draft.frames:
                frame = draft.frames[at]
                raw, check = (
                    (frame.raw, frame.check) if isinstance(frame, Frame) else frame.stamp(self.stream, self.next_seq)
                )
            self._add(kind, numbered | (CONTINUED if at + 1 < len(bodies) else 0), raw, check, body)
            self.next_seq += 1 if numbered else 0
        for key, value in draft.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        if draft.upstream is not None:
            upstream, after = draft.upstream, (draft.gap.last if draft.gap else draft.upstream.seq) + 1
            self.marks[upstream.stream] = Mark(after, upstream.epoch, upstream.incarnation, upstream.crc)

    def _add(self, kind: EntryType, flags: int, frame: bytes, check: int, body: bytes) -> None:
        active = self._active
        envelope = Envelope(kind, flags, self.next_seq, active.synced, len(frame), len(body), check, crc32c(body))
        self._group.append(Entry(envelope, active.end, frame, body))
        active.end += envelope.size
        active.entries += 1

    def _flush(self) -> None:
        """Write and sync the group, then let readers see it."""
        group = self._group
        if not group:
            return
        active = self._active
        header = active.segment.header
        parts: list[bytes] = []
        for entry in group:
            parts += (entry.envelope.encode(header.seed(entry.offset)), entry.frame, entry.body)
        active.file.write(parts, group[0].offset)
        active.file.sync()
        active.synced = active.segment.end = active.end
        for entry in group:
            self.published(header.id, entry)
        self._group = []
        self.durable = Position(header.id, active.end)

    def _roll(self, size: int) -> None:
        """Seal the segment and begin the next one; ``size`` 0: of the usual size."""
        self._flush()
        active = self._active
        self._add(EntryType.SEAL, 0, b"", 0, b"")
        self._flush()
        active.file.truncate(active.end)
        active.file.close()
        active.segment.size -= active.segment.header.size - active.end
        self._active = self._begin_segment(size or self.segment_size)
        self.durable = Position(self._active.segment.header.id, self._active.end)

    def _begin_segment(self, size: int) -> _Active:
        self._last_id += 1
        cursors = {name: cursor.value for name, cursor in self.cursors.items() if cursor.known}
        snapshot = Snapshot(self.state, self.marks, cursors, self._epochs)
        header = SegmentHeader(self._last_id, new_salt(), size, self.stream, self.next_seq, self.epoch)
        segment, file = create_segment(self._disk, header, snapshot)
        self.segments = {**self.segments, self._last_id: segment}
        return _Active(segment, file, segment.end, segment.end, 1)

    def sync_cursors(self) -> None:
        """Write the cursors that moved. :raises SpoolFailed: the disk refused."""
        for cursor in self.cursors.values():
            cursor.persist(self.durable)

    def reclaim(self) -> int:
        """Unlink the segments that every cursor has passed; returns how many.

        :raises SpoolFailed: the disk refused.
        """
        oldest = min(cursor.value.position.segment for cursor in self.cursors.values())
        gone = [number for number in self.segments if number < min(oldest, self.durable.segment)]
        if not gone:
            return 0
        self.sync_cursors()
        for number in gone:
            self._disk.unlink(segment_name(number))
            self._disk.unlink(snapshot_name(number))
            for key in [key for key in self.state if key.startswith(f"damage/{number}/")]:
                del self.state[key]
        self.segments = {number: segment for number, segment in self.segments.items() if number not in gone}
        return len(gone)

    def report(self, damage: Damage) -> bool:
        """Keep a copy of damaged bytes and note for good what is lost; False when that was done before.

        :raises SpoolFailed: the disk refused.
        """
        key = f"damage/{damage.segment}/{damage.start}"
        if key in self.state:
            return False
        quarantine(self._disk, damage)
        note = None
        if damage.last >= damage.first:
            note = GapNote(self.stream, damage.first, damage.last, -1, damage.reason)
        self.commit([EntryDraft(state={key: b""}, gap=note)])
        return True

    def close(self) -> None:
        """Seal the segment and write the cursors. :raises SpoolFailed: the disk refused; nothing is lost."""
        self._add(EntryType.SEAL, 0, b"", 0, b"")
        self._flush()
        self._active.file.truncate(self._active.end)
        self.sync_cursors()
        self.abandon()

    def abandon(self) -> None:
        """Give the descriptors back without writing anything."""
        self._active.file.close()
        for cursor in self.cursors.values():
            cursor.close()
