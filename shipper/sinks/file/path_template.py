"""Path templates of the file sink: ``/var/log/central/{host}/{source}-{read:%Y-%m-%d}.ndjson``. Sans-IO.

Parts in braces are labels of the frame or the frame's time read (UTC), never fields of records: whoever writes a
record does not choose a file. The components before the first part are the *root*; what is rendered stands below it.

A label's value cannot leave its component, and different values give different names:

- ``/``, NUL, ``%``, control and other unprintable characters, and a leading dot become ``%XX``, byte by byte (UTF-8);
- an empty value becomes ``%empty``;
- a value that takes more than 120 bytes so is cut, and ``%~`` and its hash take the place of the rest.

``%e``, ``%~`` and ``%-`` (see ``successor``) are followed by no two hexadecimal digits: no value renders to them.
"""

import hashlib
import os
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

_NAME_MAX: Final = 240
"""Bytes of a component: file systems take 255, and a successor's mark needs room."""
_VALUE_MAX: Final = 120
_KEPT_OF_LONG: Final = 80
_PATH_MAX: Final = 4000
_DIRECTIVES: Final = frozenset("YmdHMSjGVu")

Part: TypeAlias = Callable[[Mapping[str, Any], datetime | None], str]
"""Renders one part of a component."""


class CannotRender(Exception):
    """A frame's labels do not give a path; the message says why."""


class PathTemplate:
    """A compiled template."""

    def __init__(self, text: str) -> None:
        """:raises ValueError: the template cannot be used; the message says why."""
        if not text or text.endswith("/") or "\0" in text:
            raise ValueError(f"path {text!r} does not name a file")
        self.text = text
        self._needs_time = False
        self._labels: list[str] = []
        components: list[list[str | Part]] = [[]]
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"path {text!r}: {error}; write braces that are part of a name twice") from error
        for literal, name, spec, conversion in pieces:
            self._add_literal(components, literal)
            if name is not None:
                if conversion:
                    raise ValueError(f"path {text!r}: '!' has no meaning in a part")
                self._add_part(components, name, spec or "")
        fixed = next((i for i, parts in enumerate(components) if not _is_literal(parts)), len(components) - 1)
        head = "/".join("".join(map(str, parts)) for parts in components[:fixed])
        self.root = os.path.abspath(f"{head}/" if head or text.startswith("/") else ".")
        """The directory that no rendered path leaves; absolute."""
        self._components = [parts for parts in components[fixed:] if parts]
        for parts in self._components:
            if _is_literal(parts) and "".join(map(str, parts)) in {".", ".."}:
                raise ValueError(f"path {text!r}: '.' and '..' may not follow a part in braces, nor end the path")

    def _add_literal(self, components: list[list[str | Part]], literal: str) -> None:
        first, *others = literal.split("/")
        if first:
            components[-1].append(first)
        components.extend([other] if other else [] for other in others)

    def _add_part(self, components: list[list[str | Part]], name: str, spec: str) -> None:
        if name == "read" and spec:
            self._needs_time = True
            first, *others = spec.split("/")
            if first:
                components[-1].append(_time_part(first))
            components.extend([_time_part(other)] if other else [] for other in others)
        elif name == "read":
            raise ValueError("{read} needs a form, as in {read:%Y-%m-%d}")
        elif not name or spec:
            part = f"{{{name}:{spec}}}" if spec else f"{{{name}}}"
            raise ValueError(f"'{part}' is neither a label, as in {{host}}, nor the time, as in {{read:%Y-%m-%d}}")
        else:
            self._labels.append(name)
            components[-1].append(_label_part(name))

    def render(self, labels: Mapping[str, Any], read_at: int) -> tuple[str, ...]:
        """The components below ``root`` for a frame with these labels, read at so many microseconds since 1970.

        :raises CannotRender: a label is missing or is no scalar, the time is out of range, or a name is too long.
        """
        moment = None
        if self._needs_time:
            try:
                moment = datetime.fromtimestamp(read_at // 1_000_000, UTC)
            except (OverflowError, ValueError, OSError):
                raise CannotRender(f"the frame's time read, {read_at} µs, is not a time") from None
        path = tuple(
            "".join(part if isinstance(part, str) else part(labels, moment) for part in parts)
            for parts in self._components
        )
        length = len(self.root)
        for component in path:
            size = len(os.fsencode(component))
            if size > _NAME_MAX:
                raise CannotRender(f"the name {component[:60]!r}... has {size} bytes; at most {_NAME_MAX} make a name")
            length += 1 + size
        if length > _PATH_MAX:
            raise CannotRender(f"the path would have {length} bytes; at most {_PATH_MAX} make a path")
        return path

    def example(self, labels: Mapping[str, Any]) -> str | None:
        """An absolute path that comes of these labels, whatever the others are; None: they give none."""
        try:
            return "/".join((self.root.rstrip("/"), *self.render(dict.fromkeys(self._labels, "x") | dict(labels), 0)))
        except CannotRender:
            return None


def successor(path: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The path to write to when the one rendered is taken: ``app.ndjson`` -> ``app%-2.ndjson``."""
    stem, dot, suffix = path[-1].rpartition(".")
    if not stem:  # no dot, or a leading one only
        return (*path[:-1], f"{path[-1]}%-{number}")
    return (*path[:-1], f"{stem}%-{number}{dot}{suffix}")


def _is_literal(parts: list[str | Part]) -> bool:
    return all(isinstance(part, str) for part in parts)


def _time_part(form: str) -> Part:
    at = form.find("%")
    while at >= 0:
        if form[at + 1 : at + 2] not in _DIRECTIVES or at + 1 == len(form):
            known = " ".join(f"%{letter}" for letter in sorted(_DIRECTIVES))
            raise ValueError(f"'{form[at : at + 2]}' is not one of {known}, which {{read:...}} takes")
        at = form.find("%", at + 2)
    if "%" not in form:
        raise ValueError(f"{{read:{form}}} needs a form, as in {{read:%Y-%m-%d}}")

    def part(_: Mapping[str, Any], moment: datetime | None) -> str:
        return moment.strftime(form) if moment is not None else ""

    return part


def _label_part(name: str) -> Part:
    def part(labels: Mapping[str, Any], _: datetime | None) -> str:
        value = labels.get(name)
        if isinstance(value, str):
            return safe_name(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return safe_name(repr(value))
        if value is None:
            raise CannotRender(f"the frame has no label '{name}', which the path needs")
        raise CannotRender(f"the label '{name}' is no scalar; a path cannot hold it")

    return part


@lru_cache(maxsize=1024)
def safe_name(value: str) -> str:
    """A label's value as a piece of a file name. Different values give different names."""
    if not value:
        return "%empty"
    name = "".join(
        char if char.isprintable() and char not in "/%" and (char != "." or at) else _escaped(char)
        for at, char in enumerate(value)
    )
    encoded = name.encode()
    if len(encoded) <= _VALUE_MAX:
        return name
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{encoded[:_KEPT_OF_LONG].decode('utf-8', 'ignore')}%~{digest}"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
