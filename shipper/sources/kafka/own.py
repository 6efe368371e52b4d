"""Records that a Kafka sink of shipper wrote, as they were before. Sans-IO.

The sink (``shipper.sinks.kafka.records``) makes a flat JSON object of a record and its labels; into the headers it puts
the record's identity, ``_stream``, ``_seq``, ``_index`` and where it has one ``_sub``, and the labels. From both the
frame is made again: its labels, its records, their identity, the time at which they were read. So what passes through
Kafka on its way to a file looks there as if it had come from the agent directly, and doubles can be told as ever.

What differs in the object from record to record is the record's own; behind it stand the labels and ``_read_at``, as
the same bytes in all objects of a frame. Cutting them off is one replacement of bytes for all. Only objects in which a
name of a label was the record's too are decoded.

Whoever may write to the topic can write such headers. Whatever is not as the sink writes it is another program's.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias

from shipper.batch import Format, Labels, Origin, Payload, Record
from shipper.chain.decode import decode_json
from shipper.chain.encode import encode_json
from shipper.chain.flat import merge, rfc3339

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]

_READ_AT: Final = "_read_at"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS: Final = 18
"""Of a number; frames and their records have 64 bits for it."""


class Run(NamedTuple):
    """Records that follow each other and come from one frame, or from other programs."""

    start: int
    end: int
    ours: bool


class Restored(NamedTuple):
    """Some records of a frame as they were."""

    labels: Labels
    payload: Payload
    origin: Origin
    indices: list[int] | None
    """None: 0, 1, 2 ..."""
    subs: list[int] | None
    read_at: int | None
    """Microseconds since 1970; None: the sink did not write it."""


def runs(headers: Sequence[Headers]) -> Iterator[Run]:
    """Where the records of a frame begin and end, by all records' headers."""
    start = 0
    while start < len(headers):
        first = headers[start]
        frame, end = _frame(first), start + 1
        if frame is None:
            while end < len(headers) and _frame(headers[end]) is None:
                end += 1
        else:
            size, length = len(frame), len(first)
            while end < len(headers) and headers[end][:size] == frame and len(headers[end]) == length:
                end += 1
        yield Run(start, end, frame is not None)
        start = end


def restore(headers: Sequence[Headers], values: Sequence[bytes | None]) -> Restored | None:
    """The records of a run as they were; None where they are not what the sink writes."""
    frame = _frame(headers[0])
    there = [value for value in values if value is not None]
    if frame is None or len(there) < len(values):
        return None
    data = b"\n".join(there) + b"\n"
    if data.count(b"\n") != len(there):
        return None
    try:
        origin = Origin(_stream(frame[0][1]), _number(frame[1][1]))
        indices = _numbers(headers, len(frame), "_index")
        subs = _numbers(headers, len(frame) + 1, "_sub") if len(headers[0]) > len(frame) + 1 else None
        first = decode_json(there[0])
    except ValueError:
        return None
    read_at = _read_at(first)
    extra = {} if read_at is None else {_READ_AT: first[_READ_AT]}
    for labels in _labels(first, frame[2:]):
        constants = encode_json(labels | extra)[1:-1]
        tail = b"," + constants + b"}\n" if constants else b"}\n"
        if _cut(there[0], tail, labels, extra) is not None:
            break
    if data.count(tail) == len(there):
        data = data.replace(tail, b"}\n")
    else:
        data = b"".join([_cut(value, tail, labels, extra) or value + b"\n" for value in there])
    whole = indices == list(range(len(there)))
    return Restored(labels, Payload(Format.NDJSON, data, len(there)), origin, None if whole else indices, subs, read_at)


def _frame(headers: Headers) -> Headers | None:
    """The headers that all records of a frame have; None where another program wrote the record."""
    if len(headers) < 3 or headers[0][0] != "_stream" or headers[1][0] != "_seq":
        return None
    if headers[-1][0] == "_index":
        return headers[:-1]
    return headers[:-2] if headers[-1][0] == "_sub" and headers[-2][0] == "_index" else None


def _stream(text: bytes | None) -> bytes:
    """:raises ValueError: it is no stream's id."""
    stream = bytes.fromhex((text or b"").decode("ascii"))
    if len(stream) != 16:
        raise ValueError
    return stream


def _number(text: bytes | None) -> int:
    """:raises ValueError: it is no number of a frame."""
    return _decoded([text])[0]


def _numbers(headers: Sequence[Headers], at: int, name: str) -> list[int]:
    """The values of the header of this name, which stands at the same place everywhere.

    :raises ValueError: it does not, or one is no number of a record.
    """
    if {each[at][0] for each in headers} != {name}:
        raise ValueError
    return _decoded([each[at][1] for each in headers])


def _decoded(texts: Sequence[bytes | None]) -> list[int]:
    there = [text for text in texts if text]
    if len(there) < len(texts) or not b"".join(there).isdigit() or max(map(len, there)) > _DIGITS:
        raise ValueError
    return list(map(int, there))


def _labels(flat: Record, headers: Headers) -> Iterator[Labels]:
    """What the labels may have been. The headers hold them as text: of which type they are tells the object, where
    either a label stands under its name, or among those that had to make way for a field.
    """
    for places in ((flat, *_objects(flat, "labels", "_labels")), (*_objects(flat, "labels", "_labels"), flat)):
        yield {name: _label(places, name, text or b"") for name, text in headers}


def _label(places: Sequence[Record], name: str, text: bytes) -> Any:
    """The first value of this name that the header may have been made of; else the header's text."""
    for place in places:
        if name in place:
            value = place[name]
            if text == (value.encode("utf-8", "surrogatepass") if isinstance(value, str) else encode_json(value)):
                return value
    return text.decode("utf-8", "replace")


def _read_at(flat: Record) -> int | None:
    """When the frame of this object was read. What the sink writes stands last, or it has put a field of that name
    aside; else it is the application's.
    """
    text = flat.get(_READ_AT)
    put_aside = any(_READ_AT in fields for fields in _objects(flat, "_fields"))
    if not isinstance(text, str) or (next(reversed(flat)) != _READ_AT and not put_aside):
        return None
    try:
        microseconds = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError):
        return None
    return microseconds if rfc3339(microseconds) == text else None


def _cut(value: bytes, tail: bytes, labels: Labels, extra: Labels) -> bytes | None:
    """One record as a line, without what was added to it; None where it is not an object with these labels."""
    line = value + b"\n"
    if line.endswith(tail):
        return line[: -len(tail)] + b"}\n"
    try:
        record = _unmerged(decode_json(value), labels, extra)
    except ValueError:
        return None
    return None if record is None else encode_json(record) + b"\n"


def _unmerged(flat: Record, labels: Labels, extra: Labels) -> Record | None:
    """The record that gives this object with these labels; None where there is none."""
    for hidden, aside in product(({}, *_objects(flat, "labels", "_labels")), (*_objects(flat, "_fields"), {})):
        own = {
            name: aside.get(name, value)
            for name, value in flat.items()
            if name in aside
            or (
                value is not hidden
                and value is not aside
                and name not in extra
                and (name not in labels or name in hidden)
            )
        }
        record = own | aside
        merged = merge(record, labels, extra)
        if merged == flat and list(merged) == list(flat):  # in its order, which tells fields from labels
            return record
    return None


def _objects(flat: Record, *names: str) -> list[dict[str, Any]]:
    return [flat[name] for name in names if isinstance(flat.get(name), dict)]
