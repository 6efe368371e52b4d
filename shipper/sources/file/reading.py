"""Reading a file generation from its position: whole lines only, verified at every read.

A half line is read again from its start once its newline is there; how far it was searched is remembered, so a long one
is searched once. Memory is bounded by a window and by the longest line that goes on as a record, not by the lines or
holes of the file.
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from shipper.log import get_logger
from shipper.sources.file.framing import Chunk, cut_off
from shipper.sources.file.identity import TAIL_SIZE, digest
from shipper.sources.file.tail import Tail
from shipper.sources.file.text import HEAD, UTF_8, Encoding, Text, looks_wide

if TYPE_CHECKING:
    from shipper.sources.file.join import Joining

log = get_logger("file")

_SEARCH: Final = 16 * 1024 * 1024
"""At most so many bytes are searched for the end of a line in one read, so that other files get their turn."""


@dataclass(slots=True, frozen=True)
class Rules:
    """What a source's config says about lines."""

    encoding: Encoding
    max_line_bytes: int = 1024 * 1024
    """Bytes of the file; a frame may hold less."""
    long_lines: Literal["truncate", "split"] = "truncate"
    flush_partial_after: float = math.inf
    """Seconds after which a half line that stays as it is goes on as a record."""
    joining: "Joining | None" = None
    """None: each line is a record."""


PLAIN: Final = Rules(Encoding("utf-8"))


def read(tail: Tail, max_bytes: int, max_record: int, rules: Rules = PLAIN, *, flush: bool = False) -> Chunk | None:
    """The next chunk: at most ``max_bytes`` of whole lines, or one line, or a hole. None when no line is whole.

    ``max_record``: so many bytes fit into a frame. ``flush``: a half line at the end is read too. So it is before
    ``stop``.

    :raises Gone: the file is closed and cannot be found again.
    :raises OSError: it cannot be read, or not be opened.
    """
    flush = flush or bool(tail.packed)  # nobody goes on writing
    generation, chunk = tail.generation, None
    tail.refresh()
    tail.fix()
    tail.sync()
    if generation == tail.generation:
        text = tail.text = tail.text or rules.encoding.text or _text(tail, rules.encoding, settled=flush)
        if text is not None:
            chunk = _Read(tail, text, max_bytes, max_record, rules, flush=flush).next()
    if generation != tail.generation:
        tail.refresh()  # it begins with the next read: what is left of the one before may come first
        return None
    tail.sure = tail.size
    if chunk is not None and not chunk.start and text is UTF_8:
        _warn_if_wide(tail, chunk.raw or chunk.data)
    _watch_half(tail, rules, flushed=flush and chunk is None)
    return chunk


def _warn_if_wide(tail: Tail, beginning: bytes) -> None:
    """Say that what is read as UTF-8 looks like another encoding."""
    encoding = looks_wide(beginning)
    if encoding:
        log.warning(
            "the file is read as utf-8, but looks like another encoding: set `encoding` of its source to that",
            file=tail.label,
            looks_like=encoding,
            every=math.inf,
            key=("encoding", tail.generation),
        )


def _text(tail: Tail, encoding: Encoding, *, settled: bool) -> Text | None:
    text = encoding.text_of(tail.pread(HEAD, 0), settled=settled)
    if text is None:
        tail.searched = tail.size
    return text


def _watch_half(tail: Tail, rules: Rules, *, flushed: bool) -> None:
    """Since when is there half a line as it stands now? It is due when it stayed so for long. ``flushed``: what is
    there cannot go on (a part of a character, a hole).
    """
    # A read that did not see all of it knows nothing of how long it has been so.
    half = (-1, -1, -1) if tail.waiting else (tail.offset, tail.size, tail.modified)
    if flushed or tail.waiting or not tail.unread:
        tail.half_due = math.inf
    elif half != tail.half:
        tail.half_due = time.monotonic() + rules.flush_partial_after
    tail.half = half
    tail.flush_at = tail.half_due


