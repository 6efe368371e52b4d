"""Parse CSV."""

import csv
from collections.abc import Sequence
from typing import Literal

from shipper import Processor, Record
from shipper_processors._csv import rows
from shipper_processors._numbers import converter
from shipper_processors._text import Dropped, TextParser


class ParseCsv(TextParser, Processor):
    """Parse a field that holds one row of comma-separated values (RFC 4180); its columns take its place as fields.

    A value in quotes may hold separators, quotes (written twice) and, where ``multiline`` joined the lines, newlines.
    A row that equals the names of the columns is the header, and is dropped. A row with more or fewer columns goes on
    as it is, with the reason in ``parse_error``.

    Example::

        processors:
          - parse_csv: {columns: [at, user, action, took], types: {took: float}}
          - parse_csv: {columns: [a, "", c], separator: ";"}    # 1;2;3 -> {"a": "1", "c": "3"}
    """

    columns: list[str]
    """The names of the columns, in their order. A column without a name is left out."""
    separator: str = ","
    """What stands between the columns: one character, such as ``;`` or ``"\\t"``."""
    quote: str = '"'
    """The character around values that hold separators."""
    types: dict[str, Literal["int", "float"]] = {}  # noqa: RUF012 - each instance gets a copy
    """Columns that are numbers. Where one holds nothing, or ``-``, it is null."""
    header: Literal["drop", "parse"] = "drop"
    """What becomes of a row that equals the names of the columns: ``parse`` takes it for a row like any other."""

    def setup(self) -> None:
        """:raises ValueError: columns are missing or stand twice, or a separator is not one character."""
        super().setup()
        named = [name for name in self.columns if name]
        twice = sorted({name for name in named if named.count(name) > 1})
        if not named or twice:
            said = f"columns names {', '.join(twice)} twice" if twice else "columns is empty"
            raise ValueError(f"{said}; write the name of each column, as in columns: [at, user, took]")
        for setting in ("separator", "quote"):
            value = getattr(self, setting)
            if len(value) != 1 or value in "\r\n":
                raise ValueError(f"{setting} is {value!r}, not one character")
        if self.separator == self.quote:
            raise ValueError("separator and quote are the same character")
        unknown = ", ".join(name for name in self.types if name not in named)
        if unknown:
            raise ValueError(f"types names what is no column: {unknown}; there are {', '.join(named)}")
        self.converters = [(name, converter(kind, name)) for name, kind in self.types.items()]
        self.unnamed = "" in self.columns

    @property
    def names(self) -> frozenset[str] | None:
        """The columns."""
        return frozenset(name for name in self.columns if name)

    def parse(self, text: str) -> Record:
        """The columns of a text.

        :raises ValueError: it is not such a row.
        :raises Dropped: it is the header.
        """
        text = text.removesuffix("\r")
        values = self._values(text) if self.quote in text else text.split(self.separator)
        if len(values) != len(self.columns):
            raise ValueError(f"there are {len(values)} columns, not {len(self.columns)}")
        if values == self.columns and self.header == "drop":
            raise Dropped("it is the header")
        fields: Record = dict(zip(self.columns, values, strict=True))
        if self.unnamed:
            fields.pop("", None)
        for name, convert in self.converters:
            fields[name] = convert(fields[name])
        return fields

    def _values(self, text: str) -> Sequence[str]:
        reader = rows([text], delimiter=self.separator, quotechar=self.quote)
        try:
            return next(reader)
        except csv.Error as error:
            raise ValueError(f"it is not CSV: {error}") from None
