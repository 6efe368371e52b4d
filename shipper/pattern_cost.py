"""How much work a regular expression may make of a text, at worst, by looking at the expression alone. Sans-IO.

A backtracking matcher is slow where it can choose: ``(a+)+$`` may split a row of letters in any number of ways, and
tries them all before it gives up. A choice that the next character decides (``[^ ]+ `` must stop at the blank) costs
nothing. So the tree of the expression is walked from its end to its beginning with what can follow (``_Rest``):

- a repeat without bounds whose characters cannot begin what follows is *decided*; another one multiplies the work of
  the rest by the length of the text;
- a choice inside a repeat without bounds can be made again in every round: there is no bound that would help.

It errs on the side of too much work: what it does not tell apart (most characters above U+00FF, what a reference to a
group stands for) is taken for a choice.
"""

import math
import re
from functools import cache
from typing import Any, Final, NamedTuple

_STEPS: Final = 4_000_000
"""So many steps of the matcher (a few hundredths of a second) are no danger."""
_FEW: Final = 32
"""Nor are so many for each character of a text, however long it is: a line of 1 MiB takes a fifth of a second then."""
_UNROLLED: Final = 64
"""A group that is repeated at most so often is looked at round by round; more is as good as no bound."""
_MAX_NODES: Final = 200_000
"""Larger than this, unrolled, an expression counts as dangerous without being looked at further."""
_DIGITS, _LETTERS, _SPACES, _REST = (1 << bit for bit in range(256, 260))
_OTHERS: Final = _DIGITS | _LETTERS | _SPACES | _REST
_ALL: Final = (1 << 260) - 1
_LATIN: Final = sum(1 << code for code in range(256) if chr(code).isalpha())
_END: Final = 1 << 260
"""Stands for the end of a part, to see whether there is a way through it that takes no character."""
_MANY: Final = 64
"""From so many repeats of one character on, a bounded repeat is as good as one without bounds."""


class _Rest(NamedTuple):
    """What a matcher has before it at some place of an expression: at most ``factor * length ** degree`` steps."""

    degree: float
    factor: float
    first: int
    """The characters that may come next: a bit each for U+0000 to U+00FF, and for what is above them one bit for the
    digits, one for the other characters of words, one for the blanks, one for the rest."""
    certain: bool
    """It matches whatever comes: nothing that was chosen before is ever chosen again."""
    open: bool
    """There is a choice in it that the next character does not decide."""


_DONE: Final = _Rest(0, 1, _ALL, certain=True, open=False)


def safe_lengths(tree: Any, flags: int) -> tuple[int | None, int | None]:
    """Texts of how many characters ``re`` can be trusted with, for this expression: of one line, and of several, where
    ``^`` may mean that there are more beginnings. None: of any length.
    """
    try:
        if captures_for_good(tree, atomic=False):
            return 0, 0  # CPython mixed such groups up until 3.11.8 and 3.12.2 (gh-101955), where ``regex`` does not
        found = _Walk().sequence(tree, _DONE, flags)
    except (_TooLarge, RecursionError):
        return 0, 0
    return _length(found, _anchored(tree, 0)), _length(found, _anchored(tree, flags))


def captures_for_good(nodes: Any, *, atomic: bool) -> bool:
    """There is a capturing group inside of a part that is never entered again, such as ``(?>...)``."""
    for operation, argument in nodes:
        name = str(operation)
        if atomic and name == "SUBPATTERN" and argument[0] is not None:
            return True
        inside = atomic or name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP")
        parts = argument if isinstance(argument, (tuple, list)) else [argument]
        parts = argument[1] if name == "BRANCH" else parts
        if any(captures_for_good(part, atomic=inside) for part in parts if hasattr(part, "getwidth")):
            return True
    return False


def _length(found: _Rest, anchored: bool) -> int | None:
    degree = 1.0 if found.degree < 1 else found.degree + (not anchored)
    if degree == 1 and found.factor <= _FEW:
        return None
    return 0 if degree == math.inf else int((_STEPS / found.factor) ** (1 / degree))


