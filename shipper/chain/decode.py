"""Bytes to records. Sans-IO.

- A raw line becomes ``{"message": text}``; invalid UTF-8 becomes U+FFFD.
- JSON is decoded by msgspec, one call a line: it keeps integers of any size, and a line is one record whatever stands
  in it (``{}{}``, a value that spans lines and an empty line are errors of that line alone).
- A number that is too large for a float (``1e999``) is the text of it: nothing is lost, and a line in which nobody
  looks at such a number need not be searched for it.
- What cannot be decoded never raises here: it comes back as an exception in its place, or as a raw record.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from shipper.batch import Format, Payload, Record

if TYPE_CHECKING:
    from shipper.spool.frame import Frame

Decoded: TypeAlias = "Record | ValueError"
"""A record, or why a line is none."""

_decode: Final[Callable[[bytes | str], Record]] = msgspec.json.Decoder(dict[str, Any]).decode


def _number(text: str) -> float | str:
    number = float(text)
    return number if isfinite(number) else text


_decode_odd: Final[Callable[[bytes | str], Record]] = msgspec.json.Decoder(dict[str, Any], float_hook=_number).decode


def decode_json(text: bytes | str) -> Record:
    """The JSON object in ``text``: integers keep every digit, a number beyond a float is text, the last of equal
    names wins, invalid UTF-8 is U+FFFD.

    :raises ValueError: it is not one JSON object; the message says why, without quoting it.
    """
    try:
        try:
            return _decode(text)
        except msgspec.ValidationError:  # where it is not a number
            return _decode_odd(text)
    except UnicodeError:
        return decode_json(text.decode("utf-8", "replace") if isinstance(text, bytes) else valid_text(text))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(_reason(error)) from None


def decode_json_lines(lines: Sequence[bytes]) -> list[Decoded]:
    """What ``decode_json`` makes of each line, with its ValueError in place of a record where it raises one."""
    decoded: list[Decoded] = []
    rest = iter(lines)
    while len(decoded) < len(lines):
        try:
            for line in rest:
                decoded.append(_decode(line))  # noqa: PERF401 - what was decoded before an error must stay
        except (ValueError, RecursionError):  # every error of msgspec is a ValueError, UnicodeDecodeError too
            try:
                decoded.append(decode_json(lines[len(decoded)].decode("utf-8", "replace")))
            except ValueError as error:
                decoded.append(error)
    return decoded


def decode_text(lines: Sequence[bytes]) -> tuple[list[str], int]:
    """The text of raw lines, and how many of them held invalid UTF-8 (there U+FFFD stands for it)."""
    try:
        return [line.decode() for line in lines], 0
    except UnicodeDecodeError:
        texts = [line.decode("utf-8", "replace") for line in lines]
        return texts, sum(not is_text(line) for line in lines)


def count_invalid(data: bytes, lines: Sequence[bytes]) -> int:
    """How many of the lines, which make up ``data``, hold invalid UTF-8."""
    return 0 if is_text(data) else sum(not is_text(line) for line in lines)


def is_text(data: bytes) -> bool:
    """Whether it is valid UTF-8."""
    try:
        return data.isascii() or data.decode() is not None
    except UnicodeDecodeError:
        return False


def raw_record(raw: bytes) -> Record:
    """A line as a record."""
    return {"message": raw.decode("utf-8", "replace")}


def records_of(payload: "Payload | Frame | list[Record] | None") -> list[Record]:
    """The records of a payload in any of its shapes, a list as it is. A line of NDJSON that is not a JSON object (a
    frame of somebody who breaks the format) comes as a raw record with ``parse_error``.

    :raises FrameError: the frame's payload cannot be read.
    """
    if isinstance(payload, list):
        return payload
    if payload is not None and not isinstance(payload, Payload):
        payload = payload.payload()
    if payload is None:
        return []
    raw = payload.raw()
    if payload.format is Format.NDJSON:
        return objects(raw)
    return [{"message": text} for text in decode_text(raw)[0]]


def objects(lines: Sequence[bytes]) -> list[Record]:
    """The records of NDJSON, as ``records_of`` has them."""
    return [
        {**raw_record(line), "parse_error": str(record)} if isinstance(record, ValueError) else record
        for line, record in zip(lines, decode_json_lines(lines), strict=True)
    ]


def valid_text(text: str) -> str:
    """The text with its surrogates joined to characters where they are pairs, else U+FFFD: only then it is UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    # "Expected `object`, got `array` - at `$`": in their words, without the path that means nothing to a reader of logs
    text = str(error).partition(" - at ")[0]
    # Of all their words these could be taken for a loss of ours.
    return "the JSON ends too early" if text == "Input data was truncated" else text
