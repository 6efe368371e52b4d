"""What can be read off a frame, or changed in it, without its payload. Sans-IO; the layout is frame.py's."""

from dataclasses import replace
from typing import Final

from shipper.spool.frame import HEADER_SIZE, MAGIC, Frame, crc32c, extend_crc32c

_STREAM: Final = slice(8, 24)
_RECORDS: Final = slice(40, 44)
_META_SIZE: Final = slice(44, 48)
_CHECK: Final = slice(HEADER_SIZE - 4, HEADER_SIZE)


def restamp(frame: Frame, stream: bytes) -> Frame:
    """The frame as a stream of another id would hold it: the payload, the metadata and the number stay."""
    raw = frame.raw
    head = raw[: _STREAM.start] + stream + raw[_STREAM.stop : _CHECK.start]
    check = extend_crc32c(crc32c(head), raw[HEADER_SIZE : HEADER_SIZE + frame.meta_size])
    return replace(frame, raw=head + check.to_bytes(4, "little") + raw[HEADER_SIZE:], stream=stream, check=check)


def records_of(data: bytes, check: int) -> int | None:
    """How many records a frame holds whose header and metadata ``data`` begins with; ``check``: ``Frame.check``.

    None: the bytes are damaged, or too few.
    """
    end = HEADER_SIZE + int.from_bytes(data[_META_SIZE], "little")
    if len(data) < end or data[:4] != MAGIC or int.from_bytes(data[_CHECK], "little") != check:
        return None
    if extend_crc32c(crc32c(data[: _CHECK.start]), data[HEADER_SIZE:end]) != check:
        return None
    return int.from_bytes(data[_RECORDS], "little")
