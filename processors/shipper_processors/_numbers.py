"""Text to numbers, where a setting says that a field is one."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

Convert: TypeAlias = Callable[[str | None], int | float | None]


def to_int(name: str, text: str | None) -> int | None:
    """A whole number; None for None, and for what access logs write where there is none: nothing, or ``-``.

    :raises ValueError: it is something else; the message begins with the ``name`` of the field.
    """
    try:
        number = int(text)  # type: ignore[arg-type] # None raises, and is rare
        if "_" not in text:  # type: ignore[operator] # 1_000 is Python's own
            return number
    except (ValueError, TypeError):
        if text is None or text in ("", "-"):
            return None
    raise ValueError(f"{name}: {str(text)[:40]} is not a whole number")


def to_float(name: str, text: str | None) -> float | None:
    """A number; None for None, for nothing, and for ``-``.

    :raises ValueError: it is something else, or JSON has no way to write it.
    """
    if text is None or text in ("", "-"):
        return None
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is None or "_" in text:
        raise ValueError(f"{name}: {text[:40]} is not a number")
    if number - number != 0:
        raise ValueError(f"{name}: {text[:40]} is not a number that JSON can hold")
    return number


_READERS: Final[Mapping[str, Callable[[str, str | None], int | float | None]]] = {"int": to_int, "float": to_float}


def converter(kind: str, name: str) -> Convert:
    """What reads a field ``name`` that is to be an ``int`` or a ``float``."""
    return partial(_READERS[kind], name)
