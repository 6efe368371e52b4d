"""Segments as files: their names, how one is made, and what is set aside."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shipper.errors import SpoolFailed
from shipper.spool.body import Snapshot, decode_snapshot, encode_body, encode_snapshot_file
from shipper.spool.disk import Disk, File
from shipper.spool.frame import crc32c
from shipper.spool.scan import SegmentReader, read_around
from shipper.spool.segment import HEADER_SIZE, EntryType, Envelope, SegmentHeader

QUARANTINE: Final = "quarantine"
DAMAGE_KEY: Final = "damage/"
"""State keys ``damage/SEGMENT/START``: damage that was reported."""
ENDED_KEY: Final = "ended/"
"""State keys ``ended/SEGMENT``: where a segment ends that the disk refused to write on to; what follows is void."""
_COPY_BLOCK: Final = 1024 * 1024
_DRAFT: Final = ".tmp"


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{number:020d}.seg"


def snapshot_name(number: int) -> str:
    """The file name of a segment's snapshot when it has one of its own."""
    return f"{number:020d}.snap"


@dataclass(slots=True)
class Segment:
    """One segment as the log knows it."""

    header: SegmentHeader
    end: int
    """No entry of this segment begins at or after this offset."""
    size: int
    """Bytes it takes on disk, its snapshot file included."""
    begin: int = HEADER_SIZE
    """No entry but the snapshot begins before this offset."""
    sure: int = HEADER_SIZE
    """At an opening: how far it is known to be durable."""


@dataclass(slots=True, frozen=True)
class Damage:
    """Bytes that could not be read as entries."""

    segment: int
    start: int
    end: int
    first: int
    """The first sequence number that may have stood there."""
    last: int
    """The last one, inclusive; less than ``first`` when no number is missing."""
    reason: str
    acknowledged: bool = True
    """The bytes were known durable, so somebody relied on them. Else: "tail unknown", files are read again."""

    def note(self) -> dict[str, bytes | None]:
        """The state that says that it was reported."""
        return {f"{DAMAGE_KEY}{self.segment}/{self.start}": str(self.end).encode()}

    def noted_in(self, state: Mapping[str, bytes]) -> bool:
        """Whether it is part of what was reported before: a sink may begin to read inside of it."""
        prefix = f"{DAMAGE_KEY}{self.segment}/"
        return any(
            int(key.removeprefix(prefix)) <= self.start and self.end <= int(end)
            for key, end in state.items()
            if key.startswith(prefix)
        )


def new_salt() -> int:
    """A segment's salt."""
    return int.from_bytes(os.urandom(8), "little")


def create_segment(disk: Disk, header: SegmentHeader, snapshot: Snapshot) -> tuple[Segment, File]:
    """Make a segment that begins with a snapshot: durable and read back when this returns.

    :raises SpoolFailed: the disk refused; nothing is left of it.
    """
    try:
        return _create_segment(disk, header, snapshot)
    except SpoolFailed:
        for name in (segment_name(header.id), snapshot_name(header.id)):
            with contextlib.suppress(SpoolFailed):  # the next start knows what was never used
                disk.unlink(name)
        raise


def _create_segment(disk: Disk, header: SegmentHeader, snapshot: Snapshot) -> tuple[Segment, File]:
    data = encode_body(snapshot)
    extra = 0
    if len(data) > header.size // 8:
        contents = encode_snapshot_file(data)
        file = disk.create(snapshot_name(header.id), len(contents))
        file.write([contents], 0)
        file.sync()
        file.close()
        data, extra = encode_body(Snapshot(external=True)), len(contents)
    envelope = Envelope(EntryType.SNAPSHOT, 0, header.first, 0, 0, len(data), 0, crc32c(data))
    file = disk.create(segment_name(header.id), header.size)
    file.write([header.encode(), envelope.encode(header.seed(HEADER_SIZE)), data], 0)
    file.sync()
    disk.sync_folder()
    begin = HEADER_SIZE + envelope.size
    segment = Segment(header, begin, header.size + extra, begin)
    if read_snapshot(disk, segment) is None:
        raise SpoolFailed(f"segment {header.id}: what was written cannot be read back; check the disk")
    return segment, file


def read_snapshot(disk: Disk, segment: Segment) -> Snapshot | None:
    """The snapshot that a segment begins with; None when it is damaged."""
    try:
        file = disk.open(segment_name(segment.header.id))
        entry = SegmentReader(file, segment.header).entry(HEADER_SIZE, segment.end)
        file.close()
        if entry is None or entry.envelope.type is not EntryType.SNAPSHOT:
            return None
        snapshot = decode_snapshot(entry.body)
        if snapshot is not None and snapshot.external:
            name = snapshot_name(segment.header.id)
            file = disk.open(name)
            snapshot = decode_snapshot(b"", file.read(disk.size(name), 0))
            file.close()
    except (SpoolFailed, FileNotFoundError):
        return None
    return snapshot


def quarantine(disk: Disk, name: str, start: int, end: int) -> None:
    """Keep a copy of damaged bytes of a file, without the zeros at their end. One that is there is complete.

    Pages that cannot be read are zeros in it. What finds no room cannot be kept: that must not stop a start.
    """
    target = f"{name.rpartition('/')[2]}.{start}-{end}"
    try:
        if target in disk.names(QUARANTINE):
            return
        source = disk.open(name)
        end = _last_byte(source, start, end)
        if end <= start:
            return
        disk.make_folder(QUARANTINE)
        draft = f"{QUARANTINE}/{target}{_DRAFT}"
        disk.unlink(draft)
        copy = disk.create(draft, end - start)
        for at in range(start, end, _COPY_BLOCK):
            copy.write([read_around(source, min(_COPY_BLOCK, end - at), at)], at - start)
        copy.sync()
        copy.close()
        source.close()
        disk.rename(draft, f"{QUARANTINE}/{target}")
        disk.sync_folder(QUARANTINE)
    except (SpoolFailed, FileNotFoundError):
        return


def _last_byte(file: File, start: int, end: int) -> int:
    """The end of ``start``..``end`` without the zeros that it ends in."""
    while end > start:
        at = max(start, end - _COPY_BLOCK)
        block = read_around(file, end - at, at).rstrip(b"\0")
        if block:
            return at + len(block)
        end = at
    return start


def set_aside(disk: Disk, name: str) -> None:
    """Move a file to the quarantine as it is.

    Not synced: after a crash it is here or there, whole, and where it is back the next start moves it again.

    :raises SpoolFailed: the disk refused.
    """
    disk.make_folder(QUARANTINE)
    disk.rename(name, f"{QUARANTINE}/{name.rpartition('/')[2]}")


def bound_quarantine(disk: Disk, max_bytes: int) -> None:
    """Remove the oldest files of the quarantine beyond ``max_bytes``; the newest one stays whatever its size."""
    room = max_bytes
    for at, name in enumerate(reversed(disk.names(QUARANTINE))):
        room -= disk.size(f"{QUARANTINE}/{name}")
        if at and room < 0:
            disk.unlink(f"{QUARANTINE}/{name}")
