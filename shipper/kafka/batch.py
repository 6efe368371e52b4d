"""The record batch, Kafka's format version 2: what a produce request carries and a broker stores. Sans-IO.

    offset size
     0      8   base offset: 0, the broker sets it
     8      4   length of what follows
    12      4   partition leader epoch: -1
    16      1   magic: 2
    17      4   CRC32C of what follows
    21      2   attributes: 0-2 compression, 4 transactional
    23      4   number of records - 1
    27      8   time of the first record, milliseconds since 1970
    35      8   the latest time of a record
    43      8   producer id
    51      2   producer epoch
    53      4   sequence number of the first record
    57      4   number of records
    61          the records, compressed as a whole

All numbers are big-endian; in records they are varints. A record is its length, 0, its time minus the first one's, its
number in the batch, key, value (each after its length; -1: null), the number of headers, and for each its name and
value. Everything but the number in the batch, the record's index and its value is the same for all records of a frame:
it is encoded once, and a batch is one joining of pieces.

The producer's id and sequence number are not known when a batch is built on a thread; they are set, and the checksum
is made, when it is sent.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Final, Literal, TypeAlias

import zstandard
from aiokafka.codec import lz4_encode, snappy_encode

from shipper.spool.frame import crc32c

Compression: TypeAlias = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Header: TypeAlias = tuple[str, bytes]

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE: Final = _HEADER.size
_CRC_AT: Final = 17
_CHECKED_FROM: Final = 21
_PRODUCER: Final = struct.Struct(">qhi")
_PRODUCER_AT: Final = 43
_LENGTH_FROM: Final = 12
_TRANSACTIONAL: Final = 0x10
_CODES: Final[dict[str, int]] = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_REMEMBERED: Final = 8192
NULL: Final = b"\x01"
"""The length -1."""


class _Varints(dict[int, bytes]):
    """Numbers as zigzag varints, the small ones remembered."""

    def __missing__(self, number: int) -> bytes:
        left = number << 1 if number >= 0 else (-number << 1) - 1
        encoded = bytearray()
        while left > 0x7F:
            encoded.append(left & 0x7F | 0x80)
            left >>= 7
        encoded.append(left)
        made = bytes(encoded)
        if 0 <= number < _REMEMBERED:
            self[number] = made
        return made


VARINT: Final = _Varints()


def headers(constant: Iterable[Header], varying: int = 0) -> bytes:
    """The number of headers (the constant ones and so many more) and the constant ones."""
    encoded = [header(name, value) for name, value in constant]
    return b"".join([VARINT[len(encoded) + varying], *encoded])


def header(name: str, value: bytes) -> bytes:
    """One header."""
    encoded = name.encode("utf-8", "replace")
    return b"%b%b%b%b" % (VARINT[len(encoded)], encoded, VARINT[len(value)], value)


class Draft:
    """A batch that grows. Its size is that of its records before compression."""

    __slots__ = ("_latest", "_parts", "count", "first_time", "size")

    def __init__(self, first_time: int) -> None:
        """``first_time``: milliseconds since 1970, of the first record."""
        self.first_time = first_time
        self.count = 0
        self.size = HEADER_SIZE
        self._latest = first_time
        self._parts: list[bytes] = []

    def add(
        self, time: int, keys: Sequence[bytes] | bytes, values: Sequence[bytes], prefix: bytes, marks: Sequence[bytes]
    ) -> None:
        """Records of one time. ``keys``: each with its length before it, or one for all; ``prefix``: from ``headers``;
        ``marks``: the varying headers of each; empty: there are none.
        """
        varint = VARINT
        start = b"\x00" + varint[time - self.first_time]
        same = len(start) + len(prefix)
        every = repeat(keys, len(values)) if isinstance(keys, bytes) else keys
        numbers = range(self.count, self.count + len(values))
        parts: list[bytes] = []
        for number, key, value, mark in zip(numbers, every, values, marks or repeat(b"", len(values)), strict=True):
            place, size = varint[number], varint[len(value)]
            length = same + len(place) + len(key) + len(size) + len(value) + len(mark)
            parts += (varint[length], start, place, key, size, value, prefix, mark)
        records = b"".join(parts)
        self._parts.append(records)
        self._latest = max(self._latest, time)
        self.count += len(values)
        self.size += len(records)

    def build(self, compression: Compression, *, transactional: bool = False) -> bytearray:
        """The batch, without producer and checksum: see ``stamp``. CPU-bound (it compresses)."""
        records = b"".join(self._parts)
        attributes = _TRANSACTIONAL if transactional else 0
        compress = _COMPRESS.get(compression)
        if compress is not None:
            packed = compress(records)
            if len(packed) < len(records):
                records, attributes = packed, attributes | _CODES[compression]
        data = bytearray(HEADER_SIZE + len(records))
        length = len(data) - _LENGTH_FROM
        last = self.count - 1
        _HEADER.pack_into(
            data, 0, 0, length, -1, 2, 0, attributes, last, self.first_time, self._latest, -1, -1, -1, self.count
        )
        data[HEADER_SIZE:] = records
        return data


def stamp(data: bytearray, producer_id: int, epoch: int, sequence: int) -> None:
    """Set who sends a batch, and its checksum. It may be done again."""
    _PRODUCER.pack_into(data, _PRODUCER_AT, producer_id, epoch, sequence)
    struct.pack_into(">I", data, _CRC_AT, crc32c(bytes(memoryview(data)[_CHECKED_FROM:])))


def _gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(level=6, wbits=31)
    return compressor.compress(data) + compressor.flush()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


def _lz4(data: bytes) -> bytes:
    packed: bytes = lz4_encode(data, 1)
    return packed


def _snappy(data: bytes) -> bytes:
    packed: bytes = snappy_encode(data)
    return packed


_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": _gzip, "snappy": _snappy, "lz4": _lz4, "zstd": _zstd}
