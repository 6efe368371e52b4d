"""Parse text by the delimiters in it."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from shipper import Processor, Record
from shipper_processors._dissect import Part, expression, parts_of
from shipper_processors._numbers import converter
from shipper_processors._text import TextParser


class ParseDissect(TextParser, Processor):
    """Cut a field at the delimiters of a pattern; what stands between them takes its place as fields.

    It is quicker than an expression, and enough where the parts always come in the same order: ``%{client} %{method}``
    is the text up to the first blank, and the rest. The syntax is that of Logstash and Beats:

    - ``%{name}``: a field; ``%{[http][status]}``: one in an object; ``%{}`` and ``%{?name}``: skipped.
    - ``%{+name}``: more of a field that stands before, joined by the delimiter between; ``%{+name/2}``: in this order.
    - ``%{?name}`` (or ``%{*name}``) with ``%{&name}``: the first is the name of the field that holds the second.
    - ``%{name->}``: the delimiter behind it may stand there several times, as in columns that are filled with blanks.

    A field at the end of the pattern takes the rest; what stands behind a delimiter at its end is passed over. Empty
    parts are fields too. A line that lacks a delimiter goes on as it is, with the reason in ``parse_error``.

    Example::

        processors:
          - parse_dissect:
              pattern: '%{at} %{+at} %{level->} %{thread} %{}: %{text}'
          # May 1 INFO  main x: up -> {"at": "May 1", "level": "INFO", "thread": "main", "text": "up"}
          - parse_dissect:
              pattern: '%{client} %{[http][method]} %{[http][status]} %{}'
              types: {'[http][status]': int}
    """

    pattern: str
    """Fields and the delimiters between them. Text before the first field must stand at the beginning."""
    types: dict[str, Literal["int", "float"]] = {}  # noqa: RUF012 - each instance gets a copy
    """Fields that are numbers, named as in the pattern. Where one holds nothing, or ``-``, it is null."""

    other_names: ClassVar[Mapping[str, str]] = {"match": "pattern", "mapping": "pattern", "tokenizer": "pattern"}

    def setup(self) -> None:
        """:raises ValueError: the pattern has no fields, or is not one."""
        super().setup()
        start = self.pattern.find("%{")
        if start < 0:
            raise ValueError("pattern names no field: write %{name} where one is meant")
        self.prefix = self.pattern[:start]
        self.parts = parts_of(self.pattern, start)
        unknown = ", ".join(name for name in self.types if name not in {part.name for part in self.parts})
        if unknown:
            raise ValueError(f"types names what is no field of the pattern: {unknown}")
        self.match = re.compile(expression(self.prefix, self.parts), re.DOTALL).fullmatch
        kept = [part for part in self.parts if part.sign != "?" or self._names_another(part)]
        self.numbers = [
            (part.name, converter(self.types[part.name], part.name)) for part in kept if part.name in self.types
        ]
        self.simple = [part.name for part in kept]
        self.is_simple = len({*self.simple}) == len(kept) and all(
            not part.sign and len(part.path) == 1 for part in kept
        )

    @property
    def names(self) -> frozenset[str] | None:
        """The fields of the pattern; nobody knows those that the text names."""
        if any(part.sign == "&" for part in self.parts):
            return None
        return frozenset(part.path[0] for part in self.parts if part.sign != "?")

    @property
    def nested(self) -> frozenset[str]:
        """What the pattern writes as ``[outer][inner]``."""
        return frozenset(part.path[0] for part in self.parts if len(part.path) > 1 and part.sign != "?")

    def parse(self, text: str) -> Record:
        """The fields of a text. :raises ValueError: a delimiter is missing, or a field is not of its type."""
        match = self.match(text)
        if match is None:
            raise ValueError(self._missing(text))
        if self.is_simple:
            fields: Record = dict(zip(self.simple, match.groups(), strict=True))
            for name, convert in self.numbers:
                fields[name] = convert(fields[name])
            return fields
        return self._assembled(match.groups())

    def _names_another(self, part: Part) -> bool:
        return any(other.sign == "&" and other.name == part.name for other in self.parts)

    def _assembled(self, values: tuple[str, ...]) -> Record:
        kept = [part for part in self.parts if part.sign != "?" or self._names_another(part)]
        named = {part.name: value for part, value in zip(kept, values, strict=True) if part.sign in ("", "?")}
        pieces: dict[tuple[str, ...], list[tuple[int, str, str]]] = {}
        for part, value in zip(kept, values, strict=True):
            if part.sign != "?":
                path = (named[part.name],) if part.sign == "&" else part.path
                pieces.setdefault(path, []).append((part.order, part.before or part.delimiter, value))
        record: Record = {}
        converters = dict(self.numbers)
        for path, found in pieces.items():
            found.sort(key=lambda piece: piece[0])
            text = found[0][2] + "".join(joiner + value for _, joiner, value in found[1:])
            name = path[0] if len(path) == 1 else f"[{']['.join(path)}]"
            inner = record
            for outer in path[:-1]:
                inner = inner.setdefault(outer, {})
            inner[path[-1]] = converters[name](text) if name in converters else text
        return record

    def _missing(self, text: str) -> str:
        if not text.startswith(self.prefix):
            return f"the text does not begin with {self.prefix!r}"
        at = len(self.prefix)
        for part in self.parts:
            found = text.find(part.delimiter, at)
            if found < 0:
                return f"{part.delimiter!r} was not found behind %{{{part.sign}{part.name}}}"
            at = found + len(part.delimiter)
            while part.padded and text.startswith(part.delimiter, at):
                at += len(part.delimiter)
        return "the pattern does not match"
