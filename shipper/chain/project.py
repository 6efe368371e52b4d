"""Projection: a few fields of many JSON lines, decoded at one go. Sans-IO.

What msgspec skips it checks but for two things, which would be an error, or repaired, in a line that is decoded whole:

- Text that is not UTF-8. Lines must be valid before they come here.
- Integers of more than 4,300 digits. So many digits in a row are looked for in the whole buffer, at every 250th byte;
  where there are some, every line is decoded whole.
- Where a line ends. ``decode_lines`` reads values, one after the other, and a newline is a blank to it. Here every line
  begins with ``{`` and ends with ``}``. Inside of a value no ``{`` can follow a ``}`` without a comma between them, so
  no value goes beyond its line; then as many values as lines means one on each.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, TypedDict

import msgspec

from shipper.batch import Record
from shipper.chain.decode import decode_json

_FIRST: Final = itemgetter(0)
_LAST: Final = itemgetter(-1)
_STRIDE: Final = 250
_DIGITS: Final = b"0" * 16
"""4,301 digits in a row are at least 17 bytes at that distance from each other."""
_SHAPE: Final = bytes(48 if c in b"0123456789" else c for c in range(256))
"""Every digit as 0."""


class Projection:
    """Decodes some fields of JSON objects."""

    def __init__(self, names: frozenset[str]) -> None:
        make: Any = TypedDict
        # msgspec finds a name that is not ASCII only where it is the only one
        few = all(map(str.isascii, names))
        kind = make("Projected", dict.fromkeys(sorted(names), Any), total=False) if few else dict[str, Any]
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        self._decode: Callable[[bytes], Record] = decoder.decode
        self._decode_lines: Callable[[bytes], list[Record]] = decoder.decode_lines

    def decode(self, data: bytes, lines: Sequence[bytes]) -> list[Record | ValueError]:
        """The fields of each line that are there; in place of a line that is not a JSON object what is wrong with it.

        ``data``: the lines, each with a newline at its end. They hold no other newlines, and are valid UTF-8.
        """
        if _DIGITS in data[::_STRIDE].translate(_SHAPE):
            return [_whole(line) for line in lines]
        found = self._together(data, lines)
        return [self._one(line) for line in lines] if found is None else found

    def _together(self, data: bytes, lines: Sequence[bytes]) -> "list[Record | ValueError] | None":
        try:
            if set(map(_FIRST, lines)) != {123} or set(map(_LAST, lines)) != {125}:
                return None
            found: list[Any] = self._decode_lines(data)
        except (IndexError, ValueError, RecursionError):  # an empty line; one that is no object
            return None
        return found if len(found) == len(lines) else None

    def _one(self, line: bytes) -> Record | ValueError:
        try:
            return self._decode(line)
        except (ValueError, RecursionError):
            return _whole(line)  # which says what is wrong as it is said elsewhere


def _whole(line: bytes) -> Record | ValueError:
    try:
        return decode_json(line)
    except ValueError as error:
        return error
