"""From Kafka's records to payloads. Sans-IO.

A value is a raw record, its bytes as they are, as a line of a file is: ``LINES``, or ``SIZED`` where one holds a
newline. Where something that belongs into a record stands beside its value, all that are read with it are objects:

- ``message``: the value, text; null for a tombstone (a key that was deleted from a compacted topic)
- ``key``, ``headers``: those of the records that have some; a header that stands there several times is a list
- the offset and Kafka's time, under the names that the config gives them

Records that a sink of shipper wrote become what they were before (``own``).

Bytes that are not UTF-8 are U+FFFD there, and counted.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

from shipper.batch import Format, Labels, Origin, Payload, Record
from shipper.chain.flat import rfc3339
from shipper.sources.kafka.own import restore, runs

_value = attrgetter("value")
_key = attrgetter("key")
_header = attrgetter("headers")
_time = attrgetter("timestamp")


class Names(NamedTuple):
    """Under which names what stands beside a value goes into the record; None: it does not."""

    key: str | None
    headers: str | None
    timestamp: str | None
    offset: str | None


class Content(NamedTuple):
    """What a batch holds."""

    labels: Labels
    payload: Payload | list[Record]
    origin: Origin | None = None
    indices: list[int] | None = None
    subs: list[int] | None = None
    read_at: int | None = None
    """When the records were read first, where that is known: microseconds since 1970."""
    first: int = 0
    """The offset of its first record."""
    time: int = -1
    """The latest time of a record, as Kafka has it: milliseconds since 1970."""

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self.payload) if isinstance(self.payload, list) else self.payload.count


class Rows(NamedTuple):
    """Records that follow each other."""

    records: list[Any]
    """aiokafka's."""
    values: list[bytes | None]
    """Their values: each is asked for once."""

    @classmethod
    def of(cls, records: list[Any]) -> "Rows":
        """Some of aiokafka's records."""
        return cls(records, list(map(_value, records)))

    def add(self, more: "Rows") -> None:
        """Records that come after these."""
        self.records.extend(more.records)
        self.values.extend(more.values)


def pieces(rows: Rows, room: int, limit: int) -> list[tuple[Rows, int]]:
    """The records, none twice and in order, in pieces of at most ``limit`` bytes, the first one at most ``room`` (it
    may be empty), and how many bytes each has: of values, with a newline after each. A larger record is a piece of its
    own.
    """
    records, values = rows
    sizes = map(len, values if None not in values else [value or b"" for value in values])  # type: ignore[arg-type]
    ends = [end + at for at, end in enumerate(accumulate(sizes), 1)]
    if not ends or ends[-1] <= room:
        return [(rows, ends[-1] if ends else 0)]
    cut: list[tuple[Rows, int]] = []
    start = before = 0
    while start < len(ends):
        end = bisect_right(ends, before + (limit if cut else room), start)
        if cut:
            end = max(end, start + 1)
        after = ends[end - 1] if end else 0
        cut.append((Rows(records[start:end], values[start:end]), after - before))
        start, before = end, after
    return cut


class Maker:
    """Makes the contents of batches; one a source."""

    def __init__(self, names: Names, replaced: Callable[[int], None]) -> None:
        """``replaced`` is told how many records had bytes that are no text, where text had to be made of them."""
        self._names = names
        self._replaced = replaced

    def contents(self, rows: Rows, generation: bytes, labels: Labels) -> list[Content]:
        """The contents of the batches of some records of a partition, at least one, in order.

        A record's identity is the partition's generation and, as number and index together, its offset.
        """
        headers = list(map(_header, rows.records))
        if not any(headers):
            return [self._plain(rows, generation, labels)]
        made = []
        for start, end, ours in runs(headers):
            some = Rows(rows.records[start:end], rows.values[start:end])
            restored = restore(headers[start:end], some.values) if ours else None
            if restored is None:
                made.append(self._plain(some, generation, labels))
            else:
                made.append(Content(*restored, some.records[0].offset, _latest(some.records)))
        return made

    def _plain(self, rows: Rows, generation: bytes, labels: Labels) -> Content:
        """Records of other programs."""
        records = rows.records
        first = records[0].offset
        dense = records[-1].offset - first == len(records) - 1
        indices = None if dense else [record.offset - first for record in records]
        return Content(
            labels, self._payload(rows), Origin(generation, first), indices, first=first, time=_latest(records)
        )

    def _payload(self, rows: Rows) -> Payload | list[Record]:
        names, (records, values) = self._names, rows
        if not (
            names.timestamp is not None
            or names.offset is not None
            or (names.key is not None and list(map(_key, records)).count(None) < len(records))
            or (names.headers is not None and any(map(_header, records)))
        ):
            payload = raw(values)
            if payload is not None:
                return payload
        made = [_object(record, names) for record in records]
        self._replaced(sum(odd for _, odd in made))
        return [record for record, _ in made]


def _latest(records: list[Any]) -> int:
    latest: int = max(map(_time, records))
    return latest


def raw(values: list[bytes | None]) -> Payload | None:
    """Values as they are; None where one of them is a tombstone."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return None
    data = b"\n".join(there) + b"\n"
    if data.count(b"\n") != len(there):
        return Payload.sized(there)
    return Payload(Format.LINES, data, len(there))


def _object(record: Any, names: Names) -> tuple[Record, bool]:
    """A record with what stands beside its value, and whether something in it was no text."""
    texts = _Texts()
    made: Record = {"message": texts(record.value)}
    if names.key is not None and record.key is not None:
        made[names.key] = texts(record.key)
    if names.headers is not None and record.headers:
        made[names.headers] = _headers(record.headers, texts)
    if names.offset is not None:
        made[names.offset] = record.offset
    if names.timestamp is not None and record.timestamp >= 0:
        made[names.timestamp] = rfc3339(record.timestamp * 1000)
    return made, texts.replaced


def _headers(headers: Sequence[tuple[str, bytes | None]], texts: "_Texts") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in headers:
        text = texts(value)
        if name not in made:
            made[name] = text
        elif isinstance(made[name], list):
            made[name].append(text)
        else:
            made[name] = [made[name], text]
    return made


class _Texts:
    """Text of one record's bytes."""

    __slots__ = ("replaced",)

    def __init__(self) -> None:
        self.replaced = False

    def __call__(self, data: bytes | None) -> str | None:
        if data is None:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.replaced = True
            return data.decode("utf-8", "replace")
