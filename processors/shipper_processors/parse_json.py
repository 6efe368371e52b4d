"""Parse JSON."""

from typing import ClassVar

from shipper import OnError, Processor, Record, decode_json, decode_json_lines


class ParseJson(Processor):
    r"""Parse a field that holds a JSON object; the object's fields take its place.

    A line that is not a JSON object goes on as it is, with the reason in the field ``parse_error``, so that a stack
    trace between JSON lines is not lost. Other fields of the record stay, unless the object has one of the same name.
    Integers keep every digit; of equal names in an object the last one wins.

    Example::

        processors:
          - parse_json                                     # every line is JSON
          - parse_json: {field: payload}                   # {"payload": "{\"a\": 1}"} becomes {"a": 1}
          - parse_json: {where: "startswith(message, '{')"}  # only lines that look like JSON
    """

    field: str = "message"
    """The field that holds the JSON text."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """The quick way: lines to records without a record for the line in between."""
        return list(decode_json_lines(lines)) if self.field == "message" else None

    def process(self, record: Record) -> Record:
        """Put the object's fields in the place of the text."""
        text = record.get(self.field)
        if not isinstance(text, str):
            raise ValueError(f"the field {self.field} is not text")  # noqa: TRY004 - what is wrong is the record
        parsed = decode_json(text)
        if len(record) == 1:
            return parsed
        return {name: value for name, value in record.items() if name != self.field} | parsed
