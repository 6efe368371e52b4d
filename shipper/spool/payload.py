"""The payload of a frame as it is stored: compressed where that makes it shorter. Sans-IO."""

import threading
from typing import Final

import zstandard

from shipper.batch import Format, Payload
from shipper.errors import FrameError

NO_CODEC: Final = 0
_ZSTD: Final = 1
HIGHEST_CODEC: Final = _ZSTD
"""Of the codecs, by their numbers in a frame's header."""
_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(1, source_size=256 * 1024)
"""Also for more than that, which a frame may have a little of: see docs/decisions/193."""
_HEADER: Final = 18
"""The longest header of a zstd frame, in bytes (RFC 8878, 3.1.1.1)."""
_SMALLEST_COMPRESSED: Final = 64


class _Codecs(threading.local):
    """zstd contexts are costly to make and not thread-safe: one pair a thread."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(compression_params=_PARAMETERS).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_codecs: Final = _Codecs()


def packed(data: bytes) -> tuple[int, bytes]:
    """The codec, and the bytes to store."""
    if len(data) >= _SMALLEST_COMPRESSED:
        compressed = _codecs.compress(data)
        if len(compressed) < len(data):
            return _ZSTD, compressed
    return NO_CODEC, data


def claimed(codec: int, stored: memoryview, size: int) -> int:
    """How long the ``size`` stored bytes say that they become; nothing is decompressed.

    :raises FrameError: they say nothing.
    """
    if codec != _ZSTD:
        return size
    try:
        return zstandard.frame_content_size(bytes(stored[:_HEADER]))
    except zstandard.ZstdError as error:
        raise FrameError(f"the payload cannot be decompressed: {error}") from error


def unpacked(codec: int, stored: bytes, size: int) -> bytes:
    """The payload, which is to have ``size`` bytes; what it says of that was compared before.

    :raises FrameError: it cannot be decompressed, or has another size.
    """
    data = stored
    if codec == _ZSTD:
        try:
            data = _codecs.decompress(stored, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise FrameError(f"the payload cannot be decompressed: {error}") from error
    if len(data) != size:
        raise FrameError(f"{size} bytes were promised, {len(data)} came out")
    return data


def records_in(data: bytes, kind: int) -> int:
    """How many records a payload of this format holds; -1 when its end stands inside one."""
    if kind != Format.SIZED:
        return Payload.lines(data).count if data[-1:] == b"\n" else -1
    at = count = 0
    while at + 4 <= len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "little")
        count += 1
    return count if at == len(data) else -1
