r"""From bytes to lines. Sans-IO, and shared by the sources that read lines.

A *line* ends with ``\n``; whatever else stands in it (a ``\r``, NUL bytes, invalid UTF-8) belongs to the record and
passes verbatim. Lines are not taken apart here: a ``Chunk`` holds many of them in one buffer.

``Framer`` is for streams that cannot be read twice: it keeps the half line at the end. The file source keeps nothing
(it reads a half line again from the disk), so thousands of files with half lines cost no memory; it builds its chunks
itself, and the rules for them stand here: see ``Chunk``.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from shipper.batch import DEAD_LETTER_RAW, Batch, DeadLetter, Labels, Payload, SourceRange

_STAGE: Final = "source"


@dataclass(slots=True, frozen=True)
class Chunk:
    """Consecutive bytes of a source: either whole lines, or one line that is too long for a frame."""

    start: int
    end: int
    """``start`` and ``end`` count the source's own bytes."""
    data: bytes
    """Whole lines, each with its ``\\n`` (one is added where the last line is partial). Of a line that is too long its
    first 64 KiB at most, without newline."""
    too_long: int = 0
    """Where one line is too long: its length in bytes, without newline. Else 0."""
    partial: bool = False
    """The last line had no newline yet: ``end`` stands inside it."""


def to_batch(chunk: Chunk, source: str, labels: Labels, generation: bytes, limit: int) -> Batch:
    """A chunk as the batch that a source hands to its intake. ``limit`` is named in the error of a line too long."""
    read_at = time.time_ns() // 1000
    if not chunk.too_long:
        payload = Payload.lines(chunk.data)
        count = payload.count
        span = SourceRange(source, generation, chunk.start, chunk.end, read=count, kept=count, partial=chunk.partial)
        return Batch(source, labels, payload, [span], read_at)
    span = SourceRange(source, generation, chunk.start, chunk.end, read=1, failed=1, partial=chunk.partial)
    error = f"a line of {chunk.too_long} bytes is too long: at most {limit} bytes fit into a frame"
    letter = DeadLetter(chunk.data, chunk.too_long, _STAGE, error, labels, source, generation, chunk.start, 0, read_at)
    return Batch(source, labels, Payload.lines(b""), [span], read_at, dead_letters=[letter])


class Framer:
    """Cuts a stream of bytes into chunks. Holds whole lines until they are taken, and the half line at the end: at
    most ``max_record`` bytes of it, or the first 64 KiB of a line that is longer than that.

    The records are the same for any split of the input.
    """

    def __init__(self, max_bytes: int, max_record: int) -> None:
        self._max_bytes = min(max_bytes, max_record)
        self._max_record = max_record
        self._chunks: deque[Chunk] = deque()
        self._at = 0  # where the half line begins
        self._half = bytearray()
        self._length = 0  # length of the half line: more than that of _half when it is too long
        self.held = 0
        """Bytes of chunks that can be taken."""

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        # In pieces: no line that lies inside one can be too long, only one that began before it.
        for at in range(0, len(data), self._max_bytes):
            self._feed(data[at : at + self._max_bytes])

    def _feed(self, piece: bytes) -> None:
        last = piece.rfind(b"\n") + 1
        first = piece.find(b"\n") + 1 if self._length and last else 0
        if first:
            self._grow(piece[: first - 1])
            self._end_line(newline=1)
        if last > first:
            self._add(Chunk(self._at, self._at + last - first, piece[first:last]))
        self._grow(piece[last:])

    def take(self) -> Chunk | None:
        """The next chunk, of at most ``max_bytes`` or of one line; None when there is none."""
        if not self._chunks:
            return None
        first = last = self._chunks.popleft()
        parts, size = [first.data], len(first.data)
        while self._chunks and not (last.too_long or self._chunks[0].too_long):
            size += len(self._chunks[0].data)
            if size > self._max_bytes:
                break
            last = self._chunks.popleft()
            parts.append(last.data)
        data = b"".join(parts)
        self.held -= len(data)
        return Chunk(first.start, last.end, data, last.too_long, last.partial)

    def finish(self) -> None:
        """The stream has ended: what stands there without a newline is the last line."""
        if self._length:
            self._end_line(newline=0)

    def _grow(self, data: bytes) -> None:
        """The half line goes on."""
        self._length += len(data)
        if self._length > self._max_record:  # of a line that is too long the beginning is enough
            data = data[: max(0, DEAD_LETTER_RAW - len(self._half))]
        self._half += data

    def _end_line(self, *, newline: int) -> None:
        end = self._at + self._length + newline
        data = bytes(self._half)
        if self._length > self._max_record:
            chunk = Chunk(self._at, end, data[:DEAD_LETTER_RAW], self._length, not newline)
        else:
            chunk = Chunk(self._at, end, data + b"\n", partial=not newline)
        self._half, self._length = bytearray(), 0
        self._add(chunk)

    def _add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._at = chunk.end
        self.held += len(chunk.data)
