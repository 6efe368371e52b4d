"""Whether a stream's cursor is that of this opening of this spool. Sans-IO.

The cursor in the topic names the opening of the spool that wrote it, and the last frame of it. A data directory that
was copied or put back from a backup has the same stream, and another opening or another frame. As towards a collector
(shipper/wire/handshake.py) it then goes on under a new stream id: at least once, with an alarm. One thing differs: who
wrote under the stream, and finds that a later opening has written since, was replaced while it ran. Its data directory
was moved, and it did not hear that it was to end. What it still has the other one has too: it stops.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shipper.errors import SinkError, StreamDisowned
from shipper.sinks.base import Frame, Item, Outlet
from shipper.sinks.kafka.cursors import Cursor


@dataclass(frozen=True, slots=True)
class Opening:
    """An opening of the spool, this one."""

    stream: bytes
    epoch: int
    incarnation: bytes
    cursor: int
    """The first number that the sink has not acknowledged."""
    cursor_check: int
    """``Frame.original_check`` of the one before, or its check; 0: not known."""
    next_seq: int
    """The number of the spool's next frame."""

    @classmethod
    def of(cls, outlet: Outlet) -> "Opening":
        """As it is now."""
        return cls(outlet.stream, outlet.epoch, outlet.incarnation, outlet.cursor, outlet.cursor_crc, outlet.next_seq)

    def judge(self, found: Cursor | None, *, wrote: bool) -> Cursor:
        """Where to go on, as this opening's cursor. ``wrote``: it has written to the topic before.

        :raises StreamDisowned: the cursor is that of another history of the stream.
        :raises SinkError: a later opening replaced this one.
        """
        if found is None:
            return self._at(self.cursor, self.cursor_check)
        if found.epoch > self.epoch and wrote:
            raise SinkError(
                f"another process has opened a copy of this data directory (epoch {found.epoch}, here it is "
                f"{self.epoch}) and writes its records now: this one writes nothing any more; stop it"
            )
        if found.epoch > self.epoch:
            raise StreamDisowned("fenced", f"a newer copy of this data directory (epoch {found.epoch}) has written")
        if found.epoch == self.epoch and found.incarnation not in {b"", self.incarnation}:
            raise StreamDisowned("cloned", "a copy of this data directory runs and has written")
        if found.next > self.next_seq or self._differs(found):
            raise diverged(found)
        if found.next < self.cursor:
            return self._at(self.cursor, self.cursor_check)
        return self._at(found.next, found.original_check)

    def _differs(self, found: Cursor) -> bool:
        known = found.next == self.cursor and found.original_check and self.cursor_check
        return bool(known) and found.original_check != self.cursor_check

    def _at(self, number: int, check: int) -> Cursor:
        return Cursor(next=number, epoch=self.epoch, incarnation=self.incarnation, check=check, original_check=check)


def diverged(found: Cursor) -> StreamDisowned:
    """The error for a history that the topics have and this spool does not."""
    return StreamDisowned(
        "diverged",
        f"another frame {found.next - 1} of this stream was written than this spool holds: the data directory was "
        "restored from a backup, or copied",
    )


class Proof:
    """What the topics have and this spool's cursor does not know of yet, passed over when its last frame is the same.

    Until then nothing of it counts as acknowledged: another history's frames under the same numbers are not there.
    """

    def __init__(self, start: Cursor | None = None) -> None:
        """``start``: where to go on, a later place than the spool's cursor; None: there is nothing to pass over."""
        self.given = start is None
        self.next = 0 if start is None else start.next
        self._check = 0 if start is None else start.original_check
        self._start = start

    def rest(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items that are not there.

        :raises StreamDisowned: the last frame that is there is another one than the spool's.
        """
        if self._start is None or self.given:
            return items
        for at, item in enumerate(items):
            check = item.body.original_check if isinstance(item.body, Frame) else 0
            if item.next == self.next and check and self._check not in {0, check}:
                raise diverged(self._start)
            if item.next >= self.next:
                self.given = True
                return items[at + (item.next == self.next) :]
        return []
