"""Grok: expressions with names in them, ``%{IP:client}``, put together from a set of named patterns. Sans-IO."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from shipper import Pattern, Record
from shipper_processors._numbers import Convert, converter
from shipper_processors._oniguruma import FLAGS, translated

MAX_LENGTH: Final = 1024 * 1024
"""An expression has at most so many characters when all names in it are replaced."""

_REFERENCE: Final = re.compile(r"%\{(?P<name>\w+)(?::(?P<field>[^:{}]+))?(?::(?P<type>\w+))?\}")
_BROKEN: Final = re.compile(r"%\{[^}]*\}?")
_LINE: Final = re.compile(r"(?P<name>\w+)\s+(?P<text>\S.*)")
_FIELD: Final = re.compile(r"(?:\[[^\[\]]+\])+|[^\[\]]+")
_TYPES: Final = {"int": "int", "long": "int", "integer": "int", "float": "float", "double": "float", "string": None}


def in_file(text: str, where: str) -> dict[str, str]:
    """The patterns of a file: lines of a name and an expression; ``#`` begins a comment.

    :raises ValueError: a line is neither.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{where}:{number}: {line[:40]} is not a name and an expression, as in DIGITS [0-9]+")
        found[match["name"]] = match["text"]
    return found


def published(name: Literal["ecs", "legacy"]) -> dict[str, str]:
    """A set of patterns that came with shipper."""
    path = Path(__file__).parent / "_grok_patterns" / ("ecs-v1.patterns" if name == "ecs" else "legacy.patterns")
    return in_file(path.read_text("utf-8"), path.name)


class _Capture(NamedTuple):
    """Where what a group holds goes."""

    path: tuple[str, ...]
    convert: Convert | None


class Grok:
    """One compiled expression."""

    def __init__(self, text: str, patterns: Mapping[str, str], deadline: float) -> None:
        """:raises ValueError: it cannot be used: an unknown pattern, a wrong type, a mistake in the expression."""
        expression, names = translated(_expanded(text, patterns))
        if not names:
            raise ValueError(f"{text[:60]} names no field: write %{{PATTERN:field}} where one is meant")
        self._captures = [_capture(name) for name in names]
        self.pattern = Pattern(expression, deadline, FLAGS, text)
        self.nested = frozenset(capture.path[0] for capture in self._captures if len(capture.path) > 1)
        self.names = frozenset(capture.path[0] for capture in self._captures)
        _check_paths({capture.path for capture in self._captures})

    def parse(self, text: str) -> Record | None:
        """The fields of a text; None if the expression does not match.

        Groups that took no part, or hold nothing, are left out; several of one name are a list.

        :raises ValueError: a group is not of its type, or the match took too long.
        """
        match = self.pattern.search(text)
        if match is None:
            return None
        record: Record = {}
        for (path, convert), value in zip(self._captures, match.groups(), strict=True):
            if value:
                _add(record, path, convert(value) if convert else value)
        return record


def _expanded(text: str, patterns: Mapping[str, str], around: tuple[str, ...] = ()) -> str:
    """The expression with every name replaced. :raises ValueError: a name is unknown, or stands in itself."""
    made: list[str] = []
    start = length = 0
    for broken in _BROKEN.finditer(text):
        reference = _REFERENCE.fullmatch(broken[0])
        if reference is None:
            raise ValueError(f"{broken[0][:60]} is not %{{PATTERN}}, %{{PATTERN:field}} or %{{PATTERN:field:type}}")
        name, kind = reference["name"], reference["type"]
        if name not in patterns:
            raise ValueError(f"there is no grok pattern {name}{_near(name, patterns)}")
        if name in around:
            raise ValueError(f"the grok pattern {name} stands in itself: {' > '.join((*around, name))}")
        if kind is not None and kind not in _TYPES:
            raise ValueError(f"{broken[0]}: {kind} is no type; there are {', '.join(_TYPES)}")
        unnamed = reference["field"] is None or reference["field"].startswith("[@metadata]")  # no part of an event
        group = "?:" if unnamed else f"?<{reference['field']}{':' + kind if kind else ''}>"
        made += (text[start : broken.start()], "(", group, _expanded(patterns[name], patterns, (*around, name)), ")")
        start = broken.end()
        length += len(made[-2])
        if length > MAX_LENGTH:
            raise ValueError(f"the expression is longer than {MAX_LENGTH} characters when its names are replaced")
    return "".join((*made, text[start:]))


def _near(name: str, patterns: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name.upper(), patterns, n=1)
    return f"; did you mean {near[0]}?" if near else "; write it under definitions: {NAME: expression}"


def _capture(name: str) -> _Capture:
    """``[http][status]:int`` to where it goes and what it becomes. :raises ValueError: it is no field's name."""
    field, _, kind = name.partition(":")
    field = field.removesuffix("?")  # as it stands in a published pattern, HTTPD24_ERRORLOG
    if not _FIELD.fullmatch(field):
        raise ValueError(f"{field} is no field's name; a nested one is written [http][status]")
    path = tuple(field[1:-1].split("][")) if field.startswith("[") else (field,)
    number = _TYPES[kind or "string"]
    return _Capture(path, converter(number, field) if number else None)


def _check_paths(paths: set[tuple[str, ...]]) -> None:
    """:raises ValueError: a field is to be a text and an object."""
    for path in paths:
        for length in range(1, len(path)):
            if path[:length] in paths:
                outer, inner = ".".join(path[:length]), ".".join(path)
                raise ValueError(f"the field {outer} cannot be text and hold {inner} too; rename one of them")


def _add(record: Record, path: tuple[str, ...], value: Any) -> None:
    for parent in path[:-1]:
        record = record.setdefault(parent, {})
    last = path[-1]
    there = record.get(last)
    record[last] = value if there is None else [*there, value] if isinstance(there, list) else [there, value]