class _Read:
    """One read of a tail."""

    __slots__ = ("flush", "limit", "split", "stop", "tail", "text", "window")

    def __init__(self, tail: Tail, text: Text, max_bytes: int, max_record: int, rules: Rules, *, flush: bool) -> None:
        self.tail = tail
        self.text = text
        limit = min(rules.max_line_bytes, text.fits(max_record))
        self.limit = max(limit - limit % text.width, text.width)
        self.window = max(min(max_bytes, self.limit), text.width)
        self.split = rules.long_lines == "split"
        self.stop = min(tail.size, tail.durable) if tail.stop is None else min(tail.size, tail.durable, tail.stop)
        self.flush = flush or tail.stop is not None

    def next(self) -> Chunk | None:
        """See ``read``."""
        if self.tail.searched > self.tail.offset:
            return self._line()
        return self._lines(self.window)

    def _lines(self, window: int) -> Chunk | None:
        """The whole lines among the next bytes."""
        tail, text = self.tail, self.text
        there = max(0, self.stop - tail.offset)
        if tail.stop is not None:
            window = min(window, there)
        found = self._verified(min(window, there))
        if found is None:
            return None
        data, lead = found
        cut = text.after_last(data, lead, tail.offset)
        read_to = tail.offset + len(data) - lead
        tail.size = max(tail.size, read_to)
        if cut <= lead:
            # A half line, or one longer than the window: search on from here, at once.
            tail.searched, tail.room = read_to, data.endswith(text.nul)
            return self._line() if read_to > tail.offset else None
        raw = data[lead:cut]
        chunk = self._chunk(tail.offset + cut - lead, raw, fresh=self._fresh(data, lead))
        tail.advance(chunk.end, data[max(0, cut - TAIL_SIZE) : cut])
        if len(data) < lead + window:
            tail.searched = read_to
        return chunk

    def _chunk(self, end: int, raw: bytes, *, fresh: bool) -> Chunk:
        start = self.tail.offset
        lines = self.text.lines(raw, start, fresh=fresh)
        if lines.data is raw:
            return Chunk(start, end, raw)
        raw = raw[-start % self.text.width :]
        return Chunk(start, end, lines.data, 0, False, 0, raw, self.text, lines.holes, lines.replaced)

    def _line(self) -> Chunk | None:
        """No newline stands before ``searched``: go on with this line, which may be a hole, or long, or half."""
        tail, text, limit = self.tail, self.text, self.limit
        found = self._verified(text.width)
        if found is None:
            return None
        data, lead = found
        fresh = self._fresh(data, lead)
        if fresh and text.skips_holes and data[lead:] == text.nul:
            return self._hole()
        if tail.hole > tail.offset:  # the hole was filled
            tail.hole, tail.searched = 0, tail.offset
            return self._lines(self.window)
        last = tail.offset + limit + text.width if self.split else self.stop
        end = self._search(min(self.stop, last))
        if end is not None and (end - tail.offset <= limit or self._text_end(end) - tail.offset == limit):
            return self._lines(max(self.window, end + text.width - tail.offset))
        if self.split and tail.searched >= last:
            return self._part(tail.offset + limit, fresh=fresh)
        if end is not None:
            return self._part(end + text.width, fresh=fresh, length=end - tail.offset)
        return self._half(fresh=fresh) if self.flush and tail.searched >= self.stop else None

    def _search(self, last: int) -> int | None:
        """Where the newline of the line is, before ``last``; moves ``searched`` on while there is none."""
        tail, text = self.tail, self.text
        last = min(last, tail.searched + _SEARCH)
        while tail.searched < last:
            at = tail.searched - tail.searched % text.width
            piece = tail.pread(min(self.window, last - at), at)
            found = text.find(piece, at)
            if found >= 0:
                return at + found
            if at + len(piece) <= tail.searched:  # truncated just now: the next look sees it
                break
            tail.searched, tail.room = at + len(piece), piece.endswith(text.nul)
        return None

    def _text_end(self, end: int) -> int:
        """Where the text of a line ends: before the carriage return, if one stands before ``end``."""
        text = self.text
        before = end - text.width
        return before if text.carriage and self.tail.pread(text.width, before) == text.carriage else end

    def _half(self, *, fresh: bool) -> Chunk | None:
        """The half line before ``stop``, to be read although it is not whole."""
        tail, text = self.tail, self.text
        stop = self.stop - self.stop % text.width
        if tail.linked and not tail.packed and tail.stop is None:
            stop = self._text_end(stop)  # its newline may come
        found = self._verified(min(stop - tail.offset, self.limit)) if stop > tail.offset else None
        if found is None:
            return None
        raw = found[0][found[1] :]
        if tail.linked and not tail.packed:
            # Somebody may go on writing: NULs at the end may be room that was made in advance, bytes a part of a
            # character.
            there = len(raw.rstrip(b"\0"))
            there += -there % text.width
            if there < len(raw) or stop - tail.offset <= self.limit:
                stop = tail.offset + there
            if tail.stop is None and there == stop - tail.offset:
                stop = tail.offset + text.whole(raw[:there])
        length = stop - tail.offset
        if length <= 0:
            return None
        return self._part(stop, fresh=fresh, length=length if length > self.limit else 0)

    def _part(self, end: int, *, fresh: bool, length: int = 0) -> Chunk | None:
        """One record from the position to ``end``: without its newline or, of ``length`` bytes, without its rest."""
        tail, text = self.tail, self.text
        found = self._verified(min(end - tail.offset, self.limit))
        if found is None:
            return None
        raw = found[0][found[1] :]
        if len(raw) == self.limit:
            raw = raw[: text.whole(raw) or self.limit]
        lines = text.lines(raw, tail.offset, fresh=fresh)
        data = lines.data + b"\n" if lines.data else b""
        kept = tail.offset + len(raw)
        if length:
            partial = end == tail.offset + length
            chunk = Chunk(tail.offset, end, data, length, partial, kept, holes=lines.holes, replaced=lines.replaced)
            tail.losses += cut_off(chunk, tail.label, tail.generation)
        else:
            chunk = Chunk(tail.offset, kept, data, partial=True, holes=lines.holes, replaced=lines.replaced)
        self._advance_to(chunk.end)
        return chunk

    def _hole(self) -> Chunk | None:
        """Leave out the NULs that the line begins with. Those that nothing follows stay: some writers make room in
        advance, and write their lines there.
        """
        tail, width = self.tail, self.text.width
        at = max(tail.offset, tail.hole)
        last = at + _SEARCH
        while at < self.stop and at < last:
            skipped = min(tail.next_data(at), self.stop) - at
            at, last = at + skipped, last + skipped
            piece = tail.pread(min(self.window, self.stop - at), at)
            zeros = len(piece) - len(piece.lstrip(b"\0"))
            at += zeros
            if zeros < len(piece):
                return self._skip(at - at % width)
            if not piece:
                break
        tail.hole = tail.searched = at
        tail.room = False  # told by ``hole``
        if self.flush and (tail.packed or not tail.linked) and at >= self.stop:
            return self._skip(self.stop - self.stop % width)
        return None

    def _skip(self, end: int) -> Chunk | None:
        start = self.tail.offset
        if end <= start:
            return None
        self._advance_to(end)
        return Chunk(start, end, b"", holes=end - start)

    def _fresh(self, data: bytes, lead: int) -> bool:
        """Whether a line begins behind the first ``lead`` bytes of ``data``, which stand before the position."""
        return not lead or data.endswith((self.text.newline, self.text.nul), 0, lead)

    def _verified(self, size: int) -> tuple[bytes, int] | None:
        """The bytes before the position, as many as are compared, and at most ``size`` from it on; how many the first
        are. None when they are not what was read: then a new generation begins.
        """
        tail = self.tail
        lead = min(TAIL_SIZE, tail.offset)
        data = tail.pread(lead + size, tail.offset - lead)
        if digest(data[:lead]) != tail.tail:
            tail.begin_anew()
            return None
        return data, lead

    def _advance_to(self, offset: int) -> None:
        lead = min(TAIL_SIZE, offset)
        self.tail.advance(offset, self.tail.pread(lead, offset - lead))
