"""An expression of ``re``, written out again so that the package ``regex`` reads the same into it. Sans-IO.

``regex`` knows more than ``re``: ``(?:x){e}`` is text to the one and "x with errors" to the other, and so are POSIX
classes. So it gets what ``re`` understood: the tree, written with nothing but what both have in common.
"""

import importlib
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final

_sre: Final[Any] = importlib.import_module("re._parser")
_ANCHORS: Final = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": r"\A",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
    "AT_END": "$",
    "AT_END_STRING": r"\Z",
}
_LAZY: Final = {"MAX_REPEAT": "", "MIN_REPEAT": "?", "POSSESSIVE_REPEAT": "+"}
_INLINE: Final = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.ASCII: "a", re.UNICODE: "u"}


def tree_of(pattern: re.Pattern[str]) -> Any:
    """What ``re`` understood: a list of operations and their arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a "possible nested set" is what was written
        return _sre.parse(pattern.pattern, pattern.flags)


def rewritten(tree: Any, names: Mapping[int, str]) -> str:
    """The expression of a tree. Its flags, apart from ``VERBOSE``, still have to be given.

    :raises ValueError: a later version of ``re`` put something into the tree that is not known here.
    """
    return _sequence(tree, names)


def _sequence(nodes: Any, names: Mapping[int, str]) -> str:
    return "".join(_node(str(operation), argument, names) for operation, argument in nodes)


def _node(operation: str, argument: Any, names: Mapping[int, str]) -> str:  # noqa: C901 - a case each
    match operation:
        case "LITERAL":
            return _literal(argument)
        case "NOT_LITERAL":
            return f"[^{_literal(argument)}]"
        case "ANY":
            return "."
        case "IN":
            return f"[{''.join(_member(str(kind), value) for kind, value in argument)}]"
        case "AT":
            return _ANCHORS[str(argument)]
        case "BRANCH":
            return f"(?:{'|'.join(_sequence(nodes, names) for nodes in argument[1])})"
        case "SUBPATTERN":
            return _group(argument, names)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, nodes = argument
            bound = "" if str(most) == "MAXREPEAT" else int(most)
            return f"(?:{_sequence(nodes, names)}){{{least},{bound}}}{_LAZY[operation]}"
        case "ATOMIC_GROUP":
            return f"(?>{_sequence(argument, names)})"
        case "ASSERT" | "ASSERT_NOT":
            direction, nodes = argument
            sign = "=" if operation == "ASSERT" else "!"
            return f"(?{'<' if direction < 0 else ''}{sign}{_sequence(nodes, names)})"
        case "GROUPREF":
            return f"(?P={names[argument]})" if argument in names else f"(?:\\{argument})"
        case "GROUPREF_EXISTS":
            number, yes, no = argument
            return f"(?({number}){_sequence(yes, names)}{'|' + _sequence(no, names) if no else ''})"
        case "FAILURE":
            return "(?!)"
    raise ValueError(f"the regular expression holds what cannot be matched with a deadline ({operation})")


def _group(argument: Any, names: Mapping[int, str]) -> str:
    number, added, removed, nodes = argument
    inner = _sequence(nodes, names)
    on, off = ("".join(letter for flag, letter in _INLINE.items() if flags & flag) for flags in (added, removed))
    if on or off:
        inner = f"(?{on}{'-' + off if off else ''}:{inner})"
    if number is None:
        return f"(?:{inner})"
    return f"(?P<{names[number]}>{inner})" if number in names else f"({inner})"


def _literal(code: int) -> str:
    return chr(code) if chr(code).isalnum() else f"\\U{code:08x}"


def _member(kind: str, value: Any) -> str:
    match kind:
        case "NEGATE":
            return "^"
        case "LITERAL":
            return _literal(value)
        case "RANGE":
            return f"{_literal(value[0])}-{_literal(value[1])}"
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[str(value).rpartition("_")[2]]
    return f"\\{letter.upper() if 'NOT_' in str(value) else letter}"
