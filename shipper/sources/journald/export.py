r"""The journal export format, as ``journalctl --output=export`` writes it. Sans-IO.

An entry is a line a field, ``NAME=text``, and ends with an empty line. A value that is not printable text is *sized*:
the line is the name alone, then come eight bytes with the length (little-endian), the bytes, and a newline; they may
hold empty lines. A name may stand there several times. The first field is ``__CURSOR``.

A record's fields, and those of the journal that they are made of:

- ``timestamp``: ``_SOURCE_REALTIME_TIMESTAMP``, else ``__REALTIME_TIMESTAMP``
- ``message``: ``MESSAGE``; ``severity`` and ``facility``: the words for ``PRIORITY`` and ``SYSLOG_FACILITY``
- ``hostname``, ``app_name``, ``proc_id``, ``unit``: ``_HOSTNAME``, ``SYSLOG_IDENTIFIER``, ``_PID``, ``_SYSTEMD_UNIT``
- all others under their own names, but for the addresses of the entry (``__CURSOR`` ...)

Values are text; where bytes are not UTF-8 U+FFFD stands for them. A field that the entry has several times is a list.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from shipper.batch import DEAD_LETTER_RAW, Record
from shipper.chain.flat import rfc3339
from shipper.syslog.message import FACILITIES, SEVERITIES

Fields: TypeAlias = dict[str, str | list[str]]
"""The fields of an entry by their names in the journal."""

_LENGTH: Final = 8
_DIGITS: Final = 20
"""Of a number of 64 bits."""
_RENAMED: Final = {
    "_HOSTNAME": "hostname",
    "SYSLOG_IDENTIFIER": "app_name",
    "_PID": "proc_id",
    "_SYSTEMD_UNIT": "unit",
}
_WORDS: Final = {
    "severity": ("PRIORITY", {str(number): word for number, word in enumerate(SEVERITIES)}),
    "facility": ("SYSLOG_FACILITY", {str(number): word for number, word in enumerate(FACILITIES)}),
}
_SEQUENCE: Final = re.compile(r"s=([0-9a-f]{32});i=([0-9a-f]{1,16});")


@dataclass(slots=True, frozen=True)
class Entry:
    """One entry that fits."""

    fields: Fields
    size: int
    """Its length in bytes in the export format."""


@dataclass(slots=True, frozen=True)
class TooLong:
    """An entry that is longer than the limit."""

    head: bytes
    """Its first 64 KiB."""
    size: int

    @property
    def cursor(self) -> str:
        """Its cursor, which is its first field."""
        return self.head.partition(b"\n")[0].partition(b"=")[2].decode("ascii", "replace")


class Entries:
    """Cuts a stream in the export format into entries. Holds at most the entry that is not complete: of one that grows
    beyond ``limit`` bytes its first 64 KiB. The entries are the same for any split of the input.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._head: bytearray | None = None
        """Of the entry that is too long, whose end did not come yet; then ``_held`` begins at a field, or in a line."""
        self._size = 0
        """How much of that one is gone by."""
        self._skip = 0
        """So many bytes to come belong to a sized value of it."""
        self._in_line = False
        """Up to the next newline all belongs to a text of it."""

    def feed(self, data: bytes) -> list[Entry | TooLong]:
        """The next bytes of the stream; what they complete."""
        found: list[Entry | TooLong] = []
        held = self._held
        held += data
        at = 0
        if self._head is not None:
            if not self._pass_over():
                return found
            found.append(self._end_too_long())
        while (end := held.find(b"\n\n", at)) >= 0:
            fields = _plain(bytes(held[at:end]))
            end += 2
            if fields is None:
                end, complete = _walk(held, at)
                if not complete:
                    break
                fields = _fields(held, at)
            size = end - at
            if size <= self._limit:
                found.append(Entry(fields, size))
            else:
                found.append(TooLong(bytes(held[at : at + min(size, DEAD_LETTER_RAW)]), size))
            at = end
        del held[:at]
        if len(held) > self._limit:
            self._head, self._size = bytearray(), 0
            self._pass_over()
        return found

    def _pass_over(self) -> bool:
        """Give away what is held of an entry that is too long, as far as its structure is clear. True at its end."""
        held = self._held
        while True:
            if self._skip:
                self._skip -= self._drop(min(self._skip, len(held)))
                if self._skip:
                    return False
            if self._in_line:
                newline = held.find(b"\n") + 1
                self._drop(newline or len(held))
                self._in_line = not newline
                if self._in_line:
                    return False
            end, complete = _walk(held, 0)
            self._drop(end)
            if complete:
                return True
            newline = held.find(b"\n")
            if newline < 0:
                self._in_line = b"=" in held
                if not self._in_line:
                    return False
            else:
                size = _sized(held, newline + 1)
                if size is None:
                    return False
                self._skip = size

    def _drop(self, size: int) -> int:
        assert self._head is not None  # noqa: S101 - for the type checker
        self._head += self._held[: min(size, DEAD_LETTER_RAW - len(self._head))]
        self._size += size
        del self._held[:size]
        return size

    def _end_too_long(self) -> TooLong:
        assert self._head is not None  # noqa: S101 - for the type checker
        ended = TooLong(bytes(self._head), self._size)
        self._head = None
        return ended


