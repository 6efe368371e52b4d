"""Messages between a process and the children that run processors for it. Sans-IO.

    offset size
     0      4   magic ``SHPM``
     4      4   CRC32C of the body, little-endian
     8      8   length of the body in bytes, little-endian
    16      n   body: pickle, protocol 5

Payloads may follow, as many as the pickle asks for: 8 bytes with the length, little-endian, and the bytes. Only a
parent sends some, so they have no checksum: a child must believe it anyway.

A record holds whatever a processor put into it, integers of any size, dates, tuples; pickle alone keeps all of it as it
is (docs/decisions/150-a-sandbox-is-a-child-of-our-own.md). What comes from a child may be garbage: the checksum tells,
and ``loads`` makes nothing but the types of ``_PLAIN``, so that no byte of a child calls anything here.
"""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import google_crc32c

_HEADER: Final = struct.Struct("<4sIQ")
HEADER_SIZE: Final = _HEADER.size
SIZE: Final = 8
"""Bytes of the length before a payload."""
MAX_MESSAGE: Final = 1024 * 1024 * 1024
"""A message that claims to be larger is garbage."""
NO_RECORD: Final = (1 << 64) - 1
"""In the shared memory of a child, 8 bytes with the index of the record that it has in hand: it has none."""
_crc32c: Callable[[bytes], int] = google_crc32c.value
_MAGIC: Final = b"SHPM"
_PLAIN: Final = frozenset({datetime, date, time, timedelta, timezone, Decimal, UUID, OrderedDict})
"""What may stand in a record beside the built-in types that need no class to be found: numbers, text, lists, sets."""
_BY_NAME: Final = {(kind.__module__, kind.__qualname__): kind for kind in _PLAIN}


class BadMessageError(ValueError):
    """The bytes are no message, or hold what no message may hold."""


def header(body: bytes) -> bytes:
    """What goes before a body."""
    return _HEADER.pack(_MAGIC, _crc32c(body), len(body))


def framed(body: bytes) -> bytes:
    """The message with that body."""
    return header(body) + body


def body_size(head: bytes) -> int:
    """The length of the body that follows a header, in bytes.

    :raises BadMessageError: the bytes are no header.
    """
    magic, _, size = _HEADER.unpack(head)
    if magic != _MAGIC or size > MAX_MESSAGE:
        raise BadMessageError("the bytes are no message")
    return int(size)


def check(head: bytes, body: bytes) -> None:
    """:raises BadMessageError: the body is not the one that the header was made for."""
    if _HEADER.unpack(head)[1] != _crc32c(body):
        raise BadMessageError("the checksum of a message does not match")


def dumps(value: Any) -> bytes:
    """Plain data as a body.

    :raises ValueError: there is something in it that ``loads`` would refuse, or it is nested too deep.
    """
    out = io.BytesIO()
    try:
        _Pickler(out, 5).dump(value)
    except RecursionError:
        raise ValueError("nested too deep to leave its process") from None
    return out.getvalue()


def loads(body: bytes) -> Any:
    """The plain data of a body, from wherever it comes.

    :raises BadMessageError: it is none.
    """
    try:
        return _Unpickler(io.BytesIO(body)).load()
    except Exception as error:
        raise BadMessageError(f"a message cannot be read: {error!r}") from error


class _Pickler(pickle.Pickler):
    """Asked only for what is no built-in type: it costs plain records nothing."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) not in _PLAIN and not (isinstance(value, type) and value in _PLAIN):
            raise ValueError(f"a value of type {type(value).__name__} cannot leave its process; make it text or a dict")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _BY_NAME:
            raise BadMessageError(f"{module}.{name} is no plain data")
        return _BY_NAME[module, name]
