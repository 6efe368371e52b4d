"""Keys and partitions: records of one key go to one partition, in order; the others go where it is cheap. Sans-IO.

- A key decides the partition as it does in Java's clients (murmur2), so that other producers of the topic agree.
- Records without a key stick to one partition for a whole batch: one request instead of one a partition. The next batch
  takes another one.
"""

import ast
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from shipper.batch import Labels
from shipper.chain.encode import encode_json
from shipper.kafka.batch import NULL, VARINT
from shipper.kafka.cluster import Topic
from shipper.kafka.murmur import partition_of


class Key:
    """Where a record's key comes from: ``label:host``, ``field:user.id``."""

    def __init__(self, text: str) -> None:
        """:raises ValueError: the text names neither a label nor a field."""
        kind, colon, name = text.partition(":")
        if not colon or kind not in {"label", "field"} or not name or name != name.strip():
            raise ValueError(f"key {text!r} is neither label:NAME nor field:NAME, as in label:host or field:user.id")
        self._label = name
        self._decode = None if kind == "label" else _projection(_path(name))

    def of(self, labels: Labels, lines: Sequence[bytes]) -> list[bytes | None] | bytes | None:
        """The key of all flat lines of one frame, or one each; None: such a record, or all of them, has none."""
        if self._decode is not None:
            return [_bytes(self._decode(line)) for line in lines]
        return _bytes(labels.get(self._label))


class Sticky:
    """The partitions of records without a key."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = topics
        self._now: dict[str, int] = {}

    def partition(self, topic: str) -> int:
        """The one in use."""
        if topic not in self._now:
            self.turn(topic)
        return self._now[topic]

    def turn(self, topic: str) -> None:
        """A batch ends: the next one goes to another partition, one that has a leader."""
        led = self._topics[topic].led
        others = [partition for partition in led if partition != self._now.get(topic)] or led
        self._now[topic] = random.choice(others)  # noqa: S311 - no secret


def by_partition(keys: Sequence[bytes | None], partitions: int, sticky: int) -> dict[int, list[int]]:
    """Which records (their places) go to which partition, in order."""
    found: dict[int, list[int]] = {}
    for at, key in enumerate(keys):
        partition = sticky if key is None else partition_of(key, partitions)
        found.setdefault(partition, []).append(at)
    return found


def encoded_key(key: bytes | None) -> bytes:
    """The key with its length before it."""
    return NULL if key is None else VARINT[len(key)] + key


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return None if value is None else encode_json(value)


def _path(name: str) -> tuple[str, ...]:
    """:raises ValueError: it is no name of a field."""
    parts: tuple[str, ...] = tuple(name.split("."))
    if name.startswith("field("):
        try:
            call = ast.parse(name, mode="eval").body
            parts = tuple(ast.literal_eval(part) for part in call.args) if isinstance(call, ast.Call) else ()
        except (SyntaxError, ValueError):
            parts = ()
    if not parts or not all(isinstance(part, str) and part for part in parts):
        raise ValueError(f"key: {name!r} is not a field's name; write user.id, or field('user.id') for a dot in a name")
    return parts


def _projection(path: tuple[str, ...]) -> Callable[[bytes], Any]:
    """Finds one field of a line and decodes nothing else.

    :raises ValueError: a name holds quotes, backslashes or control characters.
    """
    kind: Any = Any
    for name in reversed(path):
        kind = msgspec.defstruct("Projection", [("value", kind, None)], rename={"value": name}, gc=False)
    decode: Final = msgspec.json.Decoder(kind).decode
    depth: Final = range(len(path))

    def value(line: bytes) -> Any:
        try:
            found = decode(line)
            for _ in depth:
                found = None if found is None else found.value
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None  # something on the way is no object
        return found

    return value
