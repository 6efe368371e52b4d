"""The log: all of the spool's mutable disk state, owned by one thread.

Synchronous and without a clock, so that the same code runs over a real disk and over a simulated one. Invariants:

1. ``commit`` returns after the ``fdatasync`` of everything that it reports as written; readers see nothing earlier
   (``durable`` and ``held`` move last).
2. A segment's predecessor is synced and sealed before the segment's snapshot is written, and the snapshot is read back
   before the segment takes entries.
3. Cursors are written and synced before a segment behind them is unlinked, so on every crash image the durable cursors
   stand at or after the oldest segment.
4. Sequence numbers are dense: +1 a frame, empty frames and gaps included.
5. What readers on other threads look at (``segments``, ``durable``) is replaced, never changed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from shipper.errors import ProtocolError, SpoolError
from shipper.spool.active import Active
from shipper.spool.body import CursorValue, GapNote, Mark, Position, Snapshot
from shipper.spool.cursor import FOLDER
from shipper.spool.disk import Disk
from shipper.spool.draft import EntryDraft, encode_draft
from shipper.spool.files import (
    Damage,
    bound_quarantine,
    create_segment,
    new_salt,
    quarantine,
    segment_name,
)
from shipper.spool.frame import MAX_FRAME, Frame
from shipper.spool.opening import open_files
from shipper.spool.retention import reclaim, sync_cursors
from shipper.spool.segment import (
    CONTINUED,
    HEADER_SIZE,
    MAX_ENTRIES,
    NUMBERED,
    Entry,
    EntryType,
    SegmentHeader,
)
from shipper.spool.upstream import judge, mark_after

_SMALLEST_SEGMENT: Final = 128 * 1024
_LARGEST_SEGMENT: Final = 64 * 1024 * 1024
_RESERVE: Final = 1024 * 1024

Outcome = int | ProtocolError | SpoolError


class Log:
    """The spool's files. One thread calls everything here, but for reading ``segments``, ``durable`` and ``held``."""

    def __init__(self, disk: Disk, max_bytes: int, sinks: Iterable[str]) -> None:
        """Recover what is there, raise the epoch, begin a segment.

        :raises FutureFormat: a newer shipper wrote it; nothing was changed.
        :raises SpoolFailed: the disk refused a write.
        """
        self._disk = disk
        self.max_bytes = max_bytes
        self.segment_size: Final = min(max(max_bytes // 16, _SMALLEST_SEGMENT), _LARGEST_SEGMENT)
        self.max_frame: Final = min(MAX_FRAME, self.segment_size // 4)
        opened = open_files(disk, sinks)
        self.stream: Final = opened.identity.stream
        self.epoch: Final = opened.identity.epoch
        self.incarnation: Final = opened.identity.incarnation
        self.cursors: Final = opened.cursors
        self.next_seq = opened.next_seq
        self.segments = opened.segments
        self.state: Final = opened.state
        self.damages: Final = opened.damages
        """What the opening found."""
        self._marks = opened.marks
        self.held = dict(self._marks)
        """How much of each upstream stream is durable here."""
        self.published: Callable[[int, Entry], None] = lambda _segment, _entry: None
        """Called with every entry once it is durable."""
        self._moved: dict[bytes, Mark] = {}
        self._epochs = opened.epochs
        self._last_id = opened.highest
        for cursor in self.cursors.values():
            if not cursor.known:  # a new sink starts at the tail
                cursor.place(CursorValue(self.next_seq, Position(self._last_id + 1, HEADER_SIZE)))
        self._active = self._begin_segment(self.segment_size)
        self.durable = Position(self._active.segment.header.id, self._active.end)
        self.sync_cursors(moved_only=False)  # a killed process may have left a value, or a file's name, that only the
        # page cache holds
        disk.sync_folder(FOLDER)
        self._report_all(self.damages)
        bound_quarantine(disk, max_bytes // 16)

    @property
    def used(self) -> int:
        """Bytes that the segments take on disk."""
        return sum(segment.size for segment in self.segments.values())

    @property
    def full(self) -> bool:
        """There is no room for another segment of data."""
        return self._full(self.segment_size)

    @property
    def floor(self) -> int:
        """The first sequence number that some sink has not acknowledged."""
        return min([self.next_seq, *(cursor.value.seq for cursor in self.cursors.values())])

    def commit(self, drafts: Sequence[EntryDraft]) -> list[Outcome]:
        """Write drafts in order and sync. One outcome a draft: its first sequence number, or why it was refused.

        Fewer outcomes than drafts: the spool is full and the rest did not get in. ``DUPLICATE`` stands for a frame
        that is there already.

        :raises SpoolFailed: the disk refused; nothing of this call may be acknowledged.
        """
        outcomes: list[Outcome] = []
        for draft in drafts:
            mark = None
            if draft.upstream is not None:
                mark = self._marks.get(draft.upstream.stream)
                refused = judge(mark, draft.upstream, draft.gap)
                if refused is not None:
                    outcomes.append(refused)
                    continue
            bodies, size = encode_draft(draft, mark)
            if 2 * size > _LARGEST_SEGMENT:
                outcomes.append(SpoolError(f"a batch of {size} bytes is over the limit of {_LARGEST_SEGMENT // 2}"))
                continue
            if not self._fits(size, len(bodies)):
                wanted = max(self.segment_size, 2 * size)
                if self._full(wanted):
                    if draft.frames:
                        break
                    wanted = max(_SMALLEST_SEGMENT, 4 * size)
                self._roll(wanted)
            outcomes.append(self.next_seq)
            self._lay(draft, bodies)
        self._flush()
        return outcomes

    def _full(self, size: int) -> bool:
        room = self.max_bytes - min(_RESERVE, self.max_bytes // 4)  # two segments may always have a successor:
        # the one being written and its predecessor are all that is left once every sink has read everything
        return len(self.segments) > 2 and self.used + size > room

    def _fits(self, size: int, entries: int) -> bool:
        return size <= self._active.room and self._active.entries + entries < MAX_ENTRIES

    def _lay(self, draft: EntryDraft, bodies: list[bytes]) -> None:
        """Number the draft's frames and put its entries into the group that the next flush writes."""
        upstream = draft.upstream
        numbered = NUMBERED if draft.frames or (draft.gap and upstream) else 0
        kind = EntryType.GAP if draft.gap else EntryType.DATA
        for at, body in enumerate(bodies):
            raw, check = b"", 0
            if draft.frames:
                frame = draft.frames[at]
                raw, check = (
                    (frame.raw, frame.check) if isinstance(frame, Frame) else frame.stamp(self.stream, self.next_seq)
                )
            flags = numbered | (CONTINUED if at + 1 < len(bodies) else 0)
            self._active.add(kind, flags, self.next_seq, raw, check, body)
            self.next_seq += numbered
        for key, value in draft.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        if upstream is not None:
            self._marks[upstream.stream] = self._moved[upstream.stream] = mark_after(upstream, draft.gap)

    def _flush(self) -> None:
        """Write and sync the group, then let readers see it."""
        segment = self._active.segment
        for entry in self._active.flush():
            self.published(segment.header.id, entry)
        self.held.update(self._moved)
        self._moved.clear()
        self.durable = Position(segment.header.id, segment.end)

    def _roll(self, size: int) -> None:
        """Seal the segment and begin the next one."""
        self._flush()
        self._active.seal(self.next_seq)
        self._active.close()
        self._active = self._begin_segment(size)
        self.durable = Position(self._active.segment.header.id, self._active.end)

    def _begin_segment(self, size: int) -> Active:
        self._last_id += 1
        cursors = {name: cursor.value for name, cursor in self.cursors.items()}
        snapshot = Snapshot(self.state, self._marks, cursors, self._epochs)
        header = SegmentHeader(self._last_id, new_salt(), size, self.stream, self.next_seq, self.epoch)
        segment, file = create_segment(self._disk, header, snapshot)
        self.segments = {**self.segments, self._last_id: segment}
        return Active(segment, file)

    def sync_cursors(self, *, moved_only: bool = True) -> None:
        """Write the cursors (that moved). :raises SpoolFailed: the disk refused."""
        sync_cursors(self.cursors.values(), self.durable, moved_only=moved_only)

    def reclaim(self) -> int:
        """Unlink the segments that every cursor has passed; returns how many.

        :raises SpoolFailed: the disk refused.
        """
        return reclaim(self._disk, self)

    def report(self, damage: Damage) -> bool:
        """Keep a copy of damaged bytes and note for good what is lost; False when that was done before.

        :raises SpoolFailed: the disk refused.
        """
        quarantine(self._disk, segment_name(damage.segment), damage.start, damage.end)
        return self._report_all([damage])

    def _report_all(self, damages: Sequence[Damage]) -> bool:
        drafts = []
        for damage in damages:
            if not damage.noted_in(self.state):
                lost = damage.last >= damage.first
                note = GapNote(self.stream, damage.first, damage.last, -1, damage.reason) if lost else None
                drafts.append(EntryDraft(state=damage.note(), gap=note))
        self.commit(drafts)
        return bool(drafts)

    def close(self) -> None:
        """Seal the segment and write the cursors. :raises SpoolFailed: the disk refused; nothing is lost."""
        self._active.seal(self.next_seq)
        self.durable = Position(self._active.segment.header.id, self._active.end)
        self.sync_cursors(moved_only=False)
        self.abandon()

    def abandon(self) -> None:
        """Give the descriptors back without writing anything."""
        self._active.close()
        for cursor in self.cursors.values():
            cursor.close()
