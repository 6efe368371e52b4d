"""Parse text with a regular expression."""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from shipper import OnError, Processor, Record, decode_text


class ParseRegex(Processor):
    r"""Match a field against a regular expression; the named groups take its place as fields.

    The expression may match anywhere in the text (write ``^`` and ``$`` where that matters). A line that it does not
    match, or whose groups are not of their types, goes on as it is, with the reason in the field ``parse_error``. Other
    fields of the record stay, unless a group has the same name. A group that took no part in the match is null.

    Example::

        processors:
          - parse_regex:
              pattern: '^(?P<client>\S+) \S+ \S+ \[(?P<at>[^\]]+)\] "(?P<url>[^"]*)" (?P<status>\d+) (?P<bytes>\S+)'
              types: {status: int, bytes: int}
    """

    pattern: re.Pattern[str]
    """A regular expression of Python with at least one named group, ``(?P<name>...)``."""
    field: str = "message"
    """The field that holds the text."""
    types: dict[str, Literal["int", "float"]] = {}  # noqa: RUF012 - each instance gets a copy
    """Groups that are numbers. Where such a group holds nothing, or ``-`` as access logs write it, it is null."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"

    def setup(self) -> None:
        """:raises ValueError: the expression has no named groups, or ``types`` names one that it does not have."""
        groups = self.pattern.groupindex
        if not groups:
            raise ValueError("pattern has no named group: write (?P<name>...) around what is to become a field")
        unknown = ", ".join(name for name in self.types if name not in groups)
        if unknown:
            raise ValueError(f"types names what is no group of the pattern: {unknown}; there are {', '.join(groups)}")
        self.converters: list[tuple[str, Callable[[str], Any]]] = [
            (name, _to_int if kind == "int" else _to_float) for name, kind in self.types.items()
        ]
        self.search = self.pattern.search

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """The quick way: lines to records without a record for the line in between."""
        if self.field != "message":
            return None
        results: list[Record | Exception] = []
        for text in decode_text(lines)[0]:
            try:
                results.append(self.parse(text))
            except ValueError as error:
                results.append(error)
        return results

    def process(self, record: Record) -> Record:
        """Put the groups in the place of the text."""
        text = record.get(self.field)
        if not isinstance(text, str):
            raise ValueError(f"the field {self.field} is not text")  # noqa: TRY004 - what is wrong is the record
        fields = self.parse(text)
        return {name: value for name, value in record.items() if name != self.field} | fields

    def parse(self, text: str) -> Record:
        """The groups of a text. :raises ValueError: it does not match, or a group is not of its type."""
        match = self.search(text)
        if match is None:
            raise ValueError("the pattern does not match")
        fields: Record = match.groupdict()
        for name, convert in self.converters:
            fields[name] = convert(fields[name])
        return fields


def _to_int(text: str | None) -> int | None:
    if text is None or text in ("", "-"):
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text[:40]} is not a whole number") from None


def _to_float(text: str | None) -> float | None:
    if text is None or text in ("", "-"):
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]} is not a number") from None
    if number - number != 0:
        raise ValueError(f"{text[:40]} is not a number that JSON can hold")
    return number
