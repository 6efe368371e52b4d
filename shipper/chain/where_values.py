"""What the generated code of a condition calls: comparisons by the types of JSON, which never raise for its values."""

from collections.abc import Callable
from typing import Any


def number(value: Any) -> bool:
    """Whether the value is a number. ``true`` and ``false`` are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, 1 and true are not, at any depth."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """``compare`` for two numbers or two strings; other types have no order."""
    if (number(left) and number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return compare(left, right)
    return False


def among(value: Any, items: tuple[Any, ...]) -> bool:
    """Whether the value equals one of the items."""
    return any(equal(value, item) for item in items)


def within(value: Any, container: Any) -> bool:
    """``value in field``: an item of a list, or a part of a text."""
    if isinstance(container, list):
        return any(equal(value, item) for item in container)
    return isinstance(container, str) and isinstance(value, str) and value in container
