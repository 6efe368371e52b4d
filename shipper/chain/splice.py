"""Changed fields back into a line's own bytes. Sans-IO."""

from collections.abc import Mapping, Sequence
from itertools import compress
from operator import is_not
from typing import Any, Final

from shipper.batch import Record
from shipper.chain.encode import encode_json, encode_lines

MISSING: Final[Any] = object()
"""The value of a field that is not there."""
_BLANKS: Final = b" \t\r\n"


def changes(
    columns: Mapping[str, list[Any]], records: Sequence[Record], lines: Sequence[bytes | None]
) -> tuple[dict[int, Record], list[int]]:
    """What became of fields whose first values stand in ``columns``: the rows to which fields came, with these fields;
    and the rows in which a field that was there is another now, or gone, or may be (objects and lists change in place).
    Rows without a line are not looked at.
    """
    added: dict[int, Record] = {}
    changed: set[int] = set()
    for name, before in columns.items():
        after = [record.get(name, MISSING) for record in records]
        for at in _differing(before, after):
            if lines[at] is None:
                continue
            if before[at] is MISSING:
                added.setdefault(at, {})[name] = after[at]
            elif not (type(before[at]) is type(after[at]) is str and before[at] == after[at]):
                changed.add(at)
    for at in changed:
        added.pop(at, None)
    return added, sorted(changed)


def splice(lines: list[bytes | None], added: Mapping[int, Record]) -> list[int]:
    """Put fields into JSON objects that do not have them. Returns the rows whose fields cannot be written."""
    try:
        texts = encode_lines([*added.values()]).split(b"\n") if added else []
    except ValueError:
        return [at for at, fields in added.items() if not _spliced(lines, at, fields)]
    for at, text in zip(added, texts, strict=False):
        lines[at] = _joined(lines[at] or b"", text)
    return []


def apply(record: Record, source: Record, names: Mapping[str, Any]) -> None:
    """Have these fields in ``record`` as they are in ``source``."""
    for name in names:
        value = source.get(name, MISSING)
        if value is not MISSING:
            record[name] = value
        elif name in record:
            del record[name]


def _differing(before: list[Any], after: list[Any]) -> list[int]:
    found = list(compress(range(len(before)), map(is_not, before, after)))
    if {dict, list}.isdisjoint(map(type, before)):
        return found
    return sorted({*found, *(at for at, value in enumerate(before) if isinstance(value, (dict, list)))})


def _spliced(lines: list[bytes | None], at: int, fields: Record) -> bool:
    try:
        lines[at] = _joined(lines[at] or b"", encode_json(fields))
    except ValueError:
        return False
    return True


def _joined(line: bytes, fields: bytes) -> bytes:
    head = line.rstrip(_BLANKS)[:-1]
    return (head if head.rstrip(_BLANKS)[-1:] == b"{" else head + b",") + fields[1:]
