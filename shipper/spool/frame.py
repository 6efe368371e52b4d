"""The frame: the records of one batch, encoded, compressed, checksummed. Sans-IO.

The same bytes stand on disk, on the wire and in the next spool. All numbers are little-endian.

    offset size
     0      4   magic ``SHPF``
     4      1   version of this format: 1
     5      1   payload format: 0 no records, 1 LINES, 2 NDJSON, 3 SIZED (shipper.batch.Format)
     6      1   codec of the payload: 0 none, 1 zstd
     7      1   flags: 1 = thinned (a sink's ``where`` took records out; ``original crc`` is the whole frame's)
     8     16   stream id of the origin: the spool that wrote the frame first
    24      8   sequence number in that stream
    32      8   time read, microseconds since 1970 (wall clock, for people only)
    40      4   number of records
    44      4   length of the metadata
    48      4   length of the payload as stored
    52      4   length of the payload decoded
    56      4   CRC32C of the payload as stored
    60      4   original CRC: that of the payload before it was thinned, else the same as above
    64      4   CRC32C of bytes 0..63 and the metadata
    68      m   metadata: msgpack of ``FrameMeta``
    68+m    p   payload

A frame names no sinks. Readers accept every version up to their own and refuse a newer one (``FutureFormat``).
Every version keeps the places of the header's fields, so that a damaged version is told from a newer one by the check.
The metadata is a msgpack array: later versions append to it, earlier readers ignore what they do not know.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import google_crc32c
import msgspec

from shipper.batch import Format, Labels, Origin, Payload, SourceRange
from shipper.errors import UNREADABLE, FrameError, FrameTooLarge, FutureFormat
from shipper.spool.payload import HIGHEST_CODEC, NO_CODEC, claimed, packed, records_in, unpacked

MAGIC: Final = b"SHPF"
VERSION: Final = 1
MAX_FRAME: Final = 1024 * 1024
"""A spool writes no larger frame than this (or a quarter of its segments)."""
MAX_DECODED: Final = 16 * 1024 * 1024
"""No payload is written, and none taken from another shipper, that decodes to more."""
MAX_RECORDS: Final = 1024 * 1024
"""No frame is written, nor taken from another shipper, that holds more: an empty line is hundreds of bytes later."""
MAX_READABLE: Final = 64 * 1024 * 1024
"""A payload on disk that claims to decode to more is refused before anything is allocated for it: the limit of those
that were written before there was a lower one."""

_HEADER: Final = struct.Struct("<4sBBBB16sQqIIIIIII")
HEADER_SIZE: Final = _HEADER.size
_THINNED: Final = 1

crc32c: Callable[[bytes], int] = google_crc32c.value
extend_crc32c: Callable[[int, bytes], int] = google_crc32c.extend


class FrameMeta(msgspec.Struct, array_like=True):
    """The frame's metadata. On disk: only append fields, with defaults."""

    labels: Labels
    ranges: list[SourceRange]
    origin: Origin | None = None
    """Where the records were framed first, when that is not this frame's own stream and number."""
    indices: list[int] | None = None
    """Each record's index in its origin frame; ``None``: 0, 1, 2 ..."""
    subs: list[int] | None = None
    """Each record's sub-index where one became several; ``None``: all 0."""
    original_check: int = 0
    """Of a thinned frame: ``Frame.original_check`` of the one that it was thinned from."""


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(FrameMeta).decode


@dataclass(slots=True)
class FrameDraft:
    """A frame without its place in a stream: made off the event loop, stamped by the writer."""

    format: int
    codec: int
    records: int
    read_at: int
    meta: bytes
    payload: bytes
    decoded_size: int
    crc: int
    original_crc: int
    flags: int = 0

    @property
    def size(self) -> int:
        """Length in bytes of the whole frame."""
        return HEADER_SIZE + len(self.meta) + len(self.payload)

    def stamp(self, stream: bytes, seq: int) -> "tuple[bytes, int]":
        """The frame's bytes, with its stream and number, and its check (``Frame.check``)."""
        header = _HEADER.pack(
            MAGIC,
            VERSION,
            self.format,
            self.codec,
            self.flags,
            stream,
            seq,
            self.read_at,
            self.records,
            len(self.meta),
            len(self.payload),
            self.decoded_size,
            self.crc,
            self.original_crc,
            0,
        )[:-4]
        check = extend_crc32c(crc32c(header), self.meta)
        return b"".join((header, check.to_bytes(4, "little"), self.meta, self.payload)), check


def draft(payload: Payload | None, meta: FrameMeta, read_at: int, *, thinned_from: int | None = None) -> FrameDraft:
    """Encode a batch's records. CPU-bound (it compresses): call it off the event loop.

    ``payload`` None, or with no records, makes an empty frame: it says what became of its source ranges.
    ``thinned_from``: the CRC of the payload that a sink's ``where`` thinned.

    :raises FrameTooLarge: the frame would be over 1 MiB even compressed, or hold too many records; split the batch.
    """
    if payload is None or payload.count == 0:
        kind, codec, count, size, stored = 0, NO_CODEC, 0, 0, b""
    else:
        kind, count, size = int(payload.format), payload.count, len(payload.data)
        if size > MAX_DECODED:
            raise FrameTooLarge(f"a batch of {size} bytes is over the limit of {MAX_DECODED} bytes a frame")
        if count > MAX_RECORDS:
            raise FrameTooLarge(f"a batch of {count} records is over the limit of {MAX_RECORDS} a frame")
        codec, stored = packed(payload.data)
    encoded_meta = _encode_meta(meta)
    if HEADER_SIZE + len(encoded_meta) + len(stored) > MAX_FRAME:
        raise FrameTooLarge(f"a batch of {size} bytes does not fit into a frame of {MAX_FRAME} bytes")
    crc = crc32c(stored)
    flags, original = (0, crc) if thinned_from is None else (_THINNED, thinned_from)
    return FrameDraft(kind, codec, count, read_at, encoded_meta, stored, size, crc, original, flags)


