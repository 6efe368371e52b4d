r"""From bytes to lines. Sans-IO, and shared by the sources that read lines.

Lines are not taken apart here: a ``Chunk`` holds many of them in one buffer. What a line is in a file says ``text``.

``Framer`` is for streams that cannot be read twice: it keeps the half line at the end. A line of theirs ends with
``\n``; whatever else stands in it passes verbatim. The file source keeps nothing (it reads a half line again from the
disk), so thousands of files with half lines cost no memory; it builds its chunks itself: see ``Chunk``.
"""

import time
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

from shipper.batch import Batch, Labels, Loss, Payload, SourceRange
from shipper.sources.file.text import UTF_8, Text


@dataclass(slots=True, frozen=True)
class Chunk:
    """Consecutive bytes of a source: whole lines, or (a part of) one line."""

    start: int
    end: int
    """``start`` and ``end`` count the source's own bytes."""
    data: bytes
    """Lines in UTF-8, each with its ``\\n`` (one is added where the last line is partial): records as they go on. May
    be empty: bytes that are no line.
    """
    too_long: int = 0
    """Where one line is too long, and ``data`` its beginning: the line's length in bytes, without newline. Else 0."""
    partial: bool = False
    """``end`` stands inside a line: it had no newline yet, or is shipped in parts."""
    kept: int = 0
    """Where one line is too long: the first byte of it that is not in ``data``."""
    raw: bytes = b""
    """The bytes of whole lines as they stood in the file, where ``data`` is not the same."""
    text: Text | None = None
    """What ``raw`` was."""
    holes: int = 0
    """Bytes that were left out as holes (see ``shipper.sources.file.text``)."""
    replaced: int = 0
    """Lines in which U+FFFD stands for invalid bytes."""


def line_starts(chunk: Chunk) -> list[int]:
    """Where each line of ``chunk.data`` begins, in the bytes of the source. The last one ends at ``chunk.end``."""
    if chunk.partial or chunk.too_long:
        return [chunk.start] if chunk.data else []
    text, raw = chunk.text or UTF_8, chunk.raw or chunk.data
    lengths = (len(line) + text.width for line in text.split(raw)[:-1])
    starts = list(accumulate(lengths, initial=chunk.end - len(raw)))[:-1]
    # The rest of a line may have been left out at the beginning.
    return starts[len(starts) - chunk.data.count(b"\n") :] if chunk.raw else starts


def to_batch(chunk: Chunk, source: str, labels: Labels, generation: bytes) -> Batch:
    """A chunk as the batch that a source hands to its intake. A line that is too long is marked by the label
    ``truncated``, its length in bytes.
    """
    payload = Payload.lines(chunk.data)
    count = payload.count
    span = SourceRange(source, generation, chunk.start, chunk.end, read=count, kept=count, partial=chunk.partial)
    batch = Batch(source, labels, payload, [span], time.time_ns() // 1000)
    if chunk.too_long:
        batch.labels = {**labels, "truncated": chunk.too_long}
    return batch


def cut_off(chunk: Chunk, file: str, generation: bytes) -> list[Loss]:
    """What of a line that is too long does not go on."""
    end = chunk.start + chunk.too_long
    return [Loss(file, generation, chunk.kept, end, "too_long")] if chunk.too_long else []


class Framer:
    """Cuts a stream of bytes into chunks. Holds whole lines until they are taken, and the half line at the end, at
    most ``max_record`` bytes of it: of a longer line the beginning is what goes on.

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
        return Chunk(first.start, last.end, data, last.too_long, last.partial, last.kept)

    def finish(self) -> None:
        """The stream has ended: what stands there without a newline is the last line."""
        if self._length:
            self._end_line(newline=0)

    def _grow(self, data: bytes) -> None:
        """The half line goes on."""
        self._length += len(data)
        self._half += data[: self._max_record - len(self._half)]

    def _end_line(self, *, newline: int) -> None:
        end = self._at + self._length + newline
        data = bytes(self._half)
        if self._length > self._max_record:
            size = UTF_8.whole(data) or len(data)
            chunk = Chunk(self._at, end, data[:size] + b"\n", self._length, not newline, self._at + size)
        else:
            chunk = Chunk(self._at, end, data + b"\n", partial=not newline)
        self._half, self._length = bytearray(), 0
        self._add(chunk)

    def _add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._at = chunk.end
        self.held += len(chunk.data)
