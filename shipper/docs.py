"""The documentation that stands in the classes: for the reference and for the JSON Schema.

The docstring of a class documents the component, a string under an attribute documents it. Strings under attributes
are gone at run time, so the source is read again.
"""

import ast
import sys
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc, get_annotations
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from shipper.config.kinds import as_text, members, settings, words


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a class."""

    name: str
    """As a config writes it."""
    type: Any
    words: str
    """What it takes, for people."""
    required: bool
    default: str
    """The default as a config writes it; empty where there is none to show."""
    text: str
    """The string under the attribute; may be empty."""


def summary(cls: type[Any]) -> str:
    """The class's docstring, without its indentation."""
    return cleandoc(cls.__doc__ or "")


def lead(cls: type[Any]) -> str:
    """The class's docstring up to the first paragraph that ends with ``::``, which announces an example."""
    paragraphs = summary(cls).split("\n\n")
    return "\n\n".join(takewhile(lambda paragraph: not paragraph.endswith("::"), paragraphs))


def describe(cls: type[Any]) -> list[Setting]:
    """The settings of a struct class, its own first, then those that it inherits."""
    own = set(get_annotations(cls))
    texts = attribute_texts(cls)
    found = [
        Setting(
            name=field.encode_name,
            type=field.type,
            words=words(field.type),
            required=field.required,
            default=_default(field),
            text=texts.get(field.name, ""),
        )
        for field in sorted(settings(cls), key=lambda field: field.name not in own)
    ]
    return [setting for setting in found if not setting.name.startswith("_")]


def attribute_texts(cls: type[Any]) -> dict[str, str]:
    """The strings under the attributes of a class and of those that it extends, by attribute."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file and file.endswith(".py"):
            texts |= _texts_in(file).get(base.__qualname__, {})
    return texts


@cache
def _texts_in(file: str) -> dict[str, dict[str, str]]:
    """By class, then by attribute; only classes at the top of a module."""
    tree = ast.parse(Path(file).read_text("utf-8"))
    return {node.name: _texts_of(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_of(node: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for statement, after in zip(node.body, node.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            texts[statement.target.id] = cleandoc(after.value.value)
    return texts


def default_value(field: Any) -> Any:
    """What a setting is when a config says nothing; ``msgspec.NODEFAULT`` when it must say something."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _default(field: Any) -> str:
    value = default_value(field)
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, bool):
        return as_text(value)
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, (list, set, frozenset, tuple)):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, dict):
        return "{}" if not value else str(value)
    return str(getattr(value, "pattern", None) or getattr(value, "value", value))


def nested_structs(hint: Any) -> list[type[Any]]:
    """The struct classes that a setting takes, directly or in a list."""
    found: list[type[Any]] = []
    for member in members(hint):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            found.append(member)
        else:
            for argument in getattr(member, "__args__", ()):
                found += nested_structs(argument) if argument is not ... else []
    return found
