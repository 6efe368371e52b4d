"""The records of a container's log: partial lines joined, then multiline, for each of its streams. Sans-IO.

Whole buffers at a time; line by line only from a line that goes on to the end of its message.
"""

# Only loaded where ``container`` is set.

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from shipper.batch import Format
from shipper.sources.file.containers import FULL, ODD, PART, STREAMS, ContainerFormat, Joined, Odd, Row, encode, parse
from shipper.sources.file.marks import Closed, Mark, Marks, Place, Starts, together
from shipper.sources.file.multiline import Multiline

_Record: TypeAlias = tuple[int, Joined | Odd, Place]
"""Which message of the chunk is its last one, the record, and the place where it begins."""


@dataclass(slots=True)
class _Stream:
    """One stream: what of it is not closed yet."""

    multiline: Multiline | None
    touched: float = 0.0
    parts: list[str] = field(default_factory=list)
    """The beginning of a message."""
    size: int = 0
    time: str = ""
    marks: Marks = field(default_factory=list)
    """Where that stands, as far as it came before this chunk."""
    here: int = -1
    """Which line of this chunk is the first of it; -1: none."""
    begun: Marks = field(default_factory=list)
    """Where the message stands that began before this chunk and became whole in it."""
    record_time: str = ""
    """Of the open record of several messages, as ``record_marks``."""
    record_marks: Marks = field(default_factory=list)

    def whole(self) -> str:
        """The message has come to its end, or must not grow."""
        text = "".join(self.parts)
        self.parts, self.size, self.here = [], 0, -1
        if self.marks:
            self.begun, self.marks = self.marks, []
        return text


class _Messages:
    """The messages that become whole in a chunk; see ``Streams._messages``."""

    def __init__(self, starts: Starts, place: Place, max_bytes: int) -> None:
        self.rows: list[Row] = []
        self.firsts: list[int] = []
        self._starts = starts
        self._place = place
        self._max_bytes = max_bytes

    def take(self, stream: _Stream, row: Row, line: int) -> None:
        """A line that goes on, or that another one went on to."""
        time, name, tag, text = row
        size = len(text.encode())
        if stream.parts and stream.size + size > self._max_bytes:
            self._whole(stream, name)
        if not text and tag == FULL and stream.parts[-1:] and stream.parts[-1].endswith("\r"):
            stream.parts[-1] = stream.parts[-1][:-1]  # the runtime cut the line within its newline
        if not stream.parts:
            stream.time = time
        if stream.here < 0:
            stream.here = line
        stream.parts.append(text)
        stream.size += size
        if tag == FULL:
            self._whole(stream, name)

    def mark(self, stream: _Stream) -> None:
        """Note where an open message begins or goes on in this chunk."""
        if stream.here >= 0:
            stream.marks = together([*stream.marks, Mark(self._place, self._starts.all()[stream.here])])
            stream.here = -1

    def _whole(self, stream: _Stream, name: str) -> None:
        if stream.marks:
            self.mark(stream)
        self.firsts.append(-1 if stream.marks else stream.here)
        self.rows.append((stream.time, name, FULL, stream.whole()))


