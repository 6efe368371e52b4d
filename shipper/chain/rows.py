"""The records of a batch on a plan's way: their bytes, and beside them as few decoded fields as its steps need.

A row is in one of three states:

    line, no record     nobody looked at it yet
    line and record     the record holds some fields only (of a raw line: all there are); the line is the truth but for
                        the tracked fields, whose first values are remembered to see what became of them
    record, no line     *whole*: the record is all there is, and is encoded at the end

At the end a line whose tracked fields are as they were keeps its bytes; fields that came to it are spliced in; else it
is decoded whole, changed, and encoded.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, compress
from typing import Any, Final

from shipper.batch import Format, Payload, Record
from shipper.chain.decode import decode_text, is_text, objects
from shipper.chain.encode import encode_lines
from shipper.chain.project import Projection
from shipper.chain.search import escapes, lines_with, numbers
from shipper.chain.splice import MISSING, apply, changes, splice

_LATER: Final[Any] = None
"""In place of a record that is not decoded yet."""


class Rows:
    """The rows of one batch."""

    def __init__(self, payload: Payload) -> None:
        self.json = payload.format is Format.NDJSON
        """Lines are JSON objects; else they are raw."""
        self.count = payload.count
        self.decoded = False
        """Every row has a record."""
        self.rewritten = 0
        """How many lines had to be decoded whole, since a field of theirs was changed."""
        self._payload = payload
        self._same = True
        """The lines are those of the payload, all of them, in their bytes."""
        self._lines: list[bytes | None] | None = None
        self._records: list[Record] = []
        self._columns: dict[str, list[Any]] = {}
        """The first values of the tracked fields."""

    @property
    def single(self) -> bool:
        """No line holds a newline."""
        return self._payload.format is not Format.SIZED

    @property
    def lines(self) -> list[bytes | None]:
        """The bytes of each row; None where it is whole."""
        if self._lines is None:
            self._lines = [*self._payload.raw()]
        return self._lines

    @property
    def bare(self) -> bool:
        """No row is whole."""
        return self._lines is None or None not in self._lines

    @property
    def raw(self) -> list[bytes] | None:
        """The lines, if they are raw and nobody looked at one."""
        return self.lines if not (self.json or self.decoded) and self.bare else None  # type: ignore[return-value]

    @property
    def changed(self) -> bool:
        """Records may differ from the bytes that came."""
        return not self.bare or bool(self._columns) or self.json is not (self._payload.format is Format.NDJSON)

    @property
    def data(self) -> bytes:
        """The lines, each with a newline at its end; in place of a whole row an empty one."""
        if self._same and self.single:
            return self._payload.data
        return b"".join([(line or b"") + b"\n" for line in self.lines])

    @property
    def records(self) -> list[Record]:
        """The records, of which those that have a line may hold some fields only, or may not be decoded yet."""
        if not self._records:
            self._records = [_LATER] * self.count
        return self._records

    @property
    def wholes(self) -> list[int]:
        """Which rows are whole."""
        return [] if self.bare else [at for at, line in enumerate(self.lines) if line is None]

    def search(self, texts: Iterable[bytes], *, json: bool) -> list[int]:
        """The rows that may hold one of the texts, in order. ``json``: in a JSON object, however it spells them."""
        if self.single:
            data = self.data
            found = numbers(data, lines_with(texts, data, escaped=json))
        else:
            looked = [*texts, b"\\u"] if json else [*texts]
            found = [at for at, line in enumerate(self.lines) if line is not None and any(t in line for t in looked)]
        return found if self.bare else sorted({*found, *self.wholes})

    def suspects(self, find: Callable[[bytes], list[int] | None]) -> list[int] | None:
        """The rows that ``Processor.suspects`` points at, in order; None where it points at none in particular."""
        data = self.data
        try:
            places: Any = find(data)
        except Exception:  # noqa: BLE001 - then the ordinary way finds out which record it is
            return None
        if not isinstance(places, list) or not all(isinstance(at, int) and 0 <= at < len(data) for at in places):
            return None
        places = sorted({*places, *escapes(data)} if self.json else places)
        if self.single:
            rows = numbers(data, places)
        else:
            ends = list(accumulate(len(line or b"") + 1 for line in self.lines))
            rows = [bisect_right(ends, at) for at in places]
        if not is_text(data):
            rows += [at for at, line in enumerate(self.lines) if line and not is_text(line)]
        return sorted({*rows, *self.wholes})

    def sift(self, texts: Iterable[bytes], *, json: bool) -> Callable[[], list[int]]:
        """Only the rows that may hold one of the texts go on. Returns which they were. None is decoded yet."""
        if self._lines is None and self.single:  # then the others are not even split from each other
            data = self.data
            starts = lines_with(texts, data, escaped=json)
            self._lines = [data[start : data.index(b"\n", start)] for start in starts]
            chosen = partial(numbers, data, starts)
        else:
            found, lines, records = self.search(texts, json=json), self.lines, self.records
            self._lines = [lines[at] for at in found]
            self._records = [records[at] for at in found]
            chosen = partial(list, found)
        self._same, self.count = False, len(self._lines)
        return chosen

    def select(self, mask: Sequence[int]) -> None:
        """Only the rows that the mask has go on."""
        self._lines = list(compress(self.lines, mask))
        self._records = list(compress(self._records, mask))
        self._columns = {name: list(compress(column, mask)) for name, column in self._columns.items()}
        self._same, self.count = False, len(self._lines)

    def replace(self, records: list[Record], sources: Callable[[], list[int]] | None) -> None:
        """Other records stand in place of those there were; ``sources``: see ``Outcome``."""
        self._records = [*records]  # whoever made the list may look into it later, to say which record is which
        if sources is not None:
            found, lines = sources(), self.lines
            self._lines = [lines[at] for at in found]
            self._columns = {name: [column[at] for at in found] for name, column in self._columns.items()}
            self._same, self.count = False, len(found)

    def rewrite(self, lines: Sequence[bytes | None]) -> None:
        """Raw lines became JSON objects; None where one became none, and is whole."""
        self._lines, self._same, self.json = [*lines], False, True

    def whole(self, places: list[int]) -> None:
        """Decode these rows in full: from here on the record is all there is."""
        lines, records = self.lines, self.records
        for at, record in zip(places, self.full(places), strict=True):
            records[at] = record
            lines[at] = None

    def full(self, places: list[int]) -> list[Record]:
        """The records of these rows in full; the rows stay as they are."""
        lines, records = self.lines, self.records
        found = [records[at] for at in places]
        if self.json or not self.decoded:
            pending = [(number, line) for number, at in enumerate(places) if (line := lines[at]) is not None]
            bare = [line for _, line in pending]
            made = objects(bare) if self.json else _texts(bare)
            for (number, _), record in zip(pending, made, strict=True):
                if self._columns:
                    apply(record, found[number], self._columns)
                found[number] = record
        return found

    def keep(self, at: int, record: Record) -> None:
        """Have this record in place of a row: it is all there is."""
        self.records[at] = record
        self.lines[at] = None

    def peek(self, projection: Projection, places: list[int]) -> list[Record]:
        """Some fields of some rows, of which none is decoded yet unless it is whole."""
        lines = [self.lines[at] for at in places]
        bare = [line for line in lines if line is not None]
        found = iter(_few(projection, bare) if self.json else _texts(bare))
        return [self.records[at] if line is None else next(found) for at, line in zip(places, lines, strict=True)]

    def project(self, projection: Projection) -> list[Record | ValueError]:
        """Take the lines for JSON objects and decode some fields of each; in place of a line that is none what is wrong
        with it. Text that is not UTF-8 is repaired in the lines. No row is whole, no line holds a newline.
        """
        lines: list[Any] = self.lines
        data = self.data
        if not is_text(data):
            lines = [line.decode("utf-8", "replace").encode() for line in lines]
            self._lines = [*lines]
            self._same, data = False, b"".join([line + b"\n" for line in lines])
        self.json = True
        return projection.decode(data, lines)

    def decode(self, projection: Projection) -> None:
        """Have a record in every row. What should be a JSON object and is none becomes whole."""
        if not self.json:
            self._records = self.peek(projection, list(range(self.count)))
        elif self.bare:
            self._put(range(self.count), self.project(projection))
        else:
            places = [at for at, line in enumerate(self.lines) if line is not None]
            lines = [line for line in self.lines if line is not None]
            self._put(places, projection.decode(b"".join([line + b"\n" for line in lines]), lines))
        self.decoded = True

    def _put(self, places: Sequence[int], found: Sequence[Record | ValueError]) -> None:
        bad = []
        for at, record in zip(places, found, strict=True):
            if isinstance(record, ValueError):
                bad.append(at)
            else:
                self.records[at] = record
        self.whole(bad)

    def track(self, names: Iterable[str]) -> None:
        """Remember the first values of these fields. All rows are decoded."""
        self._columns = {name: [record.get(name, MISSING) for record in self._records] for name in names}

    def unpack(self) -> list[Record]:
        """All records in full. The rows are not to be used any more."""
        if self.bare and not self._records:
            lines: Any = self.lines
            return objects(lines) if self.json else _texts(lines)
        self.whole(list(range(self.count)))
        return self.records

    def pack(self) -> tuple[Payload | None, list[bytes | None]]:
        """The payload, or the lines of it; None stands for each whole row, which is to be encoded."""
        if self._columns:
            self._write_back()
        payload = self._payload
        kind = Format.NDJSON if self.json else payload.format
        if self.bare and self._same:
            return payload if kind is payload.format else Payload(kind, payload.data, self.count), []
        lines = self.lines
        if self.bare:
            left: list[Any] = lines
            if kind is Format.SIZED:
                return Payload.sized(left), []
            return Payload(kind, b"\n".join([*left, b""]), len(left)), []
        if not self.json:
            texts = encode_lines(_texts([line for line in lines if line is not None])).split(b"\n")
            rest = iter(texts)
            lines = [None if line is None else next(rest) for line in lines]
        return None, lines

    def _write_back(self) -> None:
        """What became of the tracked fields goes into the lines."""
        lines = self.lines
        added, changed = changes(self._columns, self._records, lines)
        if self.json:
            self.rewritten += len(changed) + len(added) // 3  # to add something to nearly all is dearer, too
            self.whole(changed + splice(lines, added))
            self._same = self._same and not added
        else:
            self.whole([*changed, *added])
        self._columns = {}


def _texts(lines: list[bytes]) -> list[Record]:
    return [{"message": text} for text in decode_text(lines)[0]]


def _few(projection: Projection, lines: list[bytes]) -> list[Record]:
    """Some fields of JSON objects; of what is none, what is made of it elsewhere."""
    found = projection.decode(b"".join([line + b"\n" for line in lines]), lines)
    return [objects([line])[0] if isinstance(r, ValueError) else r for r, line in zip(found, lines, strict=True)]
