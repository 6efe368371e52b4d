"""Segment files: the format on disk of the queue. Sans-IO.

A spool is a sequence of files ``%020d.seg``. The number in the name is never reused. A segment is allocated and synced
before its first use, written front to back by one thread, never appended to after a restart, and unlinked when every
sink has passed it. All numbers are little-endian.

    segment header, 64 bytes
     0   4  magic ``SHPS``            32  16  stream id of this spool
     4   2  version: 1                48   8  first: the first sequence number given in this segment
     6   2  reserved                  56   4  epoch
     8   8  segment number            60   4  CRC32C of bytes 0..59
    16   8  salt (random)
    24   8  allocated size

    entry: envelope of 40 bytes, frame, body
     0   4  magic ``SHPE``
     4   1  type: 1 DATA, 2 SNAPSHOT, 3 SEAL, 4 GAP
     5   1  flags: 1 = the entry takes a sequence number, 2 = its batch goes on in the next entry
     6   2  reserved
     8   8  sequence number: the entry's own, or the next one to be given when it takes none
    16   4  how far this segment was known to be durable when the entry was written (an offset)
    20   4  length of the frame (0: none)
    24   4  length of the body
    28   4  the frame's own check (``Frame.check``), which ties it to this envelope
    32   4  CRC32C of the body
    36   4  CRC32C of bytes 0..35, seeded with salt, segment number and offset
    40   f  the frame, verbatim (shipper.spool.frame)
    40+f b  the body: msgpack of ``Body``, or of ``Snapshot`` in a SNAPSHOT (body.py)

The seed makes an entry valid at one place only: what an earlier use of the same blocks left behind is never taken for
data. A SNAPSHOT stands first in every segment and repeats everything that earlier entries changed, so recovery reads
the newest one and what follows it. One larger than 1/8 of its segment lives in ``%020d.snap`` (magic ``SHPN``, u32
CRC32C, msgpack); its entry then holds ``Snapshot.external``.

A reader ends a segment at its SEAL, or where its successor's ``first`` number begins, whatever stands behind that.

Every version keeps the places of magic, version, number and checksum in the header, and those of the envelope's fields:
so a damaged version is told from a newer one.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from shipper.errors import FrameError, FutureFormat, SpoolError
from shipper.spool.frame import Frame, crc32c, decode, extend_crc32c

VERSION: Final = 1
MAX_ENTRIES: Final = 32768
"""A segment ends after so many entries even when there is room: it bounds what a start has to read."""
_MAGIC: Final = b"SHPS"
_HEADER: Final = struct.Struct("<4sHHQQQ16sQI")
HEADER_SIZE: Final = _HEADER.size + 4
ENTRY_MAGIC: Final = b"SHPE"
_ENVELOPE: Final = struct.Struct("<4sBBHQIIIII")
ENVELOPE_SIZE: Final = _ENVELOPE.size + 4
_SEED: Final = struct.Struct("<QQQ")
NUMBERED: Final = 1
CONTINUED: Final = 2


class EntryType(IntEnum):
    """What an entry is. The numbers are on disk."""

    DATA = 1
    SNAPSHOT = 2
    SEAL = 3
    GAP = 4


@dataclass(slots=True, frozen=True)
class SegmentHeader:
    """The first 64 bytes of a segment."""

    id: int
    salt: int
    size: int
    stream: bytes
    first: int
    epoch: int

    def encode(self) -> bytes:
        """The bytes on disk."""
        head = _HEADER.pack(_MAGIC, VERSION, 0, self.id, self.salt, self.size, self.stream, self.first, self.epoch)
        return head + crc32c(head).to_bytes(4, "little")

    @classmethod
    def decode(cls, data: bytes, name: str) -> "SegmentHeader":
        """Read a header.

        :raises FutureFormat: a newer shipper wrote the segment.
        :raises SpoolError: the header is damaged.
        """
        head, check = data[: _HEADER.size], data[_HEADER.size : HEADER_SIZE]
        if len(data) < HEADER_SIZE or head[:4] != _MAGIC or crc32c(head) != int.from_bytes(check, "little"):
            raise SpoolError(f"{name}: the segment's header is damaged")
        _, version, _, number, salt, size, stream, first, epoch = _HEADER.unpack(head)
        if version > VERSION:
            raise FutureFormat(f"{name} has format {version}; this shipper reads up to {VERSION}: upgrade it")
        return cls(number, salt, size, stream, first, epoch)

    def seed(self, offset: int) -> int:
        """The CRC that an envelope at ``offset`` starts from."""
        return crc32c(_SEED.pack(self.salt, self.id, offset))


class Envelope(msgspec.Struct, frozen=True):
    """The fixed part of an entry."""

    type: EntryType
    flags: int
    seq: int
    durable: int
    frame_size: int
    body_size: int
    frame_check: int
    body_crc: int

    @property
    def size(self) -> int:
        """Length in bytes of the whole entry."""
        return ENVELOPE_SIZE + self.frame_size + self.body_size

    @property
    def next(self) -> int:
        """The sequence number after this entry."""
        return self.seq + 1 if self.flags & NUMBERED else self.seq

    def encode(self, seed: int) -> bytes:
        """The bytes on disk."""
        head = _ENVELOPE.pack(
            ENTRY_MAGIC,
            self.type,
            self.flags,
            0,
            self.seq,
            self.durable,
            self.frame_size,
            self.body_size,
            self.frame_check,
            self.body_crc,
        )
        return head + extend_crc32c(seed, head).to_bytes(4, "little")

    @classmethod
    def decode(cls, data: bytes, at: int, seed: int) -> "Envelope | None":
        """Read the envelope at ``at``; None when none that belongs there is there.

        :raises FutureFormat: it is whole, but of a type that this version does not know.
        """
        head = data[at : at + _ENVELOPE.size]
        if len(data) < at + ENVELOPE_SIZE or head[:4] != ENTRY_MAGIC:
            return None
        check = int.from_bytes(data[at + _ENVELOPE.size : at + ENVELOPE_SIZE], "little")
        if extend_crc32c(seed, head) != check:
            return None
        _, kind, flags, _, seq, durable, frame_size, body_size, frame_check, body_crc = _ENVELOPE.unpack(head)
        try:
            return cls(EntryType(kind), flags, seq, durable, frame_size, body_size, frame_check, body_crc)
        except ValueError as error:
            raise FutureFormat(f"an entry of type {kind}, which this shipper does not know: upgrade it") from error


class Entry(msgspec.Struct, frozen=True):
    """A whole entry that was read or is being written."""

    envelope: Envelope
    offset: int
    frame: bytes
    body: bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after the entry."""
        return self.offset + self.envelope.size

    def open_frame(self) -> Frame:
        """The frame, its header and metadata verified, its payload too.

        :raises FrameError: it is damaged or not the one that the envelope was written around.
        """
        frame = decode(self.frame)
        frame.verify()
        if frame.check != self.envelope.frame_check:
            raise FrameError(f"the frame of entry {self.envelope.seq} is not the one that its envelope names")
        return frame