def _plain(text: bytes) -> Fields | None:
    """The fields of an entry without its empty line; None where one is sized or has several values.

    A name without ``=`` stands before the bytes of a sized value, and so in what precedes the first empty line.
    """
    try:
        lines = text.decode().split("\n")
        fields: dict[str, Any] = dict([line.split("=", 1) for line in lines])  # a line without "=" is a ValueError
    except ValueError:
        return None
    return fields if len(fields) == len(lines) else None


def _sized(held: bytearray, at: int) -> int | None:
    """The whole length of what follows a sized field's name, with the newline at its end; None: not there yet."""
    if len(held) < at + _LENGTH:
        return None
    return at + _LENGTH + int.from_bytes(held[at : at + _LENGTH], "little") + 1


def _walk(held: bytearray, at: int) -> tuple[int, bool]:
    """Behind the entry that begins at ``at``, and True; or the start of the first field that is not complete."""
    while True:
        newline = held.find(b"\n", at)
        if newline < 0:
            return at, False
        if newline == at:
            return at + 1, True
        if held.find(b"=", at, newline) < 0:
            end = _sized(held, newline + 1)
            if end is None or end > len(held):
                return at, False
            at = end
        else:
            at = newline + 1


def _values(held: bytearray, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of the complete entry at ``at``."""
    while (newline := held.find(b"\n", at)) != at:
        name, equals, value = bytes(held[at:newline]).partition(b"=")
        at = newline + 1
        if not equals:
            end = _sized(held, at) or 0
            value, at = bytes(held[at + _LENGTH : end - 1]), end
        yield name, value


def _fields(held: bytearray, at: int) -> Fields:
    fields: Fields = {}
    for name, value in _values(held, at):
        key, text = name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        if key not in fields:
            fields[key] = text
        elif isinstance(before := fields[key], list):
            before.append(text)
        else:
            fields[key] = [before, text]
    return fields


def take_cursor(fields: Fields) -> str:
    """The entry's cursor, which is no field of its record; empty where there is none."""
    return _one(fields.pop("__CURSOR", ""))


def sequence(cursor: str) -> tuple[str, int] | None:
    """The id of the journal's numbering and the entry's number in it."""
    match = _SEQUENCE.match(cursor)
    return (match[1], int(match[2], 16)) if match else None


def same_entry(one: str, other: str) -> bool:
    """Two cursors mean the same entry. Numbers differ where journald has copied it (from /run to /var)."""
    parts = [[part for part in cursor.split(";") if part[:2] in {"b=", "m=", "t=", "x="}] for cursor in (one, other)]
    return one == other or (len(parts[0]) == 4 and parts[0] == parts[1])


def to_record(fields: Fields) -> Record:
    """An entry's record. ``fields`` is used up."""
    stamp = _one(fields.pop("__REALTIME_TIMESTAMP", ""))
    stamp = _one(fields.pop("_SOURCE_REALTIME_TIMESTAMP", stamp))
    known = stamp.isdecimal() and len(stamp) <= _DIGITS
    record: Record = {"timestamp": rfc3339(int(stamp))} if known else {}
    for name, (field, words) in _WORDS.items():
        word = words.get(_one(fields.get(field, "")))
        if word is not None:
            record[name] = word
            del fields[field]
    for field, name in _RENAMED.items():
        if field in fields:
            record[name] = fields.pop(field)
    if "MESSAGE" in fields:
        message = fields.pop("MESSAGE")
        record["message"] = message if isinstance(message, str) else "\n".join(message)
    for field in ("__MONOTONIC_TIMESTAMP", "__SEQNUM", "__SEQNUM_ID"):
        fields.pop(field, None)
    record.update(fields)
    return record


def _one(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]
