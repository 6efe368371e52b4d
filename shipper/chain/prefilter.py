r"""Byte prefilter: what must stand in a line when a condition is true. Sans-IO.

From ``level == 'error' or contains(message, 'timeout')`` follows that a line without ``error`` and without ``timeout``
does not meet it, whatever else is in it: so most lines are never decoded, and never split from the buffer.

- Needles are runs of characters that JSON spells as they are, or with ``\u``; lines with ``\u`` are never excluded.
- U+FFFD may stand for invalid bytes, so it is in no needle.
- A missing field is looked up in the labels: ``roots`` are the names that must be no labels.
- A condition that says nothing about bytes (numbers, ``matches``, ``!=``) has no needles: None.
"""

import ast
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from shipper.batch import Labels

if TYPE_CHECKING:
    from shipper.chain.expression import Condition

_ODD: Final = re.compile('[\x00-\x1f"\\\\/\ufffd\ud800-\udfff]+')
r"""What JSON may spell with another escape than ``\u``, or what no valid line holds."""
_MOST: Final = 8
"""With more needles than that decoding is as quick."""


@dataclass(frozen=True, slots=True)
class Needles:
    """One of ``texts`` stands in every line that meets the condition."""

    texts: frozenset[bytes]
    roots: frozenset[str]

    def usable(self, labels: Labels) -> bool:
        """Whether they say something: not where a label may stand for a missing field."""
        return self.roots.isdisjoint(labels)

    def __str__(self) -> str:
        return " or ".join(sorted(repr(text.decode()) for text in self.texts))


def needles(condition: "Condition", *, met: bool = True) -> Needles | None:
    """What must stand in a line for the condition to be true; with ``met`` False: to be false."""
    found = _needles(condition.tree, met=met)
    if found is None or len(found.texts) > _MOST or not found.roots <= condition.fields:
        return None  # the last: Python's parser changed the spelling of a name
    return found


def _needles(node: ast.expr, *, met: bool) -> Needles | None:
    match node:
        case ast.UnaryOp(op=ast.Not()):
            return _needles(node.operand, met=not met)
        case ast.BoolOp():
            parts = [_needles(part, met=met) for part in node.values]
            return _best(parts) if isinstance(node.op, ast.And) is met else _union(parts)
        case ast.Compare():
            sides = pairwise([node.left, *node.comparators])
            pairs = [_comparison(left, op, right, met=met) for (left, right), op in zip(sides, node.ops, strict=True)]
            return _best(pairs) if met else _union(pairs)
        case ast.Call(func=ast.Name(id="contains" | "startswith" | "endswith")) if met:
            return _text(node.args[0], node.args[1])
        case ast.Call(func=ast.Name(id="exists")) if met:
            path = _path(node.args[0])
            # Lines that are no JSON have ``message`` without saying so.
            return _made(path, path[0]) if path and len(path) == 1 and path[0] != "message" else None
    return None


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, *, met: bool) -> Needles | None:
    if not isinstance(op, (ast.Eq, ast.In) if met else (ast.NotEq, ast.NotIn)):
        return None
    if isinstance(right, (ast.List, ast.Tuple)):
        return _union([_text(left, item) for item in right.elts])
    return _text(left, right) or _text(right, left)


def _text(field: ast.expr, literal: ast.expr) -> Needles | None:
    path = _path(field)
    if path and isinstance(literal, ast.Constant) and isinstance(literal.value, str):
        return _made([literal.value], path[0])
    return None


def _made(texts: list[str], root: str) -> Needles | None:
    runs = [max(_ODD.split(text), key=len) for text in texts]
    return Needles(frozenset(run.encode() for run in runs), frozenset([root])) if all(runs) else None


def _union(parts: list[Needles | None]) -> Needles | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not known:
        return None
    return Needles(
        frozenset().union(*(part.texts for part in known)), frozenset().union(*(part.roots for part in known))
    )


def _best(parts: list[Needles | None]) -> Needles | None:
    """The longest, which is the rarest."""
    known = [part for part in parts if part is not None]
    return max(known, key=lambda part: min(map(len, part.texts)), default=None)


def _path(node: ast.expr) -> list[str] | None:
    """The parts of a field's name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id not in {"true", "false", "null"}:
        return [node.id, *parts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field":
        return [*(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)), *parts]
    return None
