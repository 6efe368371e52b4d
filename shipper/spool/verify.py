"""Reading every byte of a spool and checking every checksum, while a process may be at work in it.

What is judged damaged, and what is not: inspect.py says what can be relied on, tail.py which bytes at the end nobody
was told about. Where a process is at work, damage counts only when a second look finds it too: meanwhile a segment may
have been passed and removed, or the disk refused it and it ends earlier than it seemed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from shipper.spool import dead_letters
from shipper.spool.body import CursorValue
from shipper.spool.checks import UNKNOWN, Finding, Kind, check_segment, judged, read_all
from shipper.spool.cursor import FOLDER
from shipper.spool.disk import Disk
from shipper.spool.files import segment_name
from shipper.spool.inspect import STREAM_FILE, View, cursor_names, look, slots_of
from shipper.spool.recovery import is_segment_file
from shipper.spool.reserve import NAME as RESERVE
from shipper.spool.slots import SLOT, SlotsRead
from shipper.spool.streams import Identity

_DRAFTS: Final = (".new", ".tmp")
"""Files that take another one's place once they are whole; a crash may leave one."""


@dataclass(slots=True)
class Totals:
    """What was read."""

    segments: int = 0
    bytes: int = 0
    frames: int = 0
    cursors: int = 0
    dead_letters: int = 0
    sealed: bool = True
    """The process that wrote last ended well: everything is durable."""


@dataclass(slots=True)
class Verifier:
    """One pass over a spool. ``live``: a process may be at work in it."""

    disk: Disk
    live: bool
    totals: Totals = field(default_factory=Totals)

    def run(self) -> Iterator[Finding]:
        """Everything that is not as it should be.

        :raises FutureFormat: a newer shipper wrote some of it.
        :raises SpoolDenied: this user may not read it.
        """
        view = look(self.disk)
        yield from self._segments(view)
        if view.tail is not None and not self.live:
            name = segment_name(view.tail.segment)
            yield Finding("tail", name, view.tail.start, view.tail.end, "never acknowledged to anyone: tail unknown")
        yield from self._slots()
        yield from self._dead_letters()
        yield from self._foreign()

    def _segments(self, view: View) -> Iterator[Finding]:
        seqs = [slots.value.seq for slots in view.cursors.values() if slots.value is not None]
        expected = before = 0
        waiting: list[int] = []  # headers that cannot be read: the next one that can tells which numbers were theirs
        for number in sorted([*view.segments, *view.unreadable]):
            segment = view.segments.get(number)
            if segment is None:
                waiting.append(number)
                continue
            first = segment.header.first
            expected = expected or min([first, *seqs])
            yield from self._headers(waiting, expected, first - 1)
            if before and not waiting and first > expected and self._is_there(before):
                what = "what stood before this segment is missing"
                yield judged(view, Finding("damaged", segment_name(number), 0, 0, what, expected, first - 1, number))
            checked = check_segment(self.disk, view, segment)
            if checked.findings and self.live:
                again = look(self.disk)
                twice = check_segment(self.disk, again, again.segments.get(number))
                checked.findings = [finding for finding in checked.findings if finding in twice.findings]
            yield from checked.findings
            self.totals.segments += 1
            self.totals.bytes += segment.end
            self.totals.frames += checked.frames
            self.totals.sealed = checked.sealed
            waiting, before, expected = [], number, max(first, checked.next_seq)
        yield from self._headers(waiting, expected or min(seqs, default=1), UNKNOWN)

    def _headers(self, segments: list[int], first: int, last: int) -> Iterator[Finding]:
        for number in segments:
            name = segment_name(number)
            lost = (first, last) if last == UNKNOWN or last >= first else (0, 0)
            size = _size_of(self.disk, name)
            if size is not None:
                yield Finding("damaged", name, 0, size, "the segment's header cannot be read", *lost)

    def _is_there(self, number: int) -> bool:
        """The segment was not removed meanwhile, so none after it was."""
        return _size_of(self.disk, segment_name(number)) is not None

    def _slots(self) -> Iterator[Finding]:
        names = [f"{FOLDER}/{name}" for name in cursor_names(self.disk)]
        self.totals.cursors += len(names)
        for name in (STREAM_FILE, *names):
            kind: type[Any] = Identity if name == STREAM_FILE else CursorValue
            found: SlotsRead[Any] = slots_of(self.disk, name, kind)
            for start in found.damaged:
                what = "a slot cannot be read" + ("; the other one holds a value" if found.value is not None else "")
                yield Finding("damaged", name, start, start + SLOT, what)
            size = _size_of(self.disk, name)
            if found.value is not None and size is not None and size < 2 * SLOT and not found.damaged:
                yield Finding("damaged", name, size, 2 * SLOT, "the file is cut short; what is left holds a value")

    def _dead_letters(self) -> Iterator[Finding]:
        names = [name for name in self.disk.names(dead_letters.FOLDER) if dead_letters.is_file(name)]
        for name in names:
            path = f"{dead_letters.FOLDER}/{name}"
            kind: Kind = "tail" if name == names[-1] and not self.totals.sealed else "damaged"
            try:
                whole = dead_letters.stream_of(self.disk, path) is not None
                data = read_all(self.disk, path)
            except FileNotFoundError:  # removed by hand
                continue
            if self.live and name == names[-1]:
                kind = "tail"
            at = dead_letters.HEADER_SIZE
            if not whole and (kind == "damaged" or any(data)):
                yield Finding("damaged", path, 0, at, "the file's header cannot be read")
            for _, start, end in dead_letters.letters(data):
                self.totals.dead_letters += 1
                if start > at:
                    yield Finding("damaged", path, at, start, "a dead letter cannot be read")
                at = end
            if at < len(data) and not (self.live and kind == "tail"):
                yield Finding(kind, path, at, len(data), "behind the last whole dead letter")

    def _foreign(self) -> Iterator[Finding]:
        known = {STREAM_FILE, RESERVE, "lock"}
        names = [name for name in self.disk.names() if name not in known and not is_segment_file(name)]
        letters = self.disk.names(dead_letters.FOLDER)
        names += [f"{dead_letters.FOLDER}/{name}" for name in letters if not dead_letters.is_file(name)]
        names = [name for name in names if not name.endswith(_DRAFTS)]
        for name in names:
            yield Finding("foreign", name, 0, _size_of(self.disk, name) or 0, "no file of a spool; it is left alone")


def _size_of(disk: Disk, name: str) -> int | None:
    try:
        return disk.size(name)
    except FileNotFoundError:
        return None
