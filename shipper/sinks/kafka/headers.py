"""The headers of messages: who the record is, and the labels of its frame. Sans-IO."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from shipper.chain.encode import encode_json
from shipper.kafka.batch import Header, header, headers
from shipper.spool.frame import Frame

NO_HEADERS: Final[tuple[bytes, list[bytes]]] = (headers([]), [])
_IDENTITY: Final = frozenset({"_stream", "_seq", "_index", "_sub"})
_REMEMBERED: Final = 4096
"""So many records of a frame have their header ``_index`` ready: few frames have more."""


def headers_of(frame: Frame) -> tuple[bytes, list[bytes]]:
    """The headers that are the same for all records, and those that are not: index, and sub-index if any."""
    stream, seq, indices = frame.identities()
    subs = frame.meta.subs
    constant: list[Header] = [("_stream", stream.hex().encode()), ("_seq", b"%d" % seq)]
    constant += [(name, _text(value)) for name, value in frame.labels.items() if name not in _IDENTITY]
    marks = _index_headers(indices)
    if subs is not None:
        marks = [mark + header("_sub", b"%d" % sub) for mark, sub in zip(marks, subs, strict=True)]
    return headers(constant, 1 if subs is None else 2), marks


def _index_headers(indices: Sequence[int]) -> list[bytes]:
    """The header ``_index`` of each record."""
    count = len(indices)
    if count > _REMEMBERED or indices != range(count):
        return [header("_index", b"%d" % index) for index in indices]
    return _first_indices(1 << (count - 1).bit_length())[:count]


@lru_cache(maxsize=4)
def _first_indices(count: int) -> list[bytes]:
    """The header ``_index`` of records 0 to ``count`` - 1."""
    return [header("_index", b"%d" % index) for index in range(count)]


def _text(value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else encode_json(value)
