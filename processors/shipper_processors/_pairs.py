"""What becomes of pairs of names and values that were found in a text: which count, under which names."""

from typing import Any, Literal

from shipper import Record
from shipper_processors import _paths
from shipper_processors._numbers import converter
from shipper_processors._text import TextParser


class PairParser(TextParser, kw_only=True):
    """The base of parsers that find the names of fields in the text. A subclass writes ``pairs``."""

    prefix: str = ""
    """What stands before the name of every field that is made."""
    into: str = ""
    """Put the fields into this object; nested ones as in a condition. Fields of the record are safe from those in the
    text then."""
    include: list[str] = []  # noqa: RUF012 - each instance gets a copy
    """Only these names, without the prefix; empty: all."""
    exclude: list[str] = []  # noqa: RUF012
    """Not these names, without the prefix."""
    types: dict[str, Literal["int", "float"]] = {}  # noqa: RUF012
    """Names, without the prefix, whose values are numbers. Where one holds nothing, or ``-``, it is null."""

    def setup(self) -> None:
        """:raises ValueError: ``field`` is no field's name, or a type is for a name that does not count."""
        super().setup()
        self.outer = _paths.parse(self.into) if self.into else ()
        self.converters = {name: converter(kind, name) for name, kind in self.types.items()}
        self.included = frozenset(self.include)
        self.excluded = frozenset(self.exclude)
        lost = [name for name in self.types if name in self.excluded or (self.included and name not in self.included)]
        self.as_found = not (self.prefix or self.into or self.types or self.include or self.exclude)
        """A pair becomes a field, and nothing else happens."""
        if lost:
            raise ValueError(f"types names what is left out: {', '.join(lost)}")

    @property
    def names(self) -> frozenset[str] | None:
        """The object, or those that are to be taken; else nobody knows."""
        if self.into:
            return frozenset(self.outer[:1])
        return frozenset(self.prefix + name for name in self.include) if self.include else None

    @property
    def nested(self) -> frozenset[str]:
        """``into``: it may be there."""
        return frozenset(self.outer[:1])

    def pairs(self, text: str) -> list[tuple[str, Any]]:
        """The names and values in a text. :raises ValueError: there are none, or they cannot be read."""
        raise NotImplementedError(f"{type(self).__name__} must define pairs: {len(text)}")

    def parse(self, text: str) -> Record:
        """The fields of a text; a name that stands there several times has a list of its values.

        :raises ValueError: there are none, or they cannot be read.
        """
        pairs = self.pairs(text)
        fields: Record = dict(pairs)
        if self.as_found and len(fields) == len(pairs):
            return fields
        fields = {}
        included, excluded, converters, prefix = self.included, self.excluded, self.converters, self.prefix
        for name, found in pairs:
            if name in excluded or (included and name not in included):
                continue
            value = converters[name](found) if name in converters and isinstance(found, str) else found
            key = prefix + name
            if key not in fields:
                fields[key] = value
            elif isinstance(fields[key], list):  # no value is one by itself
                fields[key].append(value)
            else:
                fields[key] = [fields[key], value]
        for name in reversed(self.outer):
            fields = {name: fields}
        return fields
