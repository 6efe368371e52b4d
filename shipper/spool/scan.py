"""Reading a segment front to back: whole entries, and the places where none can be read."""

from typing import Final

from shipper.errors import SpoolFailed
from shipper.spool.disk import File
from shipper.spool.segment import ENVELOPE_SIZE, Entry, Envelope, SegmentHeader, find_entry, read_entry

_BLOCK: Final = 256 * 1024
"""Larger ones cost more: the allocator maps them and they are faulted in anew each time."""
_BLANK: Final = bytes(_BLOCK)
_PAGE: Final = 4096


def read_around(file: File, size: int, offset: int) -> bytes:
    """Up to ``size`` bytes; pages of 4 KiB that the disk cannot read are zeros, which no checksum takes for data."""
    try:
        return file.read(size, offset)
    except SpoolFailed:
        pass
    parts, end = [], offset + size
    while offset < end:
        after = min(end, (offset // _PAGE + 1) * _PAGE)
        try:
            part = file.read(after - offset, offset)
        except SpoolFailed:
            part = bytes(after - offset)
        parts.append(part)
        if len(part) < after - offset:  # the end of the file
            break
        offset = after
    return b"".join(parts)


class SegmentReader:
    """Entries of one segment by offset, read in blocks of 256 KiB. Not thread-safe."""

    def __init__(self, file: File, header: SegmentHeader) -> None:
        self.file = file
        self.header = header
        self._block = b""
        self._start = 0

    def entry(self, offset: int, limit: int) -> Entry | None:
        """The entry at ``offset``; None when no whole, undamaged envelope and body stand there before ``limit``."""
        self._load(offset, ENVELOPE_SIZE, limit)
        envelope = Envelope.decode(self._block, offset - self._start, self.header.seed(offset))
        if envelope is None or offset + envelope.size > limit:
            return None
        self._load(offset, envelope.size, limit)
        return read_entry(self._block, offset - self._start, offset, envelope)

    def resync(self, offset: int, limit: int) -> int:
        """Where the first valid envelope at or after ``offset`` begins; ``limit`` when there is none before it."""
        while offset < limit:
            self._load(offset, min(_BLOCK, limit - offset), limit)
            if not _is_blank(self._block):  # most of what a crash leaves is a segment's empty end
                at = find_entry(self._block, offset - self._start, self._start, self.header)
                if at >= 0:
                    return min(self._start + at, limit)
            offset = max(self._start + len(self._block) - ENVELOPE_SIZE + 1, offset + 1)
            if self._start + len(self._block) >= limit or not self._block:
                return limit
        return limit

    def _load(self, offset: int, size: int, limit: int) -> None:
        """Have at least ``size`` bytes from ``offset`` in the block, as far as ``limit`` and the file allow."""
        if self._start <= offset and offset + size <= self._start + len(self._block):
            return
        self._block = read_around(self.file, max(0, min(max(size, _BLOCK), limit - offset)), offset)
        self._start = offset


def any_byte(file: File, start: int, end: int) -> bool:
    """Whether some byte is not zero."""
    return not all(_is_blank(read_around(file, min(_BLOCK, end - at), at)) for at in range(start, end, _BLOCK))


def _is_blank(block: bytes) -> bool:
    return block == _BLANK[: len(block)]  # far faster than strip, and than looking for something in it
