"""Reading a segment for its checksums: what is damaged in it, by bytes and by sequence numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from shipper.errors import FrameError, SpoolError, SpoolFailed
from shipper.spool.body import decode_body, decode_snapshot
from shipper.spool.disk import Disk
from shipper.spool.files import Damage, Segment, segment_name, snapshot_name
from shipper.spool.inspect import View
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, NUMBERED, Entry, EntryType
from shipper.spool.tail import Hole, given_anew, walk

UNKNOWN: Final = -1

Kind: TypeAlias = Literal["damaged", "known", "tail", "foreign"]


@dataclass(slots=True, frozen=True)
class Finding:
    """One place that is not as it should be."""

    kind: Kind
    """``damaged``; ``known``: damaged, reported and set aside before; ``tail``: behind the last whole batch, so nobody
    was told about it; ``foreign``: no file of a spool."""
    file: str
    """Its name in the spool's directory."""
    start: int
    end: int
    """The bytes, ``end`` exclusive."""
    what: str
    first: int = 0
    """The sequence numbers that are lost with it, ``last`` inclusive; ``UNKNOWN``: nobody knows how far."""
    last: int = 0
    segment: int = 0
    """The segment to which a log would note it; 0: none."""

    @property
    def numbers(self) -> str:
        """The sequence numbers in words; empty where none is lost."""
        if not self.first and not self.last:
            return ""
        if self.last == UNKNOWN:
            return f"{self.first} and above"
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"

    def as_damage(self) -> Damage:
        """The same as a log notes it."""
        start, end = (self.start, self.end) if self.file == segment_name(self.segment) else (HEADER_SIZE, HEADER_SIZE)
        return Damage(self.segment, start, end, self.first, max(self.last, self.first - 1), self.what)


@dataclass(slots=True)
class Checked:
    """What one segment holds."""

    next_seq: int = 0
    frames: int = 0
    sealed: bool = False
    findings: list[Finding] = field(default_factory=list)


def check_segment(disk: Disk, view: View, segment: Segment | None) -> Checked:
    """Read a segment as far as the view goes. One that is gone was passed by every sink: nothing is wrong with it."""
    if segment is None:
        return Checked()
    number = segment.header.id
    limit = min((other.header.first for at, other in view.segments.items() if at > number), default=None)
    checked = Checked(segment.header.first)
    try:
        reader = SegmentReader(disk.open(segment_name(number)), segment.header)
    except FileNotFoundError:
        checked.next_seq = limit or 0
        return checked
    try:
        for finding in _places(disk, reader, segment.end, limit, checked):
            checked.findings.append(judged(view, finding))
    except SpoolFailed as error:
        last = UNKNOWN if limit is None else limit - 1
        whole = _damage(number, HEADER_SIZE, segment.end, str(error), checked.next_seq, last)
        checked.findings.append(judged(view, whole))
        checked.next_seq = limit or checked.next_seq
    finally:
        reader.file.close()
    return checked


def _places(disk: Disk, reader: SegmentReader, end: int, limit: int | None, checked: Checked) -> Iterator[Finding]:
    """The damaged places of a segment. ``limit``: its successor's first number, None where there is none."""
    number = reader.header.id
    hole: Hole | None = None
    for part in walk(reader, end):
        if given_anew(part, limit):
            break
        if not isinstance(part, Entry):
            hole = part
            continue
        envelope = part.envelope
        if hole is not None:
            yield _damage(number, hole.offset, hole.end, "no entry can be read", checked.next_seq, envelope.seq - 1)
        elif envelope.seq > checked.next_seq:
            here = part.offset
            yield _damage(number, here, here, "frames are missing", checked.next_seq, envelope.seq - 1)
        hole = None
        checked.next_seq = max(checked.next_seq, envelope.next)
        checked.frames += envelope.flags & NUMBERED
        checked.sealed = envelope.type is EntryType.SEAL
        wrong = _wrong_with(part)
        if wrong is not None:
            yield _damage(number, part.offset, part.end, wrong, envelope.seq, envelope.next - 1)
        elif envelope.type is EntryType.SNAPSHOT:
            yield from _snapshot_file(disk, number, part)
    if hole is not None:
        last = UNKNOWN if limit is None else limit - 1
        yield _damage(number, hole.offset, hole.end, "no entry can be read", checked.next_seq, last)
        checked.next_seq = limit or checked.next_seq


def _damage(segment: int, start: int, end: int, what: str, first: int, last: int) -> Finding:
    lost = (first, last) if last == UNKNOWN or last >= first else (0, 0)
    return Finding("damaged", segment_name(segment), start, end, what, *lost, segment)


def _wrong_with(entry: Entry) -> str | None:
    """What is damaged in a whole entry: its frame, or what its body says."""
    try:
        if entry.envelope.frame_size:
            entry.open_frame()
        if entry.envelope.type is EntryType.SNAPSHOT:
            return None if decode_snapshot(entry.body) is not None else "the segment's snapshot is damaged"
        decode_body(entry.body)
    except (FrameError, SpoolError) as error:
        return str(error)
    return None


def _snapshot_file(disk: Disk, segment: int, entry: Entry) -> Iterator[Finding]:
    """A large snapshot stands in a file of its own."""
    snapshot = decode_snapshot(entry.body)
    if snapshot is None or not snapshot.external:
        return
    name = snapshot_name(segment)
    try:
        data = read_all(disk, name)
    except FileNotFoundError:
        yield Finding("damaged", name, 0, 0, "the segment's snapshot is missing", segment=segment)
        return
    if decode_snapshot(b"", data) is None:
        yield Finding("damaged", name, 0, len(data), "the segment's snapshot is damaged", segment=segment)


def judged(view: View, finding: Finding) -> Finding:
    """The finding, known where it was reported and set aside before."""
    return replace(finding, kind="known") if finding.as_damage().noted_in(view.state) else finding


def read_all(disk: Disk, name: str) -> bytes:
    """A file's bytes. :raises FileNotFoundError: it is not there."""
    file = disk.open(name)
    data = file.read(disk.size(name), 0)
    file.close()
    return data