@dataclass(slots=True)
class Frame:
    """A frame that was read: its metadata is verified, its payload only when asked for."""

    raw: bytes
    """The whole frame, as it stands on disk and on the wire."""
    stream: bytes
    seq: int
    read_at: int
    records: int
    format: int
    codec: int
    decoded_size: int
    crc: int
    original_crc: int
    meta_size: int
    check: int
    """CRC32C of header and metadata; it covers the payload's CRC too, so it stands for the whole frame."""
    thinned: bool = False
    _meta: FrameMeta | None = None

    @property
    def meta(self) -> FrameMeta:
        """Labels, ranges and identity.

        :raises FrameError: the metadata is not what version 1 writes.
        """
        if self._meta is None:
            try:
                self._meta = _decode_meta(memoryview(self.raw)[HEADER_SIZE : HEADER_SIZE + self.meta_size])
            except UNREADABLE as error:
                raise self._bad(f"the metadata cannot be read: {error}") from error
        return self._meta

    @property
    def labels(self) -> Labels:
        """The labels of every record in the frame."""
        return self.meta.labels

    @property
    def original_check(self) -> int:
        """The check of the frame before any sink's ``where`` thinned it; 0: a shipper thinned it that did not keep it.

        :raises FrameError: the metadata is not what version 1 writes.
        """
        return self.meta.original_check if self.thinned else self.check

    def verify(self) -> None:
        """:raises FrameError: the payload is damaged."""
        if crc32c(self._stored()) != self.crc:
            raise self._bad("the payload's checksum does not match; the bytes were damaged")

    def check_claim(self) -> None:
        """Compare how long header and compressed payload say that it becomes; nothing is decompressed.

        :raises FrameError: they disagree: the payload is damaged, or made to fill the reader's memory.
        """
        start = HEADER_SIZE + self.meta_size
        try:
            size = claimed(self.codec, memoryview(self.raw)[start:], len(self.raw) - start)
        except FrameError as error:
            raise self._bad(str(error)) from error
        if size != self.decoded_size:
            raise self._bad(f"its payload does not decode to {self.decoded_size} bytes")

    def payload(self) -> Payload | None:
        """The records, decompressed; None for an empty frame.

        :raises FrameError: the payload cannot be decoded to what the header claims.
        """
        if self.format == 0:
            return None
        if self.codec != NO_CODEC:
            self.check_claim()
        try:
            data = unpacked(self.codec, self._stored(), self.decoded_size)
        except FrameError as error:
            raise self._bad(str(error)) from error
        if records_in(data, self.format) != self.records:
            raise self._bad(f"{self.records} records were promised, others came out")
        return Payload(Format(self.format), data, self.records)

    def identities(self) -> tuple[bytes, int, list[int] | range]:
        """Stream, sequence number and the index of each record: what a reader can deduplicate by."""
        origin = self.meta.origin
        indices = self.meta.indices
        stream, seq = (self.stream, self.seq) if origin is None else (origin.stream, origin.seq)
        return stream, seq, range(self.records) if indices is None else indices

    def _bad(self, text: str) -> FrameError:
        return FrameError(f"frame {self.seq}: {text}")

    def _stored(self) -> bytes:
        return self.raw[HEADER_SIZE + self.meta_size :]


def frame_size(data: Any, at: int = 0) -> int:
    """The length of the frame whose header stands at ``at``.

    :raises FrameError: no frame begins there.
    """
    header = bytes(data[at : at + HEADER_SIZE])
    if len(header) < HEADER_SIZE or header[:4] != MAGIC:
        raise FrameError("no frame begins here")
    meta_size, payload_size = struct.unpack_from("<II", header, 44)
    return HEADER_SIZE + int(meta_size) + int(payload_size)


def decode(raw: bytes) -> Frame:
    """Read a whole frame's header. Metadata is checked here; ``Frame.verify`` checks the payload.

    :raises FutureFormat: the frame was written by a newer shipper.
    :raises FrameError: the bytes are not one whole, undamaged frame.
    """
    if len(raw) < HEADER_SIZE or raw[:4] != MAGIC:
        raise FrameError("the bytes do not begin with a frame")
    (
        _,
        version,
        kind,
        codec,
        flags,
        stream,
        seq,
        read_at,
        records,
        meta_size,
        payload_size,
        size,
        crc,
        original,
        check,
    ) = _HEADER.unpack_from(raw)
    if len(raw) != HEADER_SIZE + meta_size + payload_size:
        raise FrameError(f"a frame of {HEADER_SIZE + meta_size + payload_size} bytes, but {len(raw)} bytes are there")
    found = extend_crc32c(crc32c(raw[: HEADER_SIZE - 4]), raw[HEADER_SIZE : HEADER_SIZE + meta_size])
    if found != check:
        raise FrameError("a frame's metadata checksum does not match; the bytes were damaged")
    if version > VERSION:
        raise FutureFormat(f"a frame of format {version}; this shipper reads up to {VERSION}: upgrade it")
    if (
        version == 0
        or kind > Format.SIZED
        or codec > HIGHEST_CODEC
        or size > MAX_READABLE
        or records > size
        or (kind == 0) != (records == 0)
    ):
        raise FrameError(f"a frame with payload format {kind}, codec {codec}, {records} records in {size} bytes")
    thinned = bool(flags & _THINNED)
    return Frame(raw, stream, seq, read_at, records, kind, codec, size, crc, original, meta_size, check, thinned)
