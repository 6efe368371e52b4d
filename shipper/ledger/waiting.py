"""What waits in a spool for each sink, as byte ranges: what it will get, and what was destroyed before it did."""

from typing import Final

from shipper.errors import SpoolError, SpoolFailed
from shipper.ledger.extent import Extent, merged
from shipper.spool.body import CursorValue
from shipper.spool.browse import cursor_of
from shipper.spool.cursor import FOLDER
from shipper.spool.disk import Disk
from shipper.spool.forgone import Spans, destroyed, first_due, ranges_in
from shipper.spool.inspect import View, slots_of


class Waiting:
    """That of all sinks, as a view has it. Whatever the sinks, the backlog is read once.

    :raises SpoolError: segments come and go faster than they can be read.
    """

    def __init__(self, disk: Disk, view: View) -> None:
        self._disk: Final = disk
        self._view: Final = view
        cursors = {name: cursor_of(view, name) for name in view.cursors if not name.startswith("_")}
        self._firsts: Final = {name: self._first(name, cursor) for name, cursor in cursors.items()}
        self.queued: Final[dict[str, Spans]] = {sink: {} for sink in cursors}
        """By sink: what it has not acknowledged and still gets."""
        self.destroyed: Final[dict[str, Spans]] = {sink: {} for sink in cursors}
        """By sink: what it has not acknowledged and nobody can read."""
        self.unknown: Final = {sink: extent for sink, extent in view.ledger.unknown.items() if sink in cursors}
        """By sink: numbers of frames of which nobody knows what they held."""
        oldest = min((cursor.position.segment for cursor in cursors.values()), default=0)
        for first, end in self._read(oldest):
            self._is_gone(first, end)

    def _first(self, sink: str, cursor: CursorValue) -> int:
        """The first number that a sink still gets, by the rules of a start (``recovery.place_cursors``)."""
        snapshot, segments = self._view.snapshot_cursors.get(sink), self._view.segments
        due = max(first_due(cursor), 0 if snapshot is None else first_due(snapshot))
        oldest = min(segments, default=0)
        if self._view.cursors[sink].damaged and cursor.position.segment < oldest:
            due = max(due, segments[oldest].header.first)  # its newer value cannot be read
        return due

    def _read(self, oldest: int) -> list[tuple[int, int]]:
        """Fill ``queued``; the numbers that some sink waits for and that stand nowhere."""
        view, gaps = self._view, []
        due = min(self._firsts.values(), default=view.written)
        for number, segment in sorted(view.segments.items()):
            if number < oldest:
                continue
            try:
                for seq, ranges in ranges_in(self._disk, segment):
                    if seq > due:
                        gaps.append((due, seq))
                    due = max(due, seq + 1)
                    for sink, first in self._firsts.items():
                        for key, (start, end) in ranges if seq >= first else ():
                            merged(self.queued[sink].setdefault(key, []), start, end)
            except SpoolFailed:
                continue
            except SpoolError:  # delivered and removed while this was reading
                later = [other.header.first for at, other in view.segments.items() if at > number]
                due = max(due, min(later, default=view.written))
        return [*gaps, (due, view.written)] if due < view.written else gaps

    def _is_gone(self, first: int, end: int) -> None:
        """Numbers stand nowhere: find out what they held, for each sink that waits for them.

        One that has had them meanwhile says so on the disk, before their segment goes.
        """
        segments = self._view.segments.values()
        for sink, due in self._firsts.items():
            now = slots_of(self._disk, f"{FOLDER}/{sink}", CursorValue).value
            if now is not None and now.forgotten:
                continue
            begin = max(first, due, 0 if now is None else first_due(now))
            if begin >= end:
                continue
            starts = {segment.header.first for segment in segments if begin < segment.header.first < end}
            for number in sorted({begin, *starts}):
                spans = destroyed(self._disk, self._view.segments, number, self._view.ledger)
                if spans is None:
                    self.unknown.setdefault(sink, Extent()).add(begin, min([end, *starts]))
                    continue
                for key, ranges in spans.items():
                    for start, stop in ranges:
                        merged(self.destroyed[sink].setdefault(key, []), start, stop)
