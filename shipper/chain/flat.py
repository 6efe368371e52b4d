"""A frame's records as flat JSON lines: labels and record merged, for sinks that write one object a record. Sans-IO.

Who wins where names meet, and where the other goes (nothing is lost):

    1. what identifies the record (``_read_at``, ``_stream``, ``_seq``, ``_index``, ``_sub``): a line of somebody's log
       must not pass for another record. The record's own fields of these names go under ``_fields``.
    2. the record: what the application wrote is never replaced. The label goes under ``labels`` (under ``_labels``
       where the record or the labels hold that name already).
    3. the labels.

Few records need a merge. A probe that decodes nothing (msgspec skips what a type does not name) finds out whether a
line holds one of the names, however it is spelled, and that it is an object at all; into the others the constants are
spliced as bytes.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from shipper.batch import Format, Labels, Payload, Record
from shipper.chain.decode import count_invalid, decode_text, objects, raw_record
from shipper.chain.encode import encode_json, encode_lines, encode_records
from shipper.errors import FrameError
from shipper.spool.frame import Frame

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Never: Final = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""No value is of this type: decoding one raises."""
_Mark: TypeAlias = tuple[int, ...]
"""What differs by record: its index, and its sub-index where one became several."""
_MARKS: Final = ("_index", "_sub")
_TRIES: Final = 8
_PLACEHOLDER: Final = b'{"":0'


def flat_lines(frame: Frame, *, identity: bool, read_at: bool, end: bytes = b"\n") -> list[bytes]:
    """One JSON object with ``end`` behind it for each record of the frame.

    ``identity`` adds ``_stream`` (hex), ``_seq`` and ``_index`` (and ``_sub`` where one record became several), by
    which a reader can drop doubles; ``read_at`` adds ``_read_at`` (RFC 3339, UTC, microseconds).

    :raises FrameError: the frame cannot be read.
    """
    payload = frame.payload()
    if payload is None:
        return []
    raw = payload.raw()
    extra: dict[str, Any] = {"_read_at": rfc3339(frame.read_at)} if read_at else {}
    marks: Sequence[_Mark] | None = None
    stream, seq, indices = frame.identities()
    subs = frame.meta.subs
    if {len(raw), len(indices), len(raw if subs is None else subs)} != {frame.records}:
        raise FrameError(f"frame {frame.seq}: {frame.records} records were promised, others came out")
    if identity:
        extra |= {"_stream": stream.hex(), "_seq": seq}
        marks = [(index,) for index in indices] if subs is None else list(zip(indices, subs, strict=True))
    try:
        return _Merger(frame.labels, extra, marks, end).lines(payload, raw)
    except ValueError as error:
        raise FrameError(f"frame {frame.seq}: its labels are not JSON: {error}") from error