class _TooLarge(Exception):
    """The expression has more parts than are worth looking at."""


class _Walk:
    """One walk through a tree of ``re._parser``."""

    def __init__(self) -> None:
        self._nodes = 0

    def sequence(self, nodes: Any, rest: _Rest, flags: int) -> _Rest:
        """What is before a matcher at the beginning of these nodes, with ``rest`` behind them."""
        for operation, argument in reversed(list(nodes)):
            self._nodes += 1
            if self._nodes > _MAX_NODES:
                raise _TooLarge
            rest = self._node(str(operation), argument, rest, flags)
        return rest

    def _node(self, operation: str, argument: Any, rest: _Rest, flags: int) -> _Rest:  # noqa: C901 - a case each
        match operation:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return rest._replace(first=_characters(operation, argument, flags), certain=False)
            case "SUBPATTERN":
                _, added, removed, nodes = argument
                return self.sequence(nodes, rest, (flags | added) & ~removed)
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(argument, rest, flags)
            case "POSSESSIVE_REPEAT":
                return self._atomic(self._repeat(argument, _DONE._replace(first=_END), flags), rest)
            case "ATOMIC_GROUP":
                return self._atomic(self.sequence(argument, _DONE._replace(first=_END), flags), rest)
            case "BRANCH":
                return _either([self.sequence(nodes, rest, flags) for nodes in argument[1]])
            case "ASSERT" | "ASSERT_NOT":
                inner = self.sequence(argument[1], _DONE, flags)
                again = inner.degree + 1 if inner.degree else 0
                return rest._replace(degree=max(rest.degree, again), factor=rest.factor + inner.factor, certain=False)
            case "AT":
                if str(argument) in ("AT_END", "AT_END_STRING"):
                    rest = rest._replace(first=1 << ord("\n") if str(argument) == "AT_END" else 0)
                return rest._replace(certain=False)
            case "GROUPREF":
                return rest._replace(degree=max(1, rest.degree), first=_ALL, certain=False)
            case "GROUPREF_EXISTS":
                _, yes, no = argument
                return _either([self.sequence(nodes or [], rest, flags) for nodes in (yes, no)])._replace(open=True)
            case _:  # FAILURE, and what later versions may add
                return _Rest(math.inf, 1, _ALL, certain=False, open=True)

    def _repeat(self, argument: Any, rest: _Rest, flags: int) -> _Rest:
        least, most, body = argument
        single = self._single(body, flags)
        if single is None and int(most) <= _UNROLLED:
            return self._rounds(least, int(most), body, rest, flags)
        one = self.sequence(body, _Rest(0, 1, _END, certain=False, open=False), flags)
        begins = one.first & ~_END
        following = rest.first if least == 0 else 0
        decided = rest.certain or not begins & rest.first
        certain = least == 0 and rest.certain
        if single is not None and int(most) - least < _MANY:
            factor = rest.factor if decided else rest.factor * (int(most) - least + 1)
            factor += int(most) if rest.degree == 0 else 0
            return _Rest(rest.degree, factor, begins | following, certain, rest.open or not decided)
        if single is None:
            again = self.sequence(body, _Rest(0, 1, begins, certain=False, open=False), flags)
            if again.open or one.first & _END:
                return _Rest(math.inf, 1, begins | following, certain=False, open=True)
            rest = rest._replace(degree=max(rest.degree, again.degree), factor=max(rest.factor, again.factor))
            # Where it could also go on behind the group, it can do that once at every place.
            either = self.sequence(body, _Rest(0, 1, begins | rest.first, certain=False, open=False), flags)
            decided = decided and (rest.certain or not either.open)
        degree = max(1, rest.degree) if decided else 1 + rest.degree
        return _Rest(degree, rest.factor, begins | following, certain, rest.open or not decided)

    def _rounds(self, least: int, most: int, body: Any, rest: _Rest, flags: int) -> _Rest:
        """A group that is repeated a few times, as if it were written out."""
        inner = rest
        for number in range(most, 0, -1):
            once_more = self.sequence(body, inner, flags)
            inner = _either([once_more, rest]) if number > least else once_more
        return inner

    def _single(self, body: Any, flags: int) -> int | None:
        """The characters, if what is repeated is always one character."""
        while len(body) == 1:
            operation, argument = body[0]
            match str(operation):
                case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                    return _characters(str(operation), argument, flags)
                case "SUBPATTERN":
                    flags, body = (flags | argument[1]) & ~argument[2], argument[3]
                case _:
                    break
        return None

    def _atomic(self, inner: _Rest, rest: _Rest) -> _Rest:
        """A part that is never entered again once it has matched."""
        first = inner.first & ~_END | (rest.first if inner.first & _END else 0)
        degree = inner.degree + 1 if inner.open and inner.degree else inner.degree
        certain = inner.certain and rest.certain
        return _Rest(max(degree, rest.degree), inner.factor + rest.factor, first, certain, rest.open)