def read_entry(data: bytes, at: int, offset: int, envelope: Envelope | None) -> Entry | None:
    """The entry whose envelope was read at ``data[at:]``, ``offset`` of its segment; None when it is not whole.

    The body is verified here, the frame by ``Entry.open_frame``.
    """
    if envelope is None or len(data) < at + envelope.size:
        return None
    middle = at + ENVELOPE_SIZE + envelope.frame_size
    body = data[middle : middle + envelope.body_size]
    if crc32c(body) != envelope.body_crc:
        return None
    return Entry(envelope, offset, data[at + ENVELOPE_SIZE : middle], body)


def may_hold_data(data: bytes) -> bool:
    """Whether bytes of a segment without its header, so without its salt, look as if entries were written there."""
    return ENTRY_MAGIC + b"\x01" in data or ENTRY_MAGIC + b"\x04" in data


def find_entry(data: bytes, at: int, offset: int, header: SegmentHeader) -> int:
    """Resynchronise: where in ``data[at:]`` the next valid envelope begins, -1 when there is none.

    ``offset`` is the place of ``data[0]`` in the segment.
    """
    while (at := data.find(ENTRY_MAGIC, at)) >= 0:
        if Envelope.decode(data, at, header.seed(offset + at)) is not None:
            return at
        at += 1
    return -1
