"""Decompression with a bound, for what brokers send.

aiokafka decompresses a batch to whatever that becomes, and has as many bytes allocated as a snappy block says it holds,
up to 4 GiB: where the machine has not got them the process ends, and again when it reads on there. It hides the
compressed bytes of a batch, so nobody can look at them before. But its record modules look their decoders up by name,
at every call: ``bound_decoders`` puts those of this module there. A test shows that the pinned version still does so.
"""

import mmap
import struct
from collections.abc import Callable
from typing import Any, Final

import aiokafka.record._crecords.default_records
import aiokafka.record._crecords.legacy_records
import cramjam

LEAST: Final = 128 * 1024 * 1024
RATIO: Final = 64
"""A batch may become as large as ``LEAST``, or so many times its size: logs shrink to a tenth, or a thirtieth."""
_MODULES: Final[tuple[Any, ...]] = (
    aiokafka.record._crecords.default_records,
    aiokafka.record._crecords.legacy_records,
)
_XERIAL: Final = b"\x82SNAPPY\0"
"""How the blocks of Java's snappy library begin (xerial); two version numbers of four bytes follow."""
_BLOCKS: Final = 16
_SIZE: Final = struct.Struct(">i")


def bound_decoders() -> None:
    """Have aiokafka use the decoders of this module."""
    for module in _MODULES:
        for name, decoder in _DECODERS.items():
            if hasattr(module, name):
                setattr(module, name, decoder)


def snappy_decode(payload: Any) -> bytes:
    """One block, or several as Java's clients write them.

    :raises ValueError: it is damaged, or larger than it may be.
    """
    data = memoryview(payload).cast("B")
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        return _bounded(cramjam.snappy.decompress_raw_into, data, len(data))
    found, at = bytearray(), _BLOCKS
    while at < len(data):
        if at + _SIZE.size > len(data):
            raise ValueError("it ends within the size of a block")
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        if not 0 <= size <= len(data) - at:
            raise ValueError(f"a block of {size} bytes where {len(data) - at} are left")
        found += _bounded(cramjam.snappy.decompress_raw_into, data[at : at + size], len(data), len(found))
        at += size
    return bytes(found)


def _decoder(into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        data = memoryview(payload).cast("B")
        return _bounded(into, data, len(data))

    return decode


def _bounded(into: Callable[[Any, Any], int], data: memoryview, size: int, before: int = 0) -> bytes:
    """What ``data``, of a batch of ``size`` bytes, becomes; ``before``: bytes that others of the batch became.

    The room costs memory only where something is written into it.
    """
    most = max(LEAST, RATIO * size)
    if before >= most:
        raise ValueError(f"it becomes more than {most} bytes")
    with mmap.mmap(-1, most - before) as room:
        try:
            return room[: into(data, room)]
        except cramjam.DecompressionError as error:
            raise ValueError(f"{error} (it may become {most} bytes)") from error


_DECODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": _decoder(cramjam.gzip.decompress_into),
    "snappy_decode": snappy_decode,
    "lz4_decode": _decoder(cramjam.lz4.decompress_into),
    "zstd_decode": _decoder(cramjam.zstd.decompress_into),
}
"""In the order of the numbers that batches have for them, from 1 on."""


def decompress(code: int, payload: Any) -> bytes:
    """What a batch holds whose attributes name this compression.

    :raises ValueError: there is none of this number, or it is damaged, or larger than it may be.
    """
    if code == 0:
        return bytes(payload)
    if code > len(_DECODERS):
        raise ValueError(f"a compression that is not known, {code}")
    return [*_DECODERS.values()][code - 1](payload)
