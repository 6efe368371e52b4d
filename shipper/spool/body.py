"""What entries hold beside their frames: state, dead letters, marks, cursors. Sans-IO.

Everything here is msgpack arrays on disk: later versions append fields with defaults, earlier ones ignore what they do
not know. A ``.snap`` file is the magic ``SHPN``, a little-endian u32 CRC32C, and the msgpack of a ``Snapshot``.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from shipper.batch import DeadLetter, Labels, SourceRange
from shipper.errors import UNREADABLE, SpoolError
from shipper.ledger.book import Book, Forgone, Refused
from shipper.spool.frame import crc32c

_SNAPSHOT_MAGIC: Final = b"SHPN"


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How much of an upstream stream this spool holds: the receiving side of the handshake."""

    next: int
    """The sequence number expected next."""
    epoch: int
    incarnation: bytes
    crc: int
    """``Frame.check`` of frame ``next - 1``; 0 where that was a gap."""
    original_crc: int = 0
    """``Frame.original_check`` of it; 0 where that is not known."""


class GapNote(msgspec.Struct, frozen=True, array_like=True):
    """Frames that are gone for good."""

    stream: bytes
    first: int
    last: int
    records: int
    """-1: nobody knows."""
    reason: str


class Body(msgspec.Struct, array_like=True, omit_defaults=True):
    """What an entry holds beside its frame. On disk: only append fields, with defaults."""

    state: dict[str, bytes | None] = {}
    """Changed state by key (file positions, processors' state ...); None forgets a key."""
    dead_letters: list[DeadLetter] = []
    upstream: tuple[bytes, Mark] | None = None
    """The mark of the stream that the frame came in."""
    gap: GapNote | None = None
    kept: tuple[bytes, int, int] | None = None
    """Its sender keeps it until it is delivered: the stream, the number (a gap's first), which part of the number."""
    came: tuple[Labels, list[SourceRange]] | None = None
    """Of a frame that was taken apart here: its host and file, and its ranges as they came."""
    forgone: list[Forgone] = []
    """What sinks will not get."""
    refused: list[Refused] = []
    """What sinks will never take."""


class Position(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A place between two entries."""

    segment: int
    offset: int


BEFORE_ALL: Final = Position(0, 0)
"""Where a sink stands that was not there while the segment of its cursor was removed."""


class Lost(msgspec.Struct, frozen=True, array_like=True):
    """Frames that a sink will not get although it did not acknowledge them: a gap is delivered in their place."""

    next: int
    """The number after the last one that is gone."""
    records: int
    """What they held; -1: nobody knows."""
    reason: str


class CursorValue(msgspec.Struct, frozen=True, array_like=True):
    """What a sink has acknowledged, and how far the spool was known durable then. On disk: only append fields."""

    seq: int
    """The first sequence number not acknowledged."""
    position: Position
    crc: int = 0
    """``Frame.original_check`` of frame ``seq - 1``, or its check where that is not known; 0 where neither is."""
    durable: Position = Position(0, 0)
    lost: Lost | None = None
    """What is missing between ``seq`` and the frames at ``position``."""
    forgotten: bool = False
    """The sink was given up for good: one of that name begins anew, at the tail."""


class Snapshot(msgspec.Struct, array_like=True):
    """Everything that the entries before it changed. On disk: only append fields, with defaults."""

    state: dict[str, bytes] = {}
    marks: dict[bytes, Mark] = {}
    cursors: dict[str, CursorValue] = {}
    epochs: list[tuple[int, int]] = []
    """(epoch, its first sequence number), oldest first."""
    external: bool = False
    """The snapshot stands in a file of its own; the other fields are empty."""
    ledger: Book = msgspec.field(default_factory=Book)


_decode_body = msgspec.msgpack.Decoder(Body).decode
_decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
_EMPTY: Final = Body()
encode_body: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


def decode_body(data: bytes) -> Body:
    """:raises SpoolError: the body is not what version 1 writes, though its checksum holds."""
    try:
        return _decode_body(data) if data else _EMPTY
    except UNREADABLE as error:
        raise SpoolError(f"an entry's body cannot be read: {error}") from error


def encode_snapshot_file(snapshot: bytes) -> bytes:
    """The bytes of a ``.snap`` file."""
    return _SNAPSHOT_MAGIC + crc32c(snapshot).to_bytes(4, "little") + snapshot


def decode_snapshot(data: bytes, external: bytes | None = None) -> Snapshot | None:
    """A snapshot from its entry's body, or from the ``.snap`` file's bytes; None when it is damaged."""
    try:
        if external is None:
            return _decode_snapshot(data)
        if external[:4] != _SNAPSHOT_MAGIC or crc32c(external[8:]) != int.from_bytes(external[4:8], "little"):
            return None
        return _decode_snapshot(external[8:])
    except UNREADABLE:
        return None
