"""Convert fields to other types."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final, Literal

import msgspec

from shipper import OnError, Processor, Record
from shipper_processors import _paths

_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "f", "n", "0"), False),
}
_INT: Final = re.compile(r"[+-]?[0-9]{1,4300}")
"""JSON of other programs, and Python, read no longer ones."""
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Convert(Processor):
    """Make numbers, truth values or text of fields.

    - ``int``: of text such as ``-42``, of any size; of a float without a fraction.
    - ``float``: of text such as ``0.25`` or ``1e3``, and of integers. What is not finite is refused.
    - ``bool``: of ``true yes on t y 1`` and ``false no off f n 0``, in any case, and of the numbers 1 and 0.
    - ``string``: of anything, spelled as JSON has it.

    A field that is not there, or is null, is left alone. Where one of the fields cannot be converted the record goes on
    with all of them as they were, and the reason in the field ``convert_error``.

    Example::

        processors:
          - convert: {types: {status: int, duration: float, cached: bool, order.id: string}}
          # {"status": "200", "order": {"id": 7}} -> {"status": 200, "order": {"id": "7"}}
    """

    types: dict[str, Literal["int", "float", "bool", "string"]]
    """The fields and what they are to be. They are written as in a condition: ``http.status`` is inside ``http``, a
    name with a dot in it is ``field('a.b')``."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "convert_error"

    def setup(self) -> None:
        """:raises ValueError: there is nothing to convert, or a name is none."""
        if not self.types:
            raise ValueError("types is empty: name at least one field, as in types: {status: int}")
        self.converters = [(_paths.parse(name), name, _CONVERTERS[kind]) for name, kind in self.types.items()]

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields."""
        return frozenset(path[0] for path, _, _ in self.converters)

    @property
    def writes(self) -> frozenset[str] | None:
        """The same, and the reason."""
        return frozenset((*(path[0] for path, _, _ in self.converters), self.error_field))

    def process(self, record: Record) -> Record:
        """Convert all of the fields, or none."""
        converted: list[tuple[_paths.Path, Any]] = []
        for path, name, convert in self.converters:
            value = _paths.get(record, path)
            if value is None or value is _paths.ABSENT:
                continue
            try:
                converted.append((path, convert(value)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        for path, value in converted:
            _paths.put(record, path, value)
        return record


def _to_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INT.fullmatch(value.strip()):
        return int(value)
    raise ValueError(f"{_shown(value)} is not a whole number")


def _to_float(value: Any) -> float:
    number = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    elif isinstance(value, str) and _FLOAT.fullmatch(value.strip()):
        number = float(value)
    if number is None:
        raise ValueError(f"{_shown(value)} is not a number")
    if number - number != 0:
        raise ValueError(f"{_shown(value)} is not a number that JSON can hold")
    return number


def _to_bool(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _WORDS:
        return _WORDS[word]
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{_shown(value)} is neither true nor false")


def _to_string(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: Any) -> str:
    """A value in a message: its beginning."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = _to_string(value)
    return text if len(text) <= 40 else text[:40] + "..."


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "string": _to_string,
}
