"""A sink's view of the spool: read durable items, acknowledge them, read again from the cursor."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from shipper.sinks.base import Gap, Item
from shipper.spool.body import Lost, Position
from shipper.spool.cursor import Cursor
from shipper.spool.dropping import DROP_OLDEST, Drop, Dropped
from shipper.spool.frame import Frame
from shipper.spool.reader import Read, Reader

if TYPE_CHECKING:
    from shipper.spool.spool import Spool

_STEPS: Final = 256
_FORWARD: Final = 1024 * 1024


class _Handed(NamedTuple):
    """An item that was read and not acknowledged."""

    next: int
    after: Position
    """The place behind it."""
    records: int
    """-1: nobody knows."""
    lost: bool
    """It is the gap in place of frames that were dropped, and counted."""


class Subscription:
    """One sink's reader and cursor. Belongs to the event loop's thread.

    When the sink's oldest frames are dropped (``drop``), those that it was handed may still be acknowledged. They
    count as dropped once a new connection begins to read and the far side did not say that it has them.
    """

    def __init__(self, spool: "Spool", new_reader: Callable[[], Reader], cursor: Cursor) -> None:
        self._spool = spool
        self._new_reader = new_reader
        self._reader = new_reader()
        self._cursor = cursor
        self._unacked: deque[_Handed] = deque()
        self._doubtful: deque[_Handed] = deque()
        """Frames that were handed to the sink on a connection that is gone, and then dropped."""
        self._more = asyncio.Event()
        self._skip_to = 0
        self.rewind()

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._cursor.name

    @property
    def cursor(self) -> int:
        """The first sequence number not acknowledged."""
        return self._cursor.value.seq

    @property
    def cursor_crc(self) -> int:
        """``Frame.original_check`` of the last acknowledged frame, or its check; 0 where neither is known."""
        return self._cursor.value.crc

    @property
    def passed(self) -> int:
        """The first sequence number that the sink has not acknowledged and still gets."""
        lost = self._cursor.value.lost
        return self.cursor if lost is None else max(self.cursor, lost.next)

    @property
    def backlog_frames(self) -> int:
        """Frames appended and not acknowledged."""
        return self._spool.next_seq - self.passed

    @property
    def backlog_bytes(self) -> int:
        """Bytes in the spool behind the cursor, envelopes included."""
        return self._spool.held_back(self._cursor.value.position) if self.backlog_frames else 0

    @property
    def oldest_unacked_seconds(self) -> float:
        """How long the oldest frame has waited; 0 when none does. Monotonic; a restart starts it anew."""
        return self._spool.age(self.cursor) if self.backlog_frames else 0.0

    async def read(self, max_bytes: int) -> list[Item]:
        """The next items in order, at least one, frames of about ``max_bytes`` at most; waits for the first.

        :raises SpoolFailed: the disk cannot read them.
        """
        self._settle()
        while True:
            reader = self._reader
            if reader.at_end:  # there may be entries in memory all the same: those of a writer that failed stay there
                self._leave_behind()
                self._more.clear()
                await self._more.wait()
                continue
            if reader.in_memory:
                reads = _steps(reader, max_bytes, from_disk=False)
            else:
                reads = await asyncio.to_thread(_steps, reader, max_bytes, from_disk=True)
                if reader is not self._reader:  # what it read was dropped meanwhile
                    continue
            items = [item for read in reads if (item := self._take(read)) is not None]
            if items:
                return items

    def _leave_behind(self) -> None:
        """All is read and acknowledged: segments that hold nothing for this sink need not stay for it."""
        at = self._reader.position
        if not self._unacked and self._reader.next == self.cursor and at.segment > self._cursor.value.position.segment:
            self._move(self.cursor, at, self.cursor_crc)

    def _take(self, read: Read) -> Item | None:
        """Remember what was read; None for what a sink need not see."""
        if read.item is None:
            self._pass(read)
            return None
        body = read.item.body
        lost = self._cursor.value.lost
        gone = isinstance(body, Gap) and lost is not None and read.next == lost.next
        self._unacked.append(_Handed(read.next, read.after, body.records, gone))
        if read.next <= self._skip_to:
            self.ack(read.next, body.original_check or body.check if isinstance(body, Frame) else 0)
            return None
        return read.item

    def _pass(self, read: Read) -> None:
        """An entry without a number is passed together with the item before it."""
        if self._unacked:
            self._unacked[-1] = self._unacked[-1]._replace(after=read.after)
        else:
            self._move(self.cursor, read.after, self.cursor_crc)

    def ack(self, next_seq: int, crc: int) -> None:
        """Everything before ``next_seq`` is safe at the far side; numbers that were not read yet are ignored.

        ``crc``: ``Frame.original_check`` of frame ``next_seq - 1``, or its check; 0 where neither is known.
        """
        moved = None
        records = 0
        while self._unacked and self._unacked[0].next <= next_seq:
            moved = self._unacked.popleft()
            records = _sum(records, moved.records)
        if moved is not None:
            self._move(moved.next, moved.after, crc, records)
            if not self._unacked:
                self._more.set()  # a reader that waits looks whether segments can be left behind

    def _move(self, seq: int, position: Position, crc: int, records: int = 0) -> None:
        before = self._cursor.value.position.segment
        self._cursor.ack(seq, position, crc, records)
        self._spool.cursor_moved(new_segment=self._cursor.value.position.segment != before)

    def drop(self, drop: Drop) -> None:
        """Give up frames: the segments that hold them may go, a gap takes their place, the sink notices nothing else.

        What it was handed may still be acknowledged.
        """
        value = self._cursor.value
        counted = value.seq if value.lost is None else max(value.seq, value.lost.next)
        if not self._cursor.drop(drop):
            return
        handed, at = (self._unacked[-1].next, self._unacked[-1].after) if self._unacked else (value.seq, value.position)
        if at < drop.position:
            first = max(handed, counted)
            self._count(drop.next - first, drop.records(first))
            self._reader.abandoned = True
            self._reader = self._new_reader()
            self._reader.seek(drop.position, handed, self._left(drop.records(handed)))
            self._more.set()
        self._spool.cursor_moved(new_segment=True)

    def _left(self, records: int) -> Lost | None:
        """What of the cursor's loss the sink was not handed; ``records``: those in it, if that is known."""
        lost = self._cursor.value.lost
        if lost is None or records >= 0:
            return lost and Lost(lost.next, records, lost.reason)
        handed = 0
        for item in self._unacked:
            handed = _sum(handed, item.records)
        return Lost(lost.next, lost.records - handed if min(lost.records, handed) >= 0 else -1, lost.reason)

    def _settle(self) -> None:
        """The far side does not have the doubtful ones: it would have said so by now."""
        if self._doubtful:
            records = sum(max(0, item.records) for item in self._doubtful)
            self._count(len(self._doubtful), records)
            self._doubtful.clear()

    def _count(self, frames: int, records: int) -> None:
        if frames > 0:
            self._spool.upkeep.on_dropped(Dropped(self.name, DROP_OLDEST, frames, max(0, records)))

    async def forward(self, seq: int) -> None:
        """The far side has everything before ``seq``: read over it, and move the cursor behind it.

        Called before ``read``, right after ``rewind``. Numbers that this spool has not given are left alone.
        :raises SpoolFailed: the disk cannot read them.
        """
        delivered = False
        while self._doubtful and self._doubtful[0].next <= seq:
            item = self._doubtful.popleft()
            self._move(item.next, item.after, 0, item.records)
            delivered = True
        if delivered:
            self.rewind()
        self._skip_to = min(seq, self._spool.next_seq)
        self._leap()
        while self._reader.next < self._skip_to and not self._reader.at_end:
            reader = self._reader
            reads = await asyncio.to_thread(_steps, reader, _FORWARD, from_disk=True)
            for read in reads if reader is self._reader else ():
                if self._take(read) is not None:  # a gap that reaches beyond it
                    self.rewind()
                    return

    def _leap(self) -> None:
        """Whole segments that the far side has are passed unread: after a crash they may be gigabytes."""
        value, target = self._cursor.value, self._spool.segment_of(self._skip_to)
        if value.lost is not None or target is None:
            return
        first, place = target
        if first > value.seq and place > value.position:
            self._move(first, place, 0, -1)
            self.rewind()

    def rewind(self) -> None:
        """Read again from the cursor. A ``read`` that was cancelled may still be at work: it keeps its own reader."""
        value = self._cursor.value
        if value.lost is not None:
            until = value.lost.next
            self._doubtful.extend(item for item in self._unacked if not item.lost and item.next <= until)
        self._unacked.clear()
        self._reader.abandoned = True
        self._reader = self._new_reader()
        self._reader.seek(value.position, value.seq, value.lost)

    def wake(self) -> None:
        """More became durable."""
        self._more.set()

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()


def _sum(one: int, other: int) -> int:
    """Counts of records; -1: nobody knows."""
    return -1 if min(one, other) < 0 else one + other


def _steps(reader: Reader, max_bytes: int, *, from_disk: bool) -> list[Read]:
    reads: list[Read] = []
    size = 0
    while len(reads) < _STEPS and size < max_bytes and (from_disk or reader.in_memory):
        read = reader.step()
        if read is None:
            break
        reads.append(read)
        if read.item is not None and isinstance(read.item.body, Frame):
            size += len(read.item.body.raw)
    return reads
