"""Tables in files: rows of fields by a key. Processors of several sources that use one file share it in memory."""

import csv
import io
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from sys import getsizeof
from typing import Any, Final, NamedTuple

import msgspec

from shipper_processors._csv import rows as _csv_rows

_SHARED: Final[weakref.WeakValueDictionary["tuple[Spec, Version]", "Table"]] = weakref.WeakValueDictionary()
_ENTRY: Final = 100
"""Bytes that a row's place in the table takes, about."""


class Spec(NamedTuple):
    """Which table."""

    path: Path
    format: str
    """``csv`` or ``json``."""
    column: str | None
    """The column that holds the key; None: the first of a CSV file, the names of a JSON object."""
    columns: tuple[str, ...] | None
    """The columns that are wanted; None: all but the key's."""
    max_bytes: int
    """The memory that the table may take."""


class Version(NamedTuple):
    """What tells one state of a file from another."""

    inode: int
    size: int
    changed: int
    """When it was written to, in nanoseconds: compared for being another one."""


class Table:
    """The rows of a file, by key."""

    def __init__(self, spec: Spec, version: Version, columns: tuple[str, ...]) -> None:
        self.version = version
        self.columns = columns
        self.rows: dict[str, dict[str, Any]] = {}
        self._spec = spec
        self._size = 0
        self._texts: dict[str, str] = {}

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Add a row; it takes the place of an earlier one of that key.

        :raises ValueError: the table takes too much memory.
        """
        known = {name: self._known(value) for name, value in row.items()}
        self.rows[self._known(key)] = known
        self._size += getsizeof(known) + _ENTRY
        if self._size > self._spec.max_bytes:
            raise ValueError(
                f"it takes more than {self._spec.max_bytes:,} bytes of memory ({len(self.rows):,} rows do); take fewer "
                "columns, or raise max_bytes"
            )

    def done(self) -> None:
        """There are no more rows."""
        self._texts = {}

    def _known(self, value: Any) -> Any:
        """The value, once in memory for all that are equal."""
        if not isinstance(value, str):
            self._size += _deep_size(value)
            return value
        known = self._texts.setdefault(value, value)
        self._size += getsizeof(value) if known is value else 0
        return known


def version_of(path: Path) -> Version:
    """The state of the file now. :raises OSError: it cannot be asked for."""
    found = os.stat(path)
    return Version(found.st_ino, found.st_size, found.st_mtime_ns)


def table(spec: Spec) -> Table:
    """The table as it is in the file now.

    :raises ValueError: it cannot be read, or it is no such table; the message says why.
    """
    try:
        key = spec, version_of(spec.path)
        found = _SHARED.get(key)
        if found is None:
            found = _SHARED[key] = _loaded(*key)
    except OSError as error:
        raise ValueError(f"the table {spec.path} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"the table {spec.path} cannot be used: {error}") from None
    return found


def _loaded(spec: Spec, version: Version) -> Table:
    if version.size > spec.max_bytes:
        raise ValueError(f"the file has {version.size:,} bytes, which is more than max_bytes, {spec.max_bytes:,}")
    data = spec.path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start + 1})") from None
    columns, rows = _csv(spec, text) if spec.format == "csv" else _json(spec, text)
    wanted = tuple(columns) if spec.columns is None else spec.columns
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ValueError(f"it has no column {missing[0]}; there are {', '.join(list(columns)[:20])}")
    made = Table(spec, version, wanted)
    for key, row in rows:
        made.add(key, {name: row[name] for name in wanted if name in row})
    made.done()
    if version_of(spec.path) != version:
        raise ValueError("it was written to while it was read")
    return made


_Rows = Iterator[tuple[str, dict[str, Any]]]


def _csv(spec: Spec, text: str) -> tuple[dict[str, None], _Rows]:
    lines = _csv_rows(io.StringIO(text, newline=""))
    header: list[str] = next(lines, [])
    if len(header) < 2 or len(set(header)) < len(header):
        raise ValueError("its first line must name at least two columns, each of them once")
    column = header[0] if spec.column is None else spec.column
    if column not in header:
        raise ValueError(f"it has no column {column}; there are {', '.join(header[:20])}")
    at = header.index(column)

    def rows() -> _Rows:
        for fields in lines:
            if fields and len(fields) != len(header):
                raise ValueError(f"line {lines.line_num} has {len(fields)} fields, the first line names {len(header)}")
            if fields:
                yield fields[at], dict(zip(header, fields, strict=True))

    return dict.fromkeys(name for name in header if name != column), rows()


def _json(spec: Spec, text: str) -> tuple[dict[str, None], _Rows]:
    found = msgspec.json.decode(text)
    pairs: list[tuple[Any, Any]]
    if isinstance(found, dict) and spec.column is None:
        pairs = [(key, row if isinstance(row, dict) else {"value": row}) for key, row in found.items()]
    elif isinstance(found, list) and spec.column is not None and all(isinstance(row, dict) for row in found):
        pairs = [(key_text(row.get(spec.column)), row) for row in found]
    else:
        raise ValueError("it must be an object with a row for each key, or with column a list of objects")
    columns = dict.fromkeys(name for _, row in pairs for name in row if name != spec.column)
    return columns, ((key, row) for key, row in pairs if key is not None)


def key_text(value: Any) -> str | None:
    """A value as a key of a table: text, and whole numbers as they are written. None: it can be none."""
    return value if isinstance(value, str) else str(value) if type(value) is int and abs(value) < 10**30 else None


def _deep_size(value: Any) -> int:
    if isinstance(value, dict):
        return getsizeof(value) + sum(getsizeof(name) + _deep_size(inner) for name, inner in value.items())
    return getsizeof(value) + sum(map(_deep_size, value)) if isinstance(value, list) else getsizeof(value)
