"""Nodes -> values of annotated types. Every problem is noted where it stands; the value is then ``BAD``."""

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, Final, NamedTuple, get_origin

from shipper.config.document import Mapping, Node, Scalar, Sequence
from shipper.config.expand import expand
from shipper.config.forms import lacks_a_name, right_form
from shipper.config.kinds import is_struct, item_type, key_and_value_types, members, settings, shape, words
from shipper.config.problems import Place, Problems, quoted
from shipper.config.scalars import guess, parse_scalar
from shipper.config.syntax import in_quotes
from shipper.plugins import suggest


class Bad:
    """The type of ``BAD``."""


BAD: Final = Bad()
"""In place of a value that could not be made; why is among the problems."""


class _Text(NamedTuple):
    """A scalar's text after expansion."""

    value: str
    expanded: bool
    """Some of it came from outside: it must not be shown."""


class Decoder:
    """Decodes the nodes of one load."""

    def __init__(self, problems: Problems, *, beside: bool = False) -> None:
        """``beside``: a relative path starts at the folder of the file in which it stands."""
        self.problems = problems
        self._beside = beside

    def decode(self, node: Node, hint: Any, path: str, at: Place | None = None) -> Any:
        """The value of a node for a type, or ``BAD``.

        ``path`` is the node's place in the tree; ``at`` is where its key stands, when it has one.
        """
        variants = members(hint)
        if NoneType in variants and isinstance(node, Scalar) and node.null:
            return None
        variants = [member for member in variants if member is not NoneType]
        if any(shape(member) == "unsupported" for member in variants):
            text = "the component declares it with a type that no config can hold; tell its author"
            return self.bad(at or node.place, path, text)
        if isinstance(node, Scalar):
            value = self._scalar(node, hint, variants, path, at)
            if self._beside and isinstance(value, Path):
                return Path(os.path.abspath(Path(node.place.file).parent / value))
            return value
        wanted = "mapping" if isinstance(node, Mapping) else "list"
        fitting = [member for member in variants if shape(member) in (wanted, "any")]
        if fitting and isinstance(node, Mapping):
            return self._mapping(node, _best(node, fitting), path, at)
        if fitting and isinstance(node, Sequence):
            return self._list(node, fitting[0], path)
        return self._wrong(node, hint, path, "; put it in quotes if it is text" if str in variants else "")

    def bad(self, place: Place, path: str, text: str) -> Bad:
        """Note a problem."""
        self.problems.add(place, path, text)
        return BAD

    def foreign(self, place: Place, path: str, error: BaseException) -> Bad:
        """Note what a component's own check said; it may have seen secrets."""
        name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return self.bad(place, path, self.problems.redacted(f"{name}{error}"))

    def struct(self, cls: type[Any], node: Mapping, path: str, at: Place, skip: frozenset[str] = frozenset()) -> Any:
        """An instance of a struct class, or ``BAD``. ``skip`` are keys that somebody else reads."""
        values = self.values(cls, node, path, at, skip)
        if not is_good(values):
            return BAD
        try:
            return cls(**values)
        except Exception as error:  # noqa: BLE001 - checks of others: whatever they raise, the config cannot be used
            return self.foreign(at, path, error)

    def values(self, cls: type[Any], node: Mapping, path: str, at: Place, skip: frozenset[str]) -> dict[str, Any]:
        """The values of a struct's settings that the node gives, by attribute; ``BAD`` for what is wrong or missing."""
        try:
            known = {setting.encode_name: setting for setting in settings(cls)}
        except TypeError as error:
            return {"": self.foreign(at, path, error)}
        unknown = [key for key in node.items if key not in known and key not in skip]
        if lacks_a_name(cls, node, unknown):
            inside = Mapping(place=node.place, items={key: node.items[key] for key in unknown})
            text = f"found {', '.join(map(quoted, unknown))} among the settings; write {right_form(cls, inside)}"
            return {"": self.bad(node.keys[unknown[0]], path, text)}
        values: dict[str, Any] = {}
        for key, value in node.items.items():
            place = node.keys[key]
            if key in known:
                values[known[key].name] = self.decode(value, known[key].type, join(path, key), place)
            elif key not in skip:
                values[f"unknown {key}"] = self.bad(place, join(path, key), _unknown(cls, key, known.keys() | skip))
        for name, setting in known.items():
            if setting.required and name not in node.items and name not in skip:
                values[setting.name] = self.bad(at, path, f"found no '{name}', expected {words(setting.type)}")
        return values

    def text(self, node: Scalar, path: str) -> _Text | Bad:
        """The text after expansion; ``BAD`` when an expansion fails."""
        expanded = False

        def keep_secret(value: str, written: str) -> None:
            nonlocal expanded
            expanded = True
            self.problems.keep_secret(value, written)

        try:
            value = expand(node.text, Path(node.place.file).parent, keep_secret)
        except ValueError as error:
            return self.bad(node.place, path, str(error))
        return _Text(value, expanded)

    def _scalar(self, node: Scalar, hint: Any, variants: list[Any], path: str, at: Place | None) -> Any:
        flat = [member for member in variants if shape(member) in ("scalar", "any")]
        if node.null and str not in flat and len(flat) < len(variants):
            return self._nothing(node, variants, path, at)
        if not flat:
            return self._wrong(node, hint, path, self._list_hint(node, variants))
        if node.empty and Any not in flat:
            written = '; write "" for a text without characters' if str in flat else ""
            return self._wrong(node, hint, path, written)
        text = self.text(node, path)
        if isinstance(text, Bad):
            return BAD
        as_written = node.plain and text.value == node.text
        try:
            if Any in flat:
                return guess(text.value) if as_written else text.value
            if str in flat and len(flat) > 1:
                return _text_or(flat, text.value, as_written)
        except ValueError as error:
            return self.bad(node.place, path, f"found {found(node)}, {error}")
        details = []
        for member in flat:
            try:
                return parse_scalar(text.value, member)
            except ValueError as error:
                details.append(str(error))
        detail = next(filter(None, details), "")
        return self._wrong(node, hint, path, f"; {detail}" if detail and not text.expanded else "", text.expanded)

    def _nothing(self, node: Scalar, variants: list[Any], path: str, at: Place | None) -> Any:
        """A key with nothing after it, where a list or settings may stand: all of it was left out."""
        hint = next(member for member in variants if shape(member) in ("list", "mapping"))
        if shape(hint) == "list":
            return self._list(Sequence(place=node.place), hint, path)
        return self._mapping(Mapping(place=node.place), hint, path, at)

    def _list_hint(self, node: Scalar, variants: list[Any]) -> str:
        """Where a list is expected: the value as the list of one that was probably meant."""
        for member in variants:
            if shape(member) == "list" and shape(item_type(member)) == "scalar":
                with suppress(ValueError):
                    parse_scalar(node.text, item_type(member))
                    return f"; write [{in_quotes(node.text)}]"
        return ""

    def _wrong(self, node: Node, hint: Any, path: str, more: str, expanded: bool = False) -> Bad:
        hidden = " (what that holds is not shown)" if expanded else ""
        return self.bad(node.place, path, f"found {found(node)}{hidden}, expected {words(hint)}{more}")

    def _list(self, node: Sequence, hint: Any, path: str) -> Any:
        inner = Any if shape(hint) == "any" else item_type(hint)
        items = [self.decode(item, inner, f"{path}[{n}]") for n, item in enumerate(node.items)]
        if not is_good(items):
            return BAD
        kind = get_origin(hint) or hint
        return items if kind not in (set, frozenset, tuple) else kind(items)

    def _mapping(self, node: Mapping, hint: Any, path: str, at: Place | None) -> Any:
        if is_struct(hint):
            return self.struct(hint, node, path, at or node.place)
        key_type, value_type = (str, Any) if shape(hint) == "any" else key_and_value_types(hint)
        values = {}
        for key, value in node.items.items():
            place = node.keys[key]
            name = self._key(key, key_type, join(path, key), place)
            decoded = self.decode(value, value_type, join(path, key), place)
            if not isinstance(name, Bad):
                values[name] = decoded
        return values if len(values) == len(node.items) and is_good(values) else BAD

    def _key(self, key: str, hint: Any, path: str, place: Place) -> Any:
        try:
            return parse_scalar(key, str if hint is Any else hint)
        except ValueError as error:
            detail = f"; {error}" if str(error) else ""
            return self.bad(place, path, f"found the key {quoted(key)}, expected {words(hint)}{detail}")


