"""The log: all of the spool's mutable disk state, owned by one thread.

Synchronous and without a clock, so that the same code runs over a real disk and over a simulated one. Invariants:

1. ``commit`` returns after the ``fdatasync`` of everything that it reports as written; readers see nothing earlier
   (``durable`` and ``held`` move last).
2. A segment's predecessor is synced and sealed before the segment's snapshot is written, and the snapshot is read back
   before the segment takes entries.
3. Cursors are written and synced before a segment behind them is unlinked, so on every crash image the durable cursors
   stand at or after the oldest segment.
4. What the disk refused is not tried again in the same place. The segment ends where it was synced, and the group
   that found no way in is written under the same numbers into a new one (``_poison``).
5. Sequence numbers are dense: +1 a frame, empty frames and gaps included.
6. What readers on other threads look at (``segments``, ``cursors``, ``identity``, ``durable``) is replaced, never
   changed.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, cast

from shipper.errors import DiskFull, ProtocolError, SpoolError, SpoolFailed
from shipper.ledger.book import MOST
from shipper.spool.active import Active, Group
from shipper.spool.body import BEFORE_ALL, CursorValue, Position
from shipper.spool.cursor import FOLDER
from shipper.spool.disk import TRIES, Disk
from shipper.spool.draft import EntryDraft, encode_draft
from shipper.spool.facts import Facts
from shipper.spool.files import ENDED_KEY, create_segment, new_salt
from shipper.spool.frame import MAX_FRAME, Frame
from shipper.spool.notes import Notes
from shipper.spool.opening import open_files
from shipper.spool.reserve import Reserve
from shipper.spool.retention import reclaim, sync_cursors
from shipper.spool.room import LARGEST_SEGMENT, THE_DISK, Room
from shipper.spool.segment import (
    CONTINUED,
    HEADER_SIZE,
    MAX_ENTRIES,
    NUMBERED,
    Entry,
    EntryType,
    SegmentHeader,
)
from shipper.spool.streams import take_new
from shipper.spool.upstream import judge
from shipper.units import Share

NOTHING: Final = Share("0%")
_A_SEGMENTS_ACCOUNT: Final = 4096
"""For so many bytes of a segment the ledger keeps one account, of some 250 bytes: a sixteenth of it, about."""
_FEWEST_ACCOUNTS: Final = 256
Outcome = int | ProtocolError | SpoolError


class Log:
    """The spool's files. One thread calls everything here, but for reading ``segments``, ``durable`` and ``held``."""

    def __init__(
        self,
        disk: Disk,
        max_bytes: int,
        sinks: Iterable[str],
        min_free: Share = NOTHING,
        dropping: Collection[str] = (),
    ) -> None:
        """Recover what is there, raise the epoch, begin a segment (on a full disk: once there is room).

        ``dropping``: those of the sinks whose frames may be dropped.

        :raises FutureFormat: a newer shipper wrote it; nothing was changed.
        :raises SpoolFailed: the disk refused a write.
        """
        self._disk = disk
        self.max_bytes = max_bytes
        self._room: Final = Room(disk, max_bytes, min_free)
        self.bounded: Final = self._room.bounded
        """``max_bytes``, or what the disk has where that is less."""
        self.segment_size: Final = self._room.segment_size
        self.max_frame: Final = min(MAX_FRAME, self.segment_size // 4)
        self.reserve: Final = Reserve(disk, self._room.reserve)
        opened = open_files(disk, sinks, dropping)
        self.identity = opened.identity
        self.cursors = opened.cursors
        self.removed = frozenset(opened.removed)
        """Those of the cursors whose sinks the config does not have."""
        self.next_seq = opened.next_seq
        self.segments = opened.segments
        self.facts: Final = Facts(opened.state, opened.marks, opened.ledger)
        self.facts.ledger.most = min(max(self.segment_size // _A_SEGMENTS_ACCOUNT, _FEWEST_ACCOUNTS), MOST)
        self.state: Final = self.facts.state
        self.damages: Final = opened.damages
        """What the opening found."""
        self.held: Final = self.facts.held
        """How much of each upstream stream is durable here."""
        self.published: Callable[[int, Entry], None] = lambda _segment, _entry: None
        """Called with every entry once it is durable."""
        self.refused: Callable[[SpoolFailed], None] = lambda _error: None
        """Called with what the disk said when it refused a write; no more than that is wrong yet."""
        self._epochs = opened.epochs
        self._last_id = opened.highest
        self._group = Group(self.next_seq)
        self._failures = 0
        self.notes: Final = Notes(disk, self)
        self.blocked_by: str | None = None
        """After a ``commit`` that did not take everything: why, in words; else None."""
        for cursor in self.cursors.values():
            if not cursor.known:  # a new sink starts at the tail
                cursor.place(CursorValue(self.next_seq, Position(self._last_id + 1, HEADER_SIZE)))
        self._active: Active | None = None
        newest = max(self.segments, default=0)
        self.durable = Position(newest, self.segments[newest].end) if newest else BEFORE_ALL
        with contextlib.suppress(DiskFull):  # there may be a backlog to ship, and room after that
            self.roll()
            for name in opened.forgotten:  # the snapshot does not name them any more
                disk.unlink(f"{FOLDER}/{name}")
        with contextlib.suppress(DiskFull):
            self.sync_cursors(moved_only=False)  # a killed process may have left a value, or a file's name, that only
            disk.sync_folder(FOLDER)  # the page cache holds
        self.notes.note(self.damages)

    @property
    def stream(self) -> bytes:
        """The stream id under which frames are written."""
        return self.identity.stream

    @property
    def epoch(self) -> int:
        """Raised at every open."""
        return self.identity.epoch

    @property
    def used(self) -> int:
        """Bytes that the segments take on disk."""
        return sum(segment.size for segment in self.segments.values())

    @property
    def room(self) -> dict[str, int]:
        """What decides whether there is room, in bytes."""
        return self._room.facts(self.used)

    @property
    def floor(self) -> int:
        """The first sequence number that some sink has not acknowledged."""
        return min([self.next_seq, *(cursor.value.seq for cursor in self.cursors.values())])

    def commit(self, drafts: Sequence[EntryDraft]) -> list[Outcome]:
        """Write drafts in order and sync. One outcome a draft: its first sequence number, or why it was refused.

        Fewer outcomes than drafts: the spool is full (see ``blocked_by``) and the rest did not get in. ``DUPLICATE``
        stands for a frame that is there already.

        :raises SpoolFailed: the disk refused three times in a row; nothing more may be acknowledged.
        """
        outcomes: list[Outcome] = []
        self.blocked_by = None

        def write() -> None:
            del outcomes[self._group.safe :]
            self._take(drafts, outcomes)

        self._group.safe = 0
        try:
            self._insist(write)
        except DiskFull:
            del outcomes[self._group.safe :]
            self.blocked_by = THE_DISK
        return outcomes

    def _take(self, drafts: Sequence[EntryDraft], outcomes: list[Outcome]) -> None:
        """Write the drafts that have no outcome yet."""
        for draft in drafts[len(outcomes) :]:
            mark = None
            if draft.upstream is not None:
                mark = self.facts.mark(draft.upstream.stream)
                refused = judge(mark, draft.upstream, draft.gap)
                if refused is not None:
                    outcomes.append(refused)
                    continue
            bodies, size = encode_draft(draft, mark)
            if 2 * size > LARGEST_SEGMENT:
                outcomes.append(SpoolError(f"a batch of {size} bytes is over the limit of {LARGEST_SEGMENT // 2}"))
                continue
            data = bool(draft.frames)
            if not self._fits(size, len(bodies), data=data) and not self._make_room(size, outcomes, data=data):
                break
            outcomes.append(self.next_seq)
            self._lay(draft, bodies)
        self._flush(outcomes)

    def _fits(self, size: int, entries: int, *, data: bool) -> bool:
        active = self._active
        if active is None or (active.notes and data):
            return False
        return size <= active.room and active.entries + entries < MAX_ENTRIES

    def _make_room(self, needed: int, outcomes: Sequence[Outcome], *, data: bool) -> bool:
        """Begin a segment for an entry of ``needed`` bytes; False (for data) where there is no room for one.

        :raises DiskFull: the disk has less room than it said, or not even the reserve holds a note.
        """
        size = self._room.segment(needed, self.segments)
        if isinstance(size, str) and data:
            self.blocked_by = size
            return False
        self._flush(outcomes)
        self._seal()
        if isinstance(size, int):
            try:
                self._begin(size, notes=False)
            except DiskFull:
                if data:
                    raise
            else:
                return True
        self.reserve.use(lambda: self._begin(self._room.small(needed), notes=True))
        return True

    def _lay(self, draft: EntryDraft, bodies: list[bytes]) -> None:
        """Number the draft's frames and put its entries into the group that the next flush writes."""
        active = cast(Active, self._active)  # ``_take`` made room there
        first = self.next_seq
        numbered = NUMBERED if draft.frames or (draft.gap and draft.upstream) else 0
        kind = EntryType.GAP if draft.gap else EntryType.DATA
        for at, body in enumerate(bodies):
            raw, check = b"", 0
            if draft.frames:
                frame = draft.frames[at]
                raw, check = (
                    (frame.raw, frame.check) if isinstance(frame, Frame) else frame.stamp(self.stream, self.next_seq)
                )
            flags = numbered | (CONTINUED if at + 1 < len(bodies) else 0)
            active.add(kind, flags, self.next_seq, raw, check, body)
            self.next_seq += numbered
        self.facts.add(draft, first)

    def _flush(self, outcomes: Sequence[Outcome]) -> None:
        """Write and sync the group, take over what it changed, and let readers see it."""
        active = self._active
        if active is not None and (entries := active.flush()):
            self._failures = 0
            self._publish(active, entries)
        self._group = Group(self.next_seq, len(outcomes))
        self.facts.confirm()
        if active is not None:
            self.durable = Position(active.segment.header.id, active.end)

    def _publish(self, active: Active, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.published(active.segment.header.id, entry)

    def _insist(self, work: Callable[[], object]) -> None:
        """Do it; where the disk refuses do it again in a new segment, three times in a row at most.

        :raises DiskFull: there is no room. :raises SpoolFailed: the third time.
        """
        while True:
            try:
                work()
            except SpoolFailed as error:
                self._poison()
                self.refused(error)
                if isinstance(error, DiskFull):
                    raise
                self._failures += 1
                if self._failures >= TRIES:
                    raise
            else:
                return

    def _poison(self) -> None:
        """Write nothing more into the segment: it ends where it was synced. What it did not take is as never seen.

        Its group is written again, under the same numbers, into the next one, whose snapshot says where this one ends.
        """
        active, self._active = self._active, None
        if active is not None:
            active.abandon()
            self.state[f"{ENDED_KEY}{active.segment.header.id}"] = str(active.segment.end).encode()
        self.next_seq = self._group.next_seq
        self.facts.revoke()
        self._group = Group(self.next_seq, self._group.safe)

    def _seal(self) -> None:
        """End the segment."""
        active = self._active
        if active is not None:
            self._publish(active, active.seal(self.next_seq))
            self.durable = Position(active.segment.header.id, active.end)
            active.close()
            self._active = None

    def roll(self) -> None:
        """Go on in a new segment. :raises DiskFull: there is no room for one. :raises SpoolFailed: the disk refused."""
        self._insist(lambda: self._make_room(0, (), data=False))

    def _begin(self, size: int, *, notes: bool) -> None:
        self._last_id += 1
        cursors = {name: cursor.value for name, cursor in self.cursors.items()}
        snapshot = self.facts.snapshot(cursors, self._epochs)
        header = SegmentHeader(self._last_id, new_salt(), size, self.stream, self.next_seq, self.epoch)
        segment, file = create_segment(self._disk, header, snapshot)
        self.segments = {**self.segments, self._last_id: segment}
        self._active = Active(segment, file, notes=notes)
        self.durable = Position(self._last_id, segment.end)

    def sync_cursors(self, *, moved_only: bool = True) -> None:
        """Write the cursors (that moved). :raises DiskFull: there is no room. :raises SpoolFailed: the disk refused."""
        self.reserve.use(lambda: sync_cursors(self.cursors.values(), self.durable, moved_only=moved_only))

    def reclaim(self) -> int:
        """Unlink the segments that every cursor has passed; returns how many.

        :raises SpoolFailed: the disk refused.
        """
        return reclaim(self._disk, self)

    @property
    def behind(self) -> bool:
        """A full disk kept something from being done: ``tend`` does it."""
        return self.notes.behind or not self.reserve.whole

    def tend(self) -> None:
        """Do what a full disk kept from being done. :raises SpoolFailed: the disk refused."""
        self.notes.tend()
        self.reserve.restore(self._room.min_free + self.segment_size)

    def take_new_stream(self) -> None:
        """Go on under a new stream id. :raises SpoolFailed: the disk refused; the old one is in force."""
        self.identity = self.reserve.use(lambda: take_new(self._disk, self.identity))

    def close(self) -> None:
        """Seal the segment and write the cursors. :raises SpoolFailed: the disk refused; nothing is lost."""
        try:
            self._seal()
        except SpoolFailed:  # the next start finds the end without it
            self._poison()
        self.sync_cursors(moved_only=False)
        self.abandon()

    def abandon(self) -> None:
        """Give the descriptors back without writing anything."""
        if self._active is not None:
            self._active.close()
        for cursor in self.cursors.values():
            cursor.close()
