"""The types that a setting may have, in words for people and by the shape of what they take in YAML.

``str``, ``int``, ``float``, ``bool``, ``ByteSize``, ``Duration``, ``Share``, ``Path``, ``re.Pattern[str]``,
``Literal``, ``Enum``, ``Any``; lists, sets and tuples (``tuple[X, ...]``) of one type;
``dict[str, ...]``; other ``msgspec.Struct`` classes;
unions of all these; and ``Annotated`` with the bounds of ``msgspec.Meta``. No Python or msgspec name of a type ever
reaches a message.
"""

import re
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from shipper.units import ByteSize, Duration, Share

_WORDS: Final[dict[Any, str]] = {
    Any: "a value",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    ByteSize: "a size such as 4096, 256KiB or 1GiB",
    Duration: "a duration such as 100ms, 5s or 1h",
    Share: "a percentage such as 5%, or a size such as 200MiB",
    Path: "a path",
    re.Pattern: "a regular expression",
    NoneType: "nothing",
}
_PLURALS: Final[dict[Any, str]] = {
    str: "text",
    int: "whole numbers",
    float: "numbers",
    ByteSize: "sizes",
    Duration: "durations",
    Share: "percentages or sizes",
    Path: "paths",
    re.Pattern: "regular expressions",
}
_ARRAYS: Final = (list, set, frozenset, tuple)

Shape = Literal["mapping", "list", "scalar", "any", "unsupported"]


def bare(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    """The type without ``Annotated``, aliases and new types around it, and the bounds found on the way."""
    bounds: list[msgspec.Meta] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *extra = get_args(hint)
            bounds += [meta for meta in extra if isinstance(meta, msgspec.Meta)]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif hasattr(hint, "__value__"):
            hint = hint.__value__
        elif get_origin(hint) is re.Pattern:
            return re.Pattern, bounds
        else:
            return hint, bounds


def members(hint: Any) -> list[Any]:
    """The types of a union; of anything else, itself."""
    union, bounds = bare(hint)
    if get_origin(union) not in (Union, UnionType):
        return [hint]
    return [Annotated[member, *bounds] if bounds else member for member in get_args(union)]


def shape(hint: Any) -> Shape:
    """Which kind of YAML value a type (no union) takes."""
    hint, _ = bare(hint)
    origin = get_origin(hint) or hint
    if hint is Any:
        return "any"
    if is_struct(hint) or origin is dict:
        return "mapping"
    if origin in _ARRAYS:
        arguments = get_args(hint)
        return "list" if origin is not tuple or arguments[1:] in ((), (...,)) else "unsupported"
    return "scalar" if origin is Literal or origin in _WORDS or is_enum(hint) else "unsupported"


def is_struct(hint: Any) -> bool:
    """A class with settings of its own."""
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def is_enum(hint: Any) -> bool:
    """A choice, by the values of an Enum."""
    return isinstance(hint, type) and issubclass(hint, Enum)


def choices(hint: Any) -> list[Any] | None:
    """The values to choose from; None when it is not a choice."""
    hint, _ = bare(hint)
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [member.value for member in hint] if is_enum(hint) else None


def as_text(choice: Any) -> str:
    """A choice as a config writes it."""
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def item_type(hint: Any) -> Any:
    """What a list holds."""
    return (get_args(bare(hint)[0]) or (Any,))[0]


def key_and_value_types(hint: Any) -> tuple[Any, Any]:
    """What a dict holds."""
    arguments = get_args(bare(hint)[0]) or (str, Any)
    return arguments[0], arguments[1]


def settings(cls: type[Any]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The settings of a struct class.

    :raises TypeError: an annotation cannot be understood; the message names the class.
    """
    try:
        return msgspec.structs.fields(cls)
    except NameError as error:
        raise TypeError(f"the annotations of {cls.__name__} cannot be resolved: {error}") from error


def words(hint: Any) -> str:
    """What a setting takes, in words: ``a list of text``, ``a size such as ... or nothing``."""
    variants = members(hint)
    if len(variants) > 1:
        unsaid = (NoneType, int) if float in variants else (NoneType,)
        some = dict.fromkeys(words(member) for member in variants if member not in unsaid)
        *head, last = [*some, *(["nothing"] if NoneType in variants else [])]
        return f"{', '.join(head)} or {last}" if head else last
    hint, bounds = bare(hint)
    allowed = choices(hint)
    if allowed is not None:
        named = [f"'{as_text(choice)}'" for choice in allowed]
        return named[0] if len(named) == 1 else f"one of {', '.join(named)}"
    if shape(hint) == "list":
        inner = item_type(hint)
        if bare(inner)[0] in _PLURALS:
            return f"a list of {_PLURALS[bare(inner)[0]]}"
        return "a list" if words(inner) == "a value" else f"a list, each item {words(inner)}"
    if is_struct(hint):
        return _settings_words(hint)
    if shape(hint) == "mapping":
        inner = words(key_and_value_types(hint)[1])
        return "names with values" if inner == "a value" else f"names with values, each {inner}"
    limits = [limit for meta in bounds for limit in bound_words(meta)]
    return ", ".join([_WORDS.get(hint, "a value"), *limits])


def _settings_words(cls: type[Any]) -> str:
    try:
        return f"settings ({', '.join(field.encode_name for field in settings(cls))})"
    except TypeError:  # the component's fault; who reads its settings says so
        return "settings"


def bound_words(meta: msgspec.Meta) -> list[str]:
    """The bounds of a value in words."""
    texts = {
        "ge": "at least {}",
        "gt": "more than {}",
        "le": "at most {}",
        "lt": "less than {}",
        "multiple_of": "a multiple of {}",
        "min_length": "not shorter than {}",
        "max_length": "not longer than {}",
        "pattern": "that matches {!r}",
    }
    return [text.format(getattr(meta, key)) for key, text in texts.items() if getattr(meta, key) is not None]
