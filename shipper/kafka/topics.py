"""Names of topics: ``logs-{source}``. Sans-IO.

Parts in braces are labels of the frame, never fields of records. Kafka takes ``A-Z a-z 0-9 . _ -`` and at most 249 of
them. Different values of a label give different topics:

- every other byte (UTF-8) becomes ``_XX``, two capital hexadecimal digits;
- so does a ``_`` that two such digits follow: ``_5F``;
- an empty value becomes ``_5Fempty``;
- a value that takes more than 120 characters so is cut, and ``_5F-`` and its hash take the place of the rest.

No value renders to the last two: what they begin with is made only before two capital hexadecimal digits.

Two names that differ in ``.`` and ``_`` only are different here, and brokers make the first of them only (``unified``).
"""

import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_INTERNAL: Final = frozenset({"__cluster_metadata", "__consumer_offsets", "__share_group_state", "__transaction_state"})
"""The brokers' own. To what is written there some answer as if a right were missing, which may be granted."""
_LONGEST: Final = 249
_VALUE_MAX: Final = 120
_KEPT_OF_LONG: Final = 80
_ODD: Final = re.compile(rb"[^A-Za-z0-9._-]|_(?=[0-9A-F]{2})")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


class NoTopic(Exception):
    """A frame's labels do not give a topic; the message says why."""


class TopicTemplate:
    """A compiled template."""

    def __init__(self, text: str, option: str = "topic") -> None:
        """``option``: where the text stands in the config.

        :raises ValueError: the template cannot be used; the message says why.
        """
        self.text: Final = text
        self._parts: list[tuple[str, str | None]] = []
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{option} {text!r}: {error}; a label stands in braces, as in logs-{{source}}") from error
        for literal, name, spec, conversion in pieces:
            if literal and not _NAME.fullmatch(literal):
                odd = next(char for char in literal if not _NAME.fullmatch(char))
                raise ValueError(f"{option} {text!r}: Kafka takes no {odd!r} in a name; A-Z a-z 0-9 . _ - are left")
            if name is not None and (spec or conversion or not name):
                raise ValueError(
                    f"{option} {text!r}: in braces stands the name of a label and nothing else: {{source}}"
                )
            self._parts.append((literal, name))
        if self.constant is not None:
            try:
                _checked(self.constant)
            except NoTopic as error:
                raise ValueError(f"{option}: {error}") from error

    @property
    def constant(self) -> str | None:
        """The topic of every frame; None where labels decide."""
        return None if any(name is not None for _, name in self._parts) else "".join(text for text, _ in self._parts)

    def render(self, labels: Mapping[str, Any]) -> str:
        """The topic of a frame with these labels.

        :raises NoTopic: a label is missing or is no scalar, or the name is none that Kafka takes.
        """
        name = "".join([text if label is None else text + _value(labels, label) for text, label in self._parts])
        return _checked(name)


def unified(name: str) -> str:
    """The same for all names of which brokers make only one: their metrics could not be told apart."""
    return name.replace(".", "_")


def _checked(name: str) -> str:
    if name in {"", ".", ".."}:
        raise NoTopic(f"Kafka takes no topic named {name!r}")
    if len(name) > _LONGEST:
        raise NoTopic(f"the topic {name[:60]}... has {len(name)} characters; Kafka takes {_LONGEST}")
    own = unified(name)
    if own in _INTERNAL:  # also what would stand in its way: a cluster whose brokers cannot make theirs has no groups
        raise NoTopic(f"the topic {name} takes no records: Kafka keeps {own} for itself")
    return name


def _value(labels: Mapping[str, Any], name: str) -> str:
    value = labels.get(name)
    if isinstance(value, str):
        return safe_name(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return safe_name(repr(value))
    if value is None:
        raise NoTopic(f"the frame has no label '{name}', which the topic needs")
    raise NoTopic(f"the label '{name}' is no scalar; a topic's name cannot hold it")


@lru_cache(maxsize=1024)
def safe_name(value: str) -> str:
    """A label's value as a piece of a topic's name. Different values give different names."""
    if not value:
        return "_5Fempty"
    encoded = value.encode("utf-8", "surrogatepass")
    name = _ODD.sub(lambda match: b"_%02X" % match[0][0], encoded).decode("ascii")
    if len(name) <= _VALUE_MAX:
        return name
    import hashlib  # OpenSSL with it: only for the rare long name

    return f"{name[:_KEPT_OF_LONG]}_5F-{hashlib.sha256(encoded).hexdigest()[:32]}"
