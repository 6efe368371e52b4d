"""A sink's view of the spool: read durable items, acknowledge them, read again from the cursor."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shipper.sinks.base import Item
from shipper.spool.body import CursorValue, Position
from shipper.spool.cursor import Cursor
from shipper.spool.frame import Frame
from shipper.spool.reader import Read, Reader

if TYPE_CHECKING:
    from shipper.spool.spool import Spool

_STEPS: Final = 256
_FORWARD: Final = 1024 * 1024


class Subscription:
    """One sink's reader and cursor. Belongs to the event loop's thread."""

    def __init__(self, spool: "Spool", new_reader: Callable[[], Reader], cursor: Cursor) -> None:
        self._spool = spool
        self._new_reader = new_reader
        self._reader = new_reader()
        self._cursor = cursor
        self._unacked: deque[tuple[int, Position]] = deque()
        """(next number, place behind it) of what was read and not acknowledged."""
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
        """``Frame.check`` of the last acknowledged frame; 0 where it is not known."""
        return self._cursor.value.crc

    @property
    def backlog_frames(self) -> int:
        """Frames appended and not acknowledged."""
        return self._spool.next_seq - self.cursor

    @property
    def backlog_bytes(self) -> int:
        """Bytes in the spool behind the cursor, envelopes included."""
        at, segments = self._cursor.value.position, self._spool.segment_ends()
        ahead = sum(end for number, end in segments.items() if number >= at.segment)
        return max(0, ahead - (at.offset if at.segment in segments else 0)) if self.backlog_frames else 0

    @property
    def oldest_unacked_seconds(self) -> float:
        """How long the oldest frame has waited; 0 when none does. Monotonic; a restart starts it anew."""
        return self._spool.age(self.cursor) if self.backlog_frames else 0.0

    async def read(self, max_bytes: int) -> list[Item]:
        """The next items in order, at least one, frames of about ``max_bytes`` at most; waits for the first.

        :raises SpoolFailed: the disk cannot read them.
        """
        while True:
            if self._reader.in_memory:
                reads = self._steps(max_bytes, from_disk=False)
            elif not self._reader.at_end:
                reads = await asyncio.to_thread(self._steps, max_bytes, from_disk=True)
            else:
                self._leave_behind()
                self._more.clear()
                await self._more.wait()
                continue
            items = [item for read in reads if (item := self._take(read)) is not None]
            if items:
                return items

    def _leave_behind(self) -> None:
        """All is read and acknowledged: segments that hold nothing for this sink need not stay for it."""
        at = self._reader.position
        if not self._unacked and self._reader.next == self.cursor and at.segment > self._cursor.value.position.segment:
            self._move(CursorValue(self.cursor, at, self.cursor_crc))

    def _steps(self, max_bytes: int, *, from_disk: bool) -> list[Read]:
        reads: list[Read] = []
        size = 0
        while len(reads) < _STEPS and size < max_bytes and (from_disk or self._reader.in_memory):
            read = self._reader.step()
            if read is None:
                break
            reads.append(read)
            if read.item is not None and isinstance(read.item.body, Frame):
                size += len(read.item.body.raw)
        return reads

    def _take(self, read: Read) -> Item | None:
        """Remember what was read; None for what a sink need not see."""
        if read.item is None:
            self._pass(read)
            return None
        self._unacked.append((read.next, read.after))
        if read.next <= self._skip_to:
            body = read.item.body
            self.ack(read.next, body.check if isinstance(body, Frame) else 0)
            return None
        return read.item

    def _pass(self, read: Read) -> None:
        """An entry without a number is passed together with the item before it."""
        if self._unacked:
            self._unacked[-1] = (self._unacked[-1][0], read.after)
        else:
            self._move(CursorValue(self.cursor, read.after, self.cursor_crc))

    def ack(self, next_seq: int, crc: int) -> None:
        """Everything before ``next_seq`` is safe at the far side; numbers that were not read yet are ignored.

        ``crc``: ``Frame.check`` of frame ``next_seq - 1`` as it was sent; 0 where it is not known.
        """
        moved = None
        while self._unacked and self._unacked[0][0] <= next_seq:
            moved = self._unacked.popleft()
        if moved is not None:
            self._move(CursorValue(moved[0], moved[1], crc))
            if not self._unacked:
                self._more.set()  # a reader that waits looks whether segments can be left behind

    def _move(self, value: CursorValue) -> None:
        before = self._cursor.value.position.segment
        self._cursor.place(value)
        self._spool.cursor_moved(new_segment=value.position.segment != before)

    async def forward(self, seq: int) -> None:
        """The far side has everything before ``seq``: read over it, and move the cursor behind it.

        Called before ``read``, right after ``rewind``. Numbers that this spool has not given are left alone.
        :raises SpoolFailed: the disk cannot read them.
        """
        self._skip_to = min(seq, self._spool.next_seq)
        while self._reader.next < self._skip_to and not self._reader.at_end:
            for read in await asyncio.to_thread(self._steps, _FORWARD, from_disk=True):
                if self._take(read) is not None:  # a gap that reaches beyond it
                    self.rewind()
                    return

    def rewind(self) -> None:
        """Read again from the cursor. A ``read`` that was cancelled may still be at work: it keeps its own reader."""
        self._unacked.clear()
        value = self._cursor.value
        self._reader = self._new_reader()
        self._reader.seek(value.position, value.seq)

    def wake(self) -> None:
        """More became durable."""
        self._more.set()

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()
