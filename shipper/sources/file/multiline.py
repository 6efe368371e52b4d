"""Joining lines to records: stack traces and whatever else goes on over several lines. Sans-IO.

Which line goes on is decided line by line (``Logic``): by the line, and by what came before it in its record. So the
records are the same for any split of the input, and a record can be read again from its first line; but for lines that
a pattern of one's own is not done with in time. Whole buffers are cut at once where that gives the same; line by line
only where a bound is met.

A record that reaches a bound is closed, and what follows is the next one: nothing is dropped.
"""

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from shipper.units import ByteSize, Duration

if TYPE_CHECKING:
    from shipper.errors import PatternTimeout
    from shipper.sources.file.logic import Logic
    from shipper.sources.file.own_patterns import Late

_MOST: Final = ByteSize(1024 * 1024)
PresetName: TypeAlias = Literal["java", "python", "go", "ruby", "dotnet", "indent"]


class MultilineConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How lines are joined: a ``preset``, or patterns of one's own."""

    preset: PresetName | None = None
    """Stack traces of a language; ``indent``: lines that begin with a space or a tab go on the line before."""
    start: re.Pattern[str] | None = None
    """A line in which this is found begins a record. Like the other two it is looked for in the text of the line, and
    has a deadline: a line that it is not done with in time counts as one without it."""
    # ``continue`` is no name that Python allows.
    continue_: re.Pattern[str] | None = msgspec.field(default=None, name="continue")
    """A line in which this is not found begins a record."""
    end: re.Pattern[str] | None = None
    """A line in which this is found is the last of its record."""
    max_lines: int = 1000
    """A record has at most so many lines; what follows is the next one."""
    max_bytes: ByteSize = _MOST
    """A line that would make a record larger than so many bytes, or than a frame holds, begins the next one. A longer
    line is a record by itself, whole: ``max_line_bytes`` is what bounds one line."""
    flush_after: Duration = Duration(1.0)
    """A record goes out when nothing was added to it for so long."""

    def check(self) -> None:
        """:raises ValueError: the settings do not go together."""
        patterns = self._patterns()
        given = [name for name, pattern in patterns.items() if pattern is not None]
        if not self.preset and not given:
            raise ValueError("multiline needs a preset, as in multiline: java, or a pattern: start, continue or end")
        if self.preset and given:
            raise ValueError(
                f"multiline: preset and patterns ({', '.join(given)}) exclude each other: remove one of them"
            )
        for name, pattern in patterns.items():
            if pattern is not None and not pattern.pattern:
                raise ValueError(f"multiline: {name} is empty, which is found in every line")
        if self.max_lines < 1:
            raise ValueError(f"multiline: max_lines must be at least 1, found {self.max_lines}")
        if not 1 <= self.max_bytes <= _MOST:
            raise ValueError(
                f"multiline: max_bytes must be 1B to {_MOST}, found {self.max_bytes}: a record has to fit into a frame"
            )
        if not self.flush_after:
            raise ValueError("multiline: flush_after must be more than 0, or records are cut wherever a read ends")
        self.logic()

    def report(self, late: "Late") -> None:
        """Have somebody told of each line that a pattern was not done with in time."""
        self._late = late

    def logic(self) -> "Logic":
        """:raises ValueError: a pattern cannot be used."""
        # What few sources need.
        if self.preset is not None:
            from shipper.sources.file.logic import PresetLogic
            from shipper.sources.file.presets import PRESETS

            return PresetLogic(PRESETS[self.preset])
        from shipper.sources.file.own_patterns import OwnPattern, PatternLogic

        late: Late = getattr(self, "_late", _silent)
        start, continues, end = (
            None if pattern is None else OwnPattern(name, pattern, late) for name, pattern in self._patterns().items()
        )
        return PatternLogic(start, continues, end)

    def _patterns(self) -> dict[str, re.Pattern[str] | None]:
        return {"start": self.start, "continue": self.continue_, "end": self.end}


def _silent(name: str, error: "PatternTimeout") -> None:
    """Where no source asks."""


class Multiline:
    """Joins the lines of one stream; holds the record that is not closed yet."""

    def __init__(self, logic: "Logic", max_lines: int, max_bytes: int) -> None:
        self._logic = logic
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._open: list[bytes] = []
        self._size = -1  # bytes of the open record: its lines and the newlines between them
        self.lines = 0
        """Lines of the open record."""
        self.began = False
        """Whether the open record began with what was fed last."""

    @property
    def size(self) -> int:
        """Bytes of the open record with the newline of each line; 0: there is none."""
        return self._size + 1

    def feed(self, data: bytes) -> list[bytes]:
        """Whole lines, each with its newline. Returns the records that they close, without their last newlines."""
        known = self._logic.snapshot()
        goes_on, records = self._logic.cut(data[:-1], fresh=not self.lines)
        self.began = not goes_on
        first = records[0] if goes_on else b""
        if not all(map(self._fits, records)) or (goes_on and not self._fits_on(first)):
            self._logic.restore(known)
            return [record for record, _ in self._slowly(data[:-1].split(b"\n"))]
        if goes_on:
            self._add(first, first.count(b"\n") + 1)
            if len(records) == 1:
                return self._completed([])
            records[0] = self._close()
        elif self.lines:
            records.insert(0, self._close())
        self.began = True
        last = records.pop()
        self._add(last, last.count(b"\n") + 1)
        return self._completed(records)

    def feed_texts(self, texts: list[str]) -> list[tuple[bytes, int]]:
        """``feed`` for lines without their newlines, which may hold some inside. Returns records, and of how many lines
        each was made.
        """
        data = ("\n".join(texts) + "\n").encode()
        if data.count(b"\n") != len(texts):
            return self._slowly([text.encode() for text in texts])
        return [(record, record.count(b"\n") + 1) for record in self.feed(data)] if texts else []

    def close(self) -> bytes | None:
        """The open record: nothing is to be added to it."""
        return self._close() if self.lines else None

    def _completed(self, records: list[bytes]) -> list[bytes]:
        if self._logic.complete():
            records.append(self._close())
        return records

    def _slowly(self, lines: list[bytes]) -> list[tuple[bytes, int]]:
        """Line by line, within the bounds."""
        records = []
        self.began = False
        for line in lines:
            count = self.lines
            if not (
                count
                and self._logic.goes_on(line)
                and count < self._max_lines
                and self._size + 1 + len(line) <= self._max_bytes
            ):
                if count:
                    records.append((self._close(), count))
                self._logic.begin(line)
                self.began = True
            self._add(line, 1)
            if self._logic.complete():
                count = self.lines
                records.append((self._close(), count))
        return records

    def _fits(self, record: bytes) -> bool:
        size = len(record)
        # replace counts newlines twice as fast as count.
        lines_fit = size < self._max_lines or size - len(record.replace(b"\n", b"")) < self._max_lines
        return lines_fit and size <= self._max_bytes

    def _fits_on(self, first: bytes) -> bool:
        lines = self.lines + first.count(b"\n") + 1
        return lines <= self._max_lines and self._size + 1 + len(first) <= self._max_bytes

    def _add(self, text: bytes, lines: int) -> None:
        self._open.append(text)
        self._size += 1 + len(text)
        self.lines += lines

    def _close(self) -> bytes:
        record = self._open[0] if len(self._open) == 1 else b"\n".join(self._open)
        self._open, self._size, self.lines = [], -1, 0
        return record
