"""Names of fields in settings, nested ones too: read once, then used on every record.

A name is written as in a condition: ``status``, ``http.status``, ``field('a.b')`` for a name with a dot in it,
``field('http', 'user-agent')``. Here the name is all there is, so other odd characters need no ``field``:
``@timestamp`` and ``http.user-agent`` are names too. The names are looked up in the record only, never in its labels.
"""

import ast
import re
from typing import Any, Final, TypeAlias

from shipper import Record

Path: TypeAlias = tuple[str, ...]
"""The parts of a name, outermost first; never empty. The first is what ``reads`` and ``writes`` want to know."""
ABSENT: Final[Any] = object()
"""What stands for a field that is not there. A field that is null is there."""
MAX_DEPTH: Final = 50
"""A name has at most so many parts, as in a condition: records of any depth can be encoded."""

_PLAIN: Final = re.compile(r"[^\W\d]\w*")


def parse(name: str) -> Path:
    """The path of a name.

    :raises ValueError: it is none; the message says what would be.
    """
    parts = _quoted(name) if name.startswith("field(") else tuple(name.split("."))
    if name != name.strip() or ("" in parts and not name.startswith("field(")):
        hint = "; a name with odd dots or blanks is written field('a.b')" if name else ""
        raise ValueError(f"{name!r} is not a field's name{hint}")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"the name {name[:40]}... is nested too deep: at most {MAX_DEPTH} parts")
    return parts


def pairs(names: dict[str, str], verb: str) -> list[tuple[Path, Path]]:
    """The paths of a setting that gives names other names.

    :raises ValueError: there are none, or one is no name, or is to become itself.
    """
    if not names:
        raise ValueError(f"fields is empty: say what to {verb}, as in fields: {{msg: message}}")
    found = [(parse(old), parse(new)) for old, new in names.items()]
    same = next((show(old) for old, new in found if old == new), None)
    if same is not None:
        raise ValueError(f"{same} stands on both sides: nothing is there to {verb}")
    return found


def show(path: Path) -> str:
    """The name of a path, as a condition would write it."""
    if all(map(_PLAIN.fullmatch, path)):
        return ".".join(path)
    return f"field({', '.join(map(repr, path))})"


def top(name: str, setting: str) -> str:
    """The name of a field that is inside no other. :raises ValueError: it is, or it is no field's name."""
    path = parse(name)
    if len(path) > 1:
        raise ValueError(
            f"{setting} is {name}, inside {path[0]}: it must be at the top; a name with a dot is field({name!r})"
        )
    return path[0]


def get(record: Record, path: Path) -> Any:
    """The value of a field, ABSENT where there is none."""
    value: Any = record
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return ABSENT
        value = value[part]
    return value


def put(record: Record, path: Path, value: Any) -> None:
    """Set a field; objects on the way to it that are missing are made.

    :raises ValueError: something on the way is there and is not an object; the record is as it was.
    """
    *parents, last = path
    inner = record
    for depth, part in enumerate(parents, 1):
        found = inner.get(part, ABSENT)
        if found is ABSENT:
            for name in parents[depth - 1 :]:
                inner = inner.setdefault(name, {})
            break
        if not isinstance(found, dict):
            raise ValueError(f"{show(path)} cannot be set: {show(path[:depth])} is not an object")  # noqa: TRY004 - of a record
        inner = found
    inner[last] = value


def pop(record: Record, path: Path) -> Any:
    """Take a field out and return its value, ABSENT where there is none. An object that becomes empty stays."""
    *parents, last = path
    inner = get(record, tuple(parents))
    return inner.pop(last, ABSENT) if isinstance(inner, dict) else ABSENT


def _quoted(name: str) -> Path:
    """``field('http', 'user-agent').name``, read as the conditions read it."""
    after: list[str] = []
    try:
        node = ast.parse(name, mode="eval").body
        while isinstance(node, ast.Attribute):
            after.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args and not node.keywords:
            parts = [ast.literal_eval(argument) for argument in node.args]
            if all(isinstance(part, str) for part in parts):
                return (*parts, *after)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise ValueError(f"{name[:80]!r} is not a field's name; odd names are written field('http', 'user-agent')")