def is_good(value: dict[Any, Any] | list[Any]) -> bool:
    """Holds no ``BAD``."""
    return not any(item is BAD for item in (value.values() if isinstance(value, dict) else value))


def join(path: str, key: str) -> str:
    """A path with one more step; a key that would be unclear in it stands in quotes."""
    step = key if re.fullmatch(r"[\w-]+", key, re.ASCII) else quoted(key)
    return f"{path}.{step}" if path else step


def _unknown(cls: type[Any], key: str, known: Collection[str]) -> str:
    here = getattr(cls, "other_names", {}).get(key)
    return f"unknown key; it is called '{here}' here" if here else "unknown key" + suggest(key, filter(None, known))


def found(node: Node) -> str:
    """What stands there, in words."""
    if isinstance(node, Scalar):
        return "nothing" if node.empty else quoted(node.text)
    return "a list" if isinstance(node, Sequence) else "keys with values"


def _text_or(flat: list[Any], text: str, as_written: bool) -> Any:
    """The value where text and other things will do: what is in quotes, or was expanded, is text."""
    if as_written:
        guessed = guess(text)
        if type(guessed) in flat and type(guessed) is not str:
            return guessed
        for member in flat:
            if member not in (str, int, float, bool):
                with suppress(ValueError):
                    return parse_scalar(text, member)
    return text


def _best(node: Mapping, variants: list[Any]) -> Any:
    """Of several types that are mappings, the first that knows every key."""
    for hint in variants:
        if not is_struct(hint) or set(node.items) <= {setting.encode_name for setting in settings(hint)}:
            return hint
    return variants[0]