def rfc3339(microseconds: int) -> str:
    """Microseconds since 1970 as ``2024-05-01T12:00:00.000001Z``; as a number where no year can be told."""
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return str(microseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def merge(record: Record, labels: Labels, extra: dict[str, Any]) -> Record:
    """The flat record, by the rules above; ``extra`` is what identifies it."""
    flat = {**record, **labels, **record}
    fields = {name: record[name] for name in extra if name in record}
    hidden = {name: value for name, value in labels.items() if name in record or name in extra}
    if hidden:
        place = "_labels" if "labels" in flat else "labels"
        if place in flat:
            fields[place] = flat[place]
        flat[place] = hidden
    if fields:
        if "_fields" in flat:
            fields["_fields"] = flat["_fields"]
        flat["_fields"] = fields
    flat.update(extra)
    return flat


class _Merger:
    """Labels and identity of one frame, ready to go into its records."""

    def __init__(self, labels: Labels, extra: dict[str, Any], marks: "Sequence[_Mark] | None", end: bytes) -> None:
        """:raises ValueError: the labels cannot be written as JSON."""
        self._end = end
        self._labels = labels
        self._extra = extra
        self._marks = marks
        self._reserved = frozenset(extra).union(_MARKS[: len(marks[0])] if marks else ())
        constants = encode_json(labels | extra)[1:-1]
        self._tail = b"," + constants if constants else b""

    def lines(self, payload: Payload, raw: list[bytes]) -> list[bytes]:
        everything = range(len(raw))
        if not self._reserved.isdisjoint(self._labels):
            return self._merged(payload.format, raw, everything)
        if payload.format is not Format.NDJSON:
            if "message" in self._labels:
                return self._merged(payload.format, raw, everything)
            texts = encode_lines(decode_text(raw)[0]).split(b"\n")
            return self._spliced([b'{"message":' + text for text in texts[:-1]])
        odd = self._odd(payload.data, raw)
        if not odd:
            return self._spliced([line[:-1] for line in raw])
        if len(odd) == len(raw):
            return self._merged(payload.format, raw, odd)
        others = [line[:-1] for line in raw]
        for at in odd:
            others[at] = _PLACEHOLDER
        spliced = self._spliced(others)
        for at, line in zip(odd, self._merged(payload.format, raw, odd), strict=True):
            spliced[at] = line
        return spliced

    def _odd(self, data: bytes, raw: list[bytes]) -> list[int]:
        """The lines of NDJSON that cannot be spliced: they hold one of the names, or are not ``{"`` ... ``}``."""
        probe = _probe(self._reserved.union(self._labels))
        odd = {at for at, line in enumerate(raw) if line[-1:] != b"}" or line[1:2] != b'"'}
        if count_invalid(data, raw):
            odd.update(at for at, line in enumerate(raw) if count_invalid(line, [line]))
        at = 0
        while at < len(raw):
            try:
                for at in range(at, len(raw)):  # noqa: B020 - goes on behind the line that raised
                    probe(raw[at])
                break
            except (ValueError, RecursionError):
                odd.add(at)
                at += 1
                if len(odd) > _TRIES and len(odd) > at // 2:
                    return list(range(len(raw)))  # an application that logs a field ``host``: merging all is quicker
        return sorted(odd)

    def _spliced(self, heads: list[bytes]) -> list[bytes]:
        if self._marks is None:
            tail = self._tail + b"}" + self._end
            return [head + tail for head in heads]
        subs = b',"_sub":%d' if "_sub" in self._reserved else b""
        end = self._tail.replace(b"%", b"%%") + b',"_index":%d' + subs + b"}" + self._end
        return [head + end % mark for head, mark in zip(heads, self._marks, strict=True)]

    def _merged(self, kind: Format, raw: list[bytes], which: Sequence[int]) -> list[bytes]:
        chosen = [raw[at] for at in which]
        records = objects(chosen) if kind is Format.NDJSON else [raw_record(line) for line in chosen]
        flat = [merge(record, self._labels, self._identity(at)) for at, record in zip(which, records, strict=True)]
        payload, failures = encode_records(flat)
        if failures:
            for index, error in failures:
                record = {**raw_record(chosen[index]), "parse_error": str(error)}
                flat[index] = merge(record, self._labels, self._identity(which[index]))
            payload, _ = encode_records(flat)
        return [line + self._end for line in payload.raw()]

    def _identity(self, at: int) -> dict[str, Any]:
        return self._extra | dict(zip(_MARKS, self._marks[at], strict=False)) if self._marks else self._extra


@lru_cache(maxsize=64)
def _probe(names: frozenset[str]) -> Callable[[bytes], Any]:
    """Decodes nothing, but raises for a line that is not one JSON object or holds one of the names."""
    fields = [(f"f{number}", _Never | msgspec.UnsetType, msgspec.UNSET) for number in range(len(names))]
    rename = {f"f{number}": name for number, name in enumerate(sorted(names))}
    try:
        return msgspec.json.Decoder(msgspec.defstruct("Probe", fields, rename=rename, gc=False)).decode
    except ValueError:  # msgspec takes no names with quotes, backslashes or control characters
        return _refuse


def _refuse(_line: bytes) -> None:
    raise ValueError
