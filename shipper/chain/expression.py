"""The ``where`` language: a condition on a record, read by ``ast``, compiled once to Python code. Sans-IO.

    level in ['error', 'fatal'] and not contains(message, 'heartbeat')
    http.status >= 500 or exists(exception) or matches(field('@type'), '^alarm')

- Names are fields, then labels; nested by dot. Odd names are ``field('@timestamp')``, nested ones
  ``field('http', 'user-agent')``. A missing field is null. ``true``, ``false``, ``null`` are literals.
- ``==`` compares by the types of JSON: 1 equals 1.0; 1 does not equal true; ``'1'`` does not equal 1. ``!=`` is
  ``not ==``.
- ``<``, ``<=``, ``>``, ``>=`` order numbers, and strings by code point; across types, and for everything else, they are
  false. ``true`` and ``false`` are not numbers. Comparisons can be chained: ``500 <= status < 600``.
- ``in`` takes a list of literals, or a field: an item of a list, or a part of a text.
- ``contains``, ``startswith``, ``endswith`` and ``matches`` (a regular expression, anywhere in the text) are false for
  what is not text. ``lower`` of what is not text is null. ``exists`` is true for a field that is there, null or not.
- A condition is never an error once it was read: a value that cannot be compared does not match. The one exception is a
  regular expression that is not done with a text in time (``PatternTimeout``): nobody knows whether it matches.

``where_text`` reads the text, ``where_code`` makes Python code of it, ``where_values`` is what that code calls.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shipper.batch import Record
from shipper.chain.where_code import Compiler
from shipper.chain.where_text import Text
from shipper.errors import PatternTimeout

_TEMPLATE: Final = """
def test(r, labels):
{labels}    return {test}
def mask(records, labels):
{labels}    return [{test} for r in records]
def select(records, labels):
{labels}    return [r for r in records if {test}]
def reject(records, labels):
{labels}    return [r for r in records if not {test}]
"""


class Condition:
    """A compiled condition. Make one with ``Condition.parse``; use it from any thread."""

    text: str
    """As it was written."""
    fields: frozenset[str]
    """The names that it reads from records (or labels), outermost only: ``http`` for ``http.status``."""
    tree: ast.expr
    """What was parsed, for whoever plans with it. It holds only what the language has."""

    def __init__(self, text: str) -> None:
        """:raises ValueError: the text is not a condition; the message says where and what would be."""
        parsed = Text(text)
        compiler = Compiler()
        self._patterns: dict[str, Any] = {}
        test = compiler.whole(parsed, self._patterns)
        self.text = text
        self.tree = parsed.tree
        self.fields = frozenset(compiler.roots)
        scope = compiler.scope()
        source = _TEMPLATE.format(labels=compiler.prologue(), test=test)
        exec(compile(source, "<where>", "exec"), scope)  # noqa: S102 - generated from a checked tree, see where_code
        self._test: Callable[[Record, Mapping[str, Any]], bool] = scope["test"]
        self._mask: Callable[[Sequence[Record], Mapping[str, Any]], list[bool]] = scope["mask"]
        self._select: Callable[[Sequence[Record], Mapping[str, Any]], list[Record]] = scope["select"]
        self._reject: Callable[[Sequence[Record], Mapping[str, Any]], list[Record]] = scope["reject"]

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """:raises ValueError: the text is not a condition; the message says where and what would be."""
        return cls(text)

    def code(self, compiler: Compiler) -> str:
        """Code for a function that judges by other conditions too. It shares the patterns, and their patience."""
        return compiler.whole(Text(self.text), self._patterns)

    def __call__(self, record: Record, labels: Mapping[str, Any]) -> bool:
        """Whether one record meets the condition. :raises PatternTimeout: that took too long to find out."""
        try:
            return self._test(record, labels)
        except PatternTimeout:
            raise
        except Exception:  # noqa: BLE001 - a processor may leave objects whose own comparison raises: no match
            return False

    def mask(self, records: Sequence[Record], labels: Mapping[str, Any]) -> list[bool]:
        """For each record whether it meets the condition.

        :raises PatternTimeout: that took too long to find out, for one of them.
        """
        try:
            return self._mask(records, labels)
        except Exception:  # noqa: BLE001 - see __call__
            return [self(record, labels) for record in records]

    def select(self, records: Sequence[Record], labels: Mapping[str, Any]) -> list[Record]:
        """The records that meet the condition, in their order.

        :raises PatternTimeout: that took too long to find out, for one of them.
        """
        try:
            return self._select(records, labels)
        except Exception:  # noqa: BLE001 - see __call__
            return [record for record in records if self(record, labels)]

    def reject(self, records: Sequence[Record], labels: Mapping[str, Any]) -> list[Record]:
        """The records that do not meet the condition, in their order.

        :raises PatternTimeout: that took too long to find out, for one of them.
        """
        try:
            return self._reject(records, labels)
        except Exception:  # noqa: BLE001 - see __call__
            return [record for record in records if not self(record, labels)]

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"
