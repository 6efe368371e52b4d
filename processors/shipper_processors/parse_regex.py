"""Parse text with a regular expression."""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from shipper import Duration, Pattern, Processor, Record
from shipper_processors._numbers import converter
from shipper_processors._text import TextParser


class ParseRegex(TextParser, Processor):
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
    types: dict[str, Literal["int", "float"]] = {}  # noqa: RUF012 - each instance gets a copy
    """Groups that are numbers. Where such a group holds nothing, or ``-`` as access logs write it, it is null."""
    pattern_deadline: Duration = Duration(0.1)
    """CPU time that the expression may take for one text, where it can take long. After that the record has failed."""

    other_names: ClassVar[Mapping[str, str]] = {"match": "pattern", "regex": "pattern", "expression": "pattern"}

    def setup(self) -> None:
        """:raises ValueError: the expression has no named groups, or ``types`` names one that it does not have."""
        super().setup()
        groups = self.pattern.groupindex
        if not groups:
            raise ValueError("pattern has no named group: write (?P<name>...) around what is to become a field")
        unknown = ", ".join(name for name in self.types if name not in groups)
        if unknown:
            raise ValueError(f"types names what is no group of the pattern: {unknown}; there are {', '.join(groups)}")
        self.converters = [(name, converter(kind, name)) for name, kind in self.types.items()]
        self.matcher = Pattern(self.pattern, self.pattern_deadline)
        self.parse_text = self._with(self.matcher.search)

    @property
    def names(self) -> frozenset[str] | None:
        """The groups."""
        return frozenset(self.pattern.groupindex)

    def parse_for(self, lines: list[bytes]) -> Callable[[str], Record]:
        """Most lines are short enough to be matched without a look at their lengths."""
        return self._with(self.matcher.search_within(len(max(lines, key=len, default=b""))))

    def parse(self, text: str) -> Record:
        """The groups of a text. :raises ValueError: it does not match, or a group is not of its type."""
        return self.parse_text(text)

    def _with(self, search: Callable[[str], re.Match[str] | None]) -> Callable[[str], Record]:
        converters = self.converters

        def parse(text: str) -> Record:
            match = search(text)
            if match is None:
                raise ValueError("the pattern does not match")
            fields: Record = match.groupdict()
            for name, convert in converters:
                fields[name] = convert(fields[name])
            return fields

        return parse