class Streams:
    """See ``shipper.sources.file.stages.Stage``."""

    names = (*STREAMS, ODD)
    format = Format.NDJSON

    def __init__(self, form: ContainerFormat, multiline: Callable[[], Multiline] | None, max_bytes: int) -> None:
        self._form = form
        self._max_bytes = max_bytes
        self._streams = {name: _Stream(multiline() if multiline else None) for name in STREAMS}
        self._simple = multiline is None

    def feed(self, data: bytes, starts: Starts, place: Place, now: float) -> Closed:
        """See ``Stage``."""
        rows, whole, replaced = parse(data, self._form)
        if self._simple and whole and not place.ahead and not self._parts_open():
            records = [Joined(text, name, time) for time, name, _, text in rows]
            return Closed(encode(records), len(rows), Counter({place: len(rows)}), replaced)
        lines: Sequence[int] = range(len(rows))
        if place.ahead:  # some were shipped before the restart
            begins = starts.all()
            lines = [at for at, row in enumerate(rows) if begins[at] >= place.ahead.get(row[1], 0)]
            rows = [rows[at] for at in lines]
        names = {row[1] for row in rows}
        for name in names - {ODD}:  # lines that are not of the format have no stream
            self._streams[name].touched = now
        if not whole or self._parts_open():
            rows, lines = self._messages(rows, lines, starts, place)
        closed = self._as_they_are(rows, place) if self._simple else self._joined(rows, lines, starts, place)
        closed.replaced = replaced
        for stream in self._streams.values():
            stream.begun = []
        return closed

    def close(self, *, since: float = -inf, until: float = inf) -> Closed:
        """See ``Stage``."""
        records: list[_Record] = []
        for name, stream in self._streams.items():
            if not since <= stream.touched <= until:
                continue
            if stream.parts:
                row = stream.time, name, FULL, stream.whole()
                begun, stream.begun = stream.begun, []
                records += self._join(stream, name, [row], [0], lambda _, begun=begun: begun)  # type: ignore[misc]
            record = stream.multiline.close() if stream.multiline else None
            if record is not None:
                made = Joined(record.decode(), name, stream.record_time)
                records.append((0, made, stream.record_marks[0].place))
                stream.record_marks = []
        return _closed(records)

    def open(self) -> dict[str, Marks]:
        """See ``Stage``."""
        streams = self._streams.items()
        return {name: marks for name, stream in streams if (marks := [*stream.record_marks, *stream.marks])}

    def touched(self) -> list[float]:
        """See ``Stage``."""
        return [stream.touched for stream in self._streams.values() if stream.parts or stream.record_marks]

    def _parts_open(self) -> bool:
        return any(stream.parts for stream in self._streams.values())

    def _messages(
        self, rows: list[Row], lines: Sequence[int], starts: Starts, place: Place
    ) -> tuple[list[Row], list[int]]:
        """Partial lines joined: messages in the order of their last lines, with the time of their first ones; and which
        line of the chunk each begins with (-1: one before it).
        """
        made = _Messages(starts, place, self._max_bytes)
        partial = iter([*(at for at, row in enumerate(rows) if row[2] == PART), len(rows)])
        at, next_part = 0, next(partial)
        while at < len(rows):
            if at < next_part and not self._parts_open():
                made.rows += rows[at:next_part]
                made.firsts += lines[at:next_part]
                at = next_part
                continue
            if at == next_part:
                next_part = next(partial)
            row = rows[at]
            stream = self._streams.get(row[1])
            if stream is None or (row[2] == FULL and not stream.parts):
                made.rows.append(row)
                made.firsts.append(lines[at])
            else:
                made.take(stream, row, lines[at])
            at += 1
        for stream in self._streams.values():
            made.mark(stream)
        return made.rows, made.firsts

    def _as_they_are(self, rows: list[Row], place: Place) -> Closed:
        """Each message is a record."""
        records = [Odd(text) if tag == ODD else Joined(text, name, time) for time, name, tag, text in rows]
        counts = Counter({place: len(records)})
        for stream in self._streams.values():
            if stream.begun:
                counts[place] -= 1
                counts[stream.begun[0].place] += 1
        return Closed(encode(records), len(records), counts)

    def _joined(self, rows: list[Row], firsts: Sequence[int], starts: Starts, place: Place) -> Closed:
        """Messages joined to records, stream by stream."""
        names = {row[1] for row in rows}
        records: list[_Record] = []
        for name, stream in self._streams.items():
            if name not in names:
                continue

            def marks_of(at: int, stream: _Stream = stream) -> Marks:
                return stream.begun if firsts[at] < 0 else [Mark(place, starts.all()[firsts[at]])]

            if len(names) == 1:
                return _closed(self._join(stream, name, rows, range(len(rows)), marks_of))
            ats = [at for at, row in enumerate(rows) if row[1] == name]
            records += self._join(stream, name, [rows[at] for at in ats], ats, marks_of)
        records += [(at, Odd(row[3]), place) for at, row in enumerate(rows) if row[2] == ODD]
        records.sort(key=lambda record: record[0])
        return _closed(records)

    @staticmethod
    def _join(
        stream: _Stream, name: str, rows: list[Row], ats: Sequence[int], marks_of: Callable[[int], Marks]
    ) -> list[_Record]:
        """The messages of one stream; ``ats``: which of all they are."""
        multiline = stream.multiline
        if multiline is None:
            return [
                (at, Joined(row[3], name, row[0]), marks_of(at)[0].place) for at, row in zip(ats, rows, strict=True)
            ]
        records: list[_Record] = []
        known = multiline.lines  # of the open record
        first = 0
        for record, count in multiline.feed_texts([row[3] for row in rows]):
            if not known:
                stream.record_time, stream.record_marks = rows[first][0], marks_of(ats[first])
            first += count - known
            known = 0
            made = Joined(record.decode(), name, stream.record_time)
            records.append((ats[first - 1] if first else -1, made, stream.record_marks[0].place))
        if first < len(rows):
            if not known:
                stream.record_time, stream.record_marks = rows[first][0], []
            stream.record_marks = together([*stream.record_marks, *marks_of(ats[first])])
        elif not multiline.lines:
            stream.record_marks = []
        return records


def _closed(records: list[_Record]) -> Closed:
    counts = Counter(place for _, _, place in records)
    return Closed(encode([record for _, record, _ in records]), len(records), counts)
