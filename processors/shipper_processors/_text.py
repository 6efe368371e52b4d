"""What the parsers of text have in common: one field that holds it, and what becomes of the record around it."""

from collections.abc import Callable
from typing import Any, ClassVar

from shipper import OnError, Processor, Record, decode_text
from shipper_processors import _paths


class Dropped(ValueError):
    """A text that is no record, and nothing to be told about: it is dropped, and counted as such."""


class TextParser(Processor, kw_only=True):
    """The base of parsers that make fields of one text. A subclass writes ``parse``, and ``names`` if it knows them."""

    field: str = "message"
    """The field that holds the text. What is found takes its place."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"

    def setup(self) -> None:
        """:raises ValueError: ``field`` is no field's name."""
        self.path = _paths.parse(self.field)

    def parse(self, text: str) -> Record:
        """The fields of a text. :raises ValueError: it cannot be parsed; the message says why."""
        raise NotImplementedError(f"{type(self).__name__} must define parse: {len(text)}")

    def parse_for(self, lines: list[bytes]) -> Callable[[str], Record]:
        """What does as ``parse`` for the text of these lines, where there is something quicker."""
        del lines
        return self.parse

    @property
    def names(self) -> frozenset[str] | None:
        """The outermost names of all fields that ``parse`` can give; None: nobody knows."""
        return None

    @property
    def nested(self) -> frozenset[str]:
        """Those of them that are objects: they are joined with an object of that name which is there already."""
        return frozenset()

    @property
    def reads(self) -> frozenset[str] | None:
        """The field with the text, and objects that get more fields."""
        return self.nested | {self.path[0]}

    @property
    def writes(self) -> frozenset[str] | None:
        """The field with the text, what is found in it, and the reason why nothing is."""
        return None if self.names is None else self.names | {self.path[0], self.error_field}

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """The quick way: lines to records without a record for the line in between."""
        if self.path != ("message",):
            return None
        parse = self.parse_for(lines)
        results: list[Record | Exception] = []
        rest = iter(decode_text(lines)[0])
        while len(results) < len(lines):
            try:
                for text in rest:
                    results.append(parse(text))  # noqa: PERF401 - what was parsed before an error must stay
            except Dropped:
                return None  # there is no result for it here
            except ValueError as error:
                results.append(error.with_traceback(None))
        return results

    def process(self, record: Record) -> Record | None:
        """Put what is found in the place of the text."""
        text = _paths.get(record, self.path)
        if not isinstance(text, str):
            problem = "missing" if text is _paths.ABSENT else "not text"
            raise ValueError(f"the field {self.field} is {problem}")  # noqa: TRY004 - what is wrong is the record
        try:
            fields = self.parse(text)
        except Dropped:
            return None
        left = {name: value for name, value in record.items() if name != self.field} if len(self.path) == 1 else record
        _paths.pop(left, self.path)
        for name in self.nested & fields.keys():
            there = left.get(name)
            if isinstance(there, dict):
                fields[name] = _joined(there, fields[name])
        return {**left, **fields}

    def why_dropped(self, record: Record) -> str:
        """What ``parse`` says of the text."""
        try:
            self.parse(_paths.get(record, self.path))
        except Dropped as reason:
            return str(reason)
        return ""


def _joined(there: Record, more: Record) -> Record:
    """Two objects as one; where both have a field, the second one's counts, unless both are objects again."""
    joined: dict[str, Any] = dict(there)
    for name, value in more.items():
        old = joined.get(name)
        joined[name] = _joined(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return joined
