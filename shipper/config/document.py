"""YAML text -> a tree of nodes that know their lines.

It walks the events of PyYAML's parser instead of ``yaml.compose``: so duplicate keys and tags are found with
their lines, nesting and the growth by aliases are bounded, and a scalar stays the text that was written, with no
type guessed (``no``, ``1.10``). What it means is decided where the type that it must have is known (``decode``).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from shipper.config.problems import Place, Problems, quoted
from shipper.config.syntax import advice, explain

NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
MAX_BYTES: Final = 1024 * 1024
"""A larger file is not a config."""
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
"""At most so many values in a file, with every alias counted as all that it stands for."""


@dataclass(slots=True, kw_only=True)
class Node:
    """A value and where it stands."""

    place: Place
    size: int = 1
    """How many values it holds, itself and what aliases stand for included."""


@dataclass(slots=True, kw_only=True)
class Scalar(Node):
    """One text, as written."""

    text: str
    plain: bool = True
    """Written without quotes: only then it may be a number, ``true`` or nothing where any type will do."""

    @property
    def null(self) -> bool:
        """Nothing, or a word for it; text where text is expected."""
        return self.plain and self.text in NULLS

    @property
    def empty(self) -> bool:
        """Nothing was written."""
        return self.plain and not self.text


@dataclass(slots=True, kw_only=True)
class Sequence(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Mapping(Node):
    """Values by key, in the order of the file."""

    items: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    """Where each key stands."""


def read(path: Path, problems: Problems) -> Mapping | None:
    """The mapping in a file; None when there is none to speak of (then ``problems`` says why)."""
    whole = Place(str(path), 0)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.add(whole, "", f"cannot be read: {error.strerror}")
        return None
    if len(data) > MAX_BYTES:
        problems.add(whole, "", "is larger than 1 MiB; that is not a config")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(Place(str(path), line), "", "is not UTF-8 text")
        return None
    return parse(text, str(path), problems)


def parse(text: str, file: str, problems: Problems) -> Mapping | None:
    """Like ``read``, of text."""
    try:
        node = _Composer(text, file, problems).document()
    except _UnusableError:
        return None
    if node is None or (isinstance(node, Scalar) and node.null):
        return Mapping(place=Place(file, 1))
    if not isinstance(node, Mapping):
        found = "a list" if isinstance(node, Sequence) else quoted(getattr(node, "text", ""))
        problems.add(node.place, "", f"found {found}, expected keys with values, as in 'sources: ...'")
        return None
    return node


class _UnusableError(Exception):
    """The rest of the file cannot be understood; the problem is noted."""


class _Composer:
    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._text = text
        self._file = file
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}
        """None while the node that bears the anchor is being read."""
        self._size = 0

    def document(self) -> Node | None:
        try:
            self._events = yaml.parse(self._text, Loader=yaml.SafeLoader)
            node = None
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if node is not None:
                        self._fail(event, "a second document starts here; a config file holds one")
                    node = self._node(next(self._events), 0)
        except yaml.YAMLError as error:
            line, message = explain(error, self._text)
            self._problems.add(Place(self._file, line), "", message)
            raise _UnusableError from error
        return node

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1)

    def _fail(self, event: Any, text: str) -> NoReturn:
        self._problems.add(self._place(event), "", text)
        raise _UnusableError

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._fail(event, f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                self._fail(event, f"there are two anchors '&{event.anchor}'")
            self._anchors[event.anchor] = None
        if event.tag not in (None, "!"):
            self._tag(event)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(place=self._place(event), text=event.value, plain=event.style is None)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _tag(self, event: Any) -> None:
        self._problems.add(self._place(event), "", f"YAML tags mean nothing here; {advice(self._rest(event))}")

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            self._fail(event, f"there is no anchor '&{event.anchor}' above this alias; {advice(self._rest(event))}")
        node = self._anchors[event.anchor]
        if node is None:
            self._fail(event, f"the alias '*{event.anchor}' stands inside of what it stands for")
        return node

    def _count(self, event: Any, size: int) -> int:
        if size > MAX_NODES:
            self._fail(event, f"aliases make this grow beyond {MAX_NODES} values")
        return size

    def _sequence(self, start: Any, depth: int) -> Sequence:
        node = Sequence(place=self._place(start))
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._node(event, depth + 1)
            node.items.append(item)
            node.size = self._count(event, node.size + item.size)
        return node

    def _mapping(self, start: Any, depth: int) -> Mapping:
        node = Mapping(place=self._place(start))
        merged: list[tuple[Any, Node]] = []
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            node.size = self._count(event, node.size + value.size)
            if not isinstance(key, Scalar):
                self._problems.add(key.place, "", f"a key must be text; {advice(self._rest(event))}")
            elif key.text == "<<" and key.plain:
                merged.append((event, value))
            elif key.text in node.keys:
                first = node.keys[key.text]
                text = f"the key {quoted(key.text)} is here twice; the first one stands in line {first.line}"
                self._problems.add(key.place, "", text, readable=True)
            else:
                node.items[key.text] = value
                node.keys[key.text] = key.place
        for event, value in merged:
            self._merge(event, node, value)
        return node

    def _rest(self, event: Any) -> str:
        """The source from where an event starts to the end of its line."""
        return self._text[event.start_mark.index :].split("\n", 1)[0]

    def _merge(self, event: Any, node: Mapping, value: Node) -> None:
        """``<<: *defaults``: keys that are not there yet, each with the place where it was written."""
        for other in value.items if isinstance(value, Sequence) else [value]:
            if not isinstance(other, Mapping):
                self._problems.add(self._place(event), "", "'<<' takes an alias of a mapping, or a list of those")
                continue
            for key, item in other.items.items():
                if key not in node.items:
                    node.items[key] = item
                    node.keys[key] = other.keys[key]
