"""Parse JSON."""

from typing import ClassVar

from shipper import OnError, Processor, Record, decode_json, decode_json_lines
from shipper_processors import _paths


class ParseJson(Processor):
    r"""Parse a field that holds a JSON object; the object's fields take its place.

    A line that is not a JSON object goes on as it is, with the reason in the field ``parse_error``, so that a stack
    trace between JSON lines is not lost. Other fields of the record stay, unless the object has one of the same name.
    Integers keep every digit; of equal names in an object the last one wins.

    Example::

        processors:
          - parse_json                                     # every line is JSON
          - parse_json: {field: payload}                   # {"payload": "{\"a\": 1}"} -> {"a": 1}
          - parse_json: {where: "startswith(message, '{')"}  # only lines that look like JSON
    """

    field: str = "message"
    """The field that holds the JSON text; nested ones as in a condition. What is found takes its place."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"

    def setup(self) -> None:
        """:raises ValueError: ``field`` is no field's name."""
        self.path = _paths.parse(self.field)

    @property
    def takes_json(self) -> bool:
        """The line is the record."""
        return self.field == "message"

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """The quick way: lines to records without a record for the line in between."""
        return list(decode_json_lines(lines)) if self.field == "message" else None

    def process(self, record: Record) -> Record:
        """Put the object's fields in the place of the text."""
        text = _paths.get(record, self.path)
        if not isinstance(text, str):
            problem = "missing" if text is _paths.ABSENT else "not text"
            raise ValueError(f"the field {self.field} is {problem}")  # noqa: TRY004 - what is wrong is the record
        parsed = decode_json(text)
        if len(record) == 1 and len(self.path) == 1:
            return parsed
        _paths.pop(record, self.path)
        return record | parsed
