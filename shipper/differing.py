"""In what two records differ: where, down to the innermost, and how, also in long texts. For people. Sans-IO."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from shipper.chain.encode import encode_json

MISSING: Final[Any] = object()
"""The value of what is not there."""
Same: TypeAlias = Callable[[Any, Any], bool]
"""Whether two values that are not both objects, and not both lists, are the same."""
_DEEPEST: Final = 50
"""What is nested deeper is compared as one."""
_WIDTH: Final = 60
_BEFORE: Final = 20
"""So many characters of what is the same are shown before what differs."""
_ALONE: Final = 0.5
"""What it costs to pair something with nothing: two such cost as much as a pair that has nothing in common."""

_MOST: Final = 40_000
"""Lists with more pairs are not searched for what belongs together."""


class Difference(NamedTuple):
    """One place in which two values differ."""

    path: str
    """As in ``a.b[2].c``."""
    one: Any
    other: Any


def differing(one: Any, other: Any, same: Same, path: str = "", depth: int = 0) -> Iterator[Difference]:
    """Where two values differ: as deep as can be, in the order of the first."""
    if depth < _DEEPEST and isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            inner = _joined(path, name)
            yield from differing(one.get(name, MISSING), other.get(name, MISSING), same, inner, depth + 1)
    elif depth < _DEEPEST and isinstance(one, list) and isinstance(other, list):
        for at, to in _places(one, other, lambda a, b: differ(a, b, same, depth + 1)):
            inner = f"{path}[{to if at is None else at}]"
            values = MISSING if at is None else one[at], MISSING if to is None else other[to]
            yield from differing(*values, same, inner, depth + 1)
    elif one is MISSING or other is MISSING or not same(one, other):
        yield Difference(path, one, other)


def differ(one: Any, other: Any, same: Callable[[Any, Any], bool], depth: int = 0) -> bool:
    """Whether anything differs; the arguments are those of ``differing``."""
    return any(True for _ in differing(one, other, same, depth=depth))


def paired(
    some: Sequence[Any], others: Sequence[Any], cost: Callable[[Any, Any], float]
) -> list[tuple[int | None, int | None]]:
    """Which of ``some`` belongs to which of ``others``, in their order, by their indices; None: to nothing. ``cost``
    says how much two of them differ: from 0, not at all, to 1, in everything.
    """
    if len(some) * len(others) > _MOST:  # by their places, then
        longest = range(max(len(some), len(others)))
        return [(at if at < len(some) else None, at if at < len(others) else None) for at in longest]
    costs = [[cost(one, other) for other in others] for one in some]
    least = [
        [_ALONE * (len(some) - at + len(others) - to) for to in range(len(others) + 1)] for at in range(len(some) + 1)
    ]
    for at in reversed(range(len(some))):
        for to in reversed(range(len(others))):
            alone = _ALONE + min(least[at + 1][to], least[at][to + 1])
            least[at][to] = min(costs[at][to] + least[at + 1][to + 1], alone)
    pairs: list[tuple[int | None, int | None]] = []
    at = to = 0
    while at < len(some) and to < len(others):
        if least[at][to] == costs[at][to] + least[at + 1][to + 1]:
            pairs.append((at, to))
            at, to = at + 1, to + 1
        elif least[at][to] == _ALONE + least[at + 1][to]:
            pairs.append((at, None))
            at += 1
        else:
            pairs.append((None, to))
            to += 1
    return [
        *pairs,
        *((left, None) for left in range(at, len(some))),
        *((None, left) for left in range(to, len(others))),
    ]


def shown(value: Any, width: int = _WIDTH) -> str:
    """A value as JSON, cut where it is long."""
    return _cut(_text(value), 0, width)


def contrasted(one: Any, other: Any) -> tuple[str, str]:
    """Two values as JSON, cut where they are long, so that the first difference is seen."""
    texts = _text(one), _text(other)
    if max(map(len, texts)) <= _WIDTH:
        return texts
    at = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = at - _BEFORE if at > _WIDTH // 2 else 0
    return _cut(texts[0], start, _WIDTH), _cut(texts[1], start, _WIDTH)


def _places(
    one: list[Any], other: list[Any], cost: Callable[[Any, Any], float]
) -> Sequence[tuple[int | None, int | None]]:
    if len(one) == len(other):
        return [(at, at) for at in range(len(one))]
    return paired(one, other, cost)


def _joined(path: str, name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[\w@-]+", name):
        return f"{path}[{_text(name)}]"
    return f"{path}.{name}" if path else name


def _text(value: Any) -> str:
    try:
        return encode_json(value).decode()
    except ValueError:
        return repr(value)


def _cut(text: str, start: int, width: int) -> str:
    head = "... " if start else ""
    rest = text[start:]
    return head + (rest if len(rest) <= width else f"{rest[: width - 4]} ...")
