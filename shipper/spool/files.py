"""Segments as files: their names, how one is made, and what is set aside."""

import os
from dataclasses import dataclass
from typing import Final

from shipper.errors import SpoolFailed
from shipper.spool.body import Snapshot, decode_snapshot, encode_body, encode_snapshot_file
from shipper.spool.disk import Disk, File
from shipper.spool.frame import crc32c
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, EntryType, Envelope, SegmentHeader

QUARANTINE: Final = "quarantine"
_COPY_BLOCK: Final = 1024 * 1024


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


def new_salt() -> int:
    """A segment's salt."""
    return int.from_bytes(os.urandom(8), "little")


def create_segment(disk: Disk, header: SegmentHeader, snapshot: Snapshot) -> tuple[Segment, File]:
    """Make a segment that begins with a snapshot: durable and read back when this returns.

    :raises SpoolFailed: the disk refused; a segment half made is never taken for one.
    """
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
    segment = Segment(header, HEADER_SIZE + envelope.size, header.size + extra)
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


def quarantine(disk: Disk, damage: Damage) -> None:
    """Keep a copy of damaged bytes; what cannot be read cannot be kept."""
    name = f"{QUARANTINE}/{segment_name(damage.segment)}.{damage.start}-{damage.end}"
    try:
        disk.make_folder(QUARANTINE)
        if name.rpartition("/")[2] in disk.names(QUARANTINE):
            return
        source = disk.open(segment_name(damage.segment))
        copy = disk.create(name, damage.end - damage.start)
        for at in range(damage.start, damage.end, _COPY_BLOCK):
            copy.write([source.read(min(_COPY_BLOCK, damage.end - at), at)], at - damage.start)
        copy.sync()
        disk.sync_folder(QUARANTINE)
        copy.close()
        source.close()
    except (SpoolFailed, FileNotFoundError):
        return