def _either(ways: list[_Rest]) -> _Rest:
    """Alternatives, tried one after the other."""
    first = 0
    decided = True
    for way in ways:
        decided = decided and not first & way.first
        first |= way.first
    return _Rest(
        max(way.degree for way in ways),
        max(way.factor for way in ways) if decided else sum(way.factor for way in ways),
        first,
        ways[-1].certain,
        any(way.open for way in ways) or not decided,
    )


def _anchored(nodes: Any, flags: int) -> bool:
    """It can match at the beginning of a text only."""
    for operation, argument in nodes:
        if str(operation) == "SUBPATTERN":
            return _anchored(argument[3], flags)
        return str(argument) == "AT_BEGINNING_STRING" or (str(argument) == "AT_BEGINNING" and not flags & re.MULTILINE)
    return False


def _characters(operation: str, argument: Any, flags: int) -> int:
    """The characters that a part of one character may match."""
    match operation:
        case "ANY":
            return _ALL if flags & re.DOTALL else _ALL & ~(1 << ord("\n"))
        case "LITERAL":
            return _range(argument, argument, flags)
        case "NOT_LITERAL":
            return _ALL & ~_range(argument, argument, flags) | _OTHERS
    some, whole, negated = 0, 0, False
    for kind, value in argument:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                some |= _range(value, value, flags)
            case "RANGE":
                some |= _range(value[0], value[1], flags)
            case _:
                whole |= _category(str(value), bool(flags & re.ASCII))
    # Of those above U+00FF some are left when single ones are excluded.
    return _ALL & ~(some & ~_OTHERS | whole) if negated else some | whole


def _range(low: int, high: int, flags: int) -> int:
    found = (1 << min(high, 255) + 1) - (1 << low) if low < 256 else 0
    if high > 255:
        found |= _other(chr(high)) if low == high else _OTHERS
    if flags & re.IGNORECASE:
        for code in range(256):
            if found >> code & 1:
                for other in chr(code).lower() + chr(code).upper():
                    found |= 1 << ord(other) if ord(other) < 256 else _LETTERS
        found |= _LETTERS  # such as the Kelvin sign, which is a k
        found |= _LATIN if high > 255 else 0
    return found


def _other(character: str) -> int:
    """The bit of a character above U+00FF."""
    if not re.match(r"\w", character):
        return _SPACES if character.isspace() else _REST
    return _DIGITS if re.match(r"\d", character) else _LETTERS


@cache
def _category(name: str, ascii_only: bool) -> int:
    r"""The characters of ``\d``, ``\S`` ..."""
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name.rpartition("_")[2]]
    matches = re.compile(f"\\{letter}", re.ASCII if ascii_only else 0).match
    found = sum(1 << code for code in range(256) if matches(chr(code)))
    if not ascii_only:
        found |= {"d": _DIGITS, "s": _SPACES, "w": _DIGITS | _LETTERS}[letter]
    return _ALL & ~found if "NOT_" in name else found
