"""Lines and records that every processor must stand; the conformance suite in ``shipper.testing`` uses them."""

from typing import Any, Final

from shipper.batch import Record

HOSTILE_LINES: Final[tuple[bytes, ...]] = (
    b"",
    b" ",
    b"\0",
    b"\xff\xfe\x80",
    b"{",
    b"{}",
    b"{}{}",
    b"null",
    b'"text"',
    b'{"message":null}',
    b'{"a":"\\ud800"}',
    b'{"a":1e999,"b":NaN}',
    b'{"a":' * 3000,
    b"x" * 100_000,
    b"\x1b[31mred\x1b[0m\r",
    "\u0663 \u00e9 \U0001f98a \u2028".encode(),
)
_DEEP: dict[str, Any] = {"message": "deep"}
for _ in range(100):
    _DEEP = {"message": _DEEP}
HOSTILE_RECORDS: Final[tuple[Record, ...]] = (
    {},
    {"": ""},
    {"message": None},
    {"message": True},
    {"message": 2**80},
    {"message": -1.5e300},
    {"message": []},
    {"message": {"message": {}}},
    {"level": {"level": 1}, "message": ["a", None]},
    {"parse_error": 1, "processor_error": 2, "labels": 3},
    _DEEP,
)
