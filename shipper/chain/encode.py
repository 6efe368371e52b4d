"""Records to bytes: NDJSON. Sans-IO.

What a processor may leave in a record, and what becomes of it: NaN and the infinities are null; integers keep every
digit (up to 4,300); bytes are base64; sets and tuples are arrays; dates and times are ISO 8601; a Decimal and a UUID
are strings; an enum is its value; dataclasses and msgspec structs are objects; names that are numbers, true, false or
null become text; a lone surrogate becomes U+FFFD. Anything else, and what is nested too deep, is an error of that
record.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from shipper.batch import Format, Payload, Record
from shipper.chain.decode import valid_text


def _plain(value: Any) -> Any:
    # msgspec asks for what it does not know: subclasses of the scalars, and names that are booleans.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


_encoder: Final = msgspec.json.Encoder(enc_hook=_plain)
_encode: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines


def encode_json(value: Any) -> bytes:
    """One value as JSON, by the rules above.

    :raises ValueError: it cannot be written as JSON; the message says why.
    """
    try:
        try:
            return _encode(value)
        except (UnicodeEncodeError, TypeError):  # a surrogate, or the name null: worth a slow second look
            return _encode(_mended(value))
    except Exception as error:  # noqa: BLE001 - a processor can leave objects behind whose own code raises anything
        reason = "nested too deep to be written as JSON" if isinstance(error, RecursionError) else str(error)
        raise ValueError(reason) from None


def encode_lines(values: Sequence[Any]) -> bytes:
    """Each value as JSON on a line of its own.

    :raises ValueError: one of them cannot be written as JSON.
    """
    try:
        return _encode_lines(values)
    except Exception:  # noqa: BLE001 - see encode_json, which says what is wrong
        return b"".join([encode_json(value) + b"\n" for value in values])


def encode_records(records: Sequence[Record]) -> tuple[Payload, list[tuple[int, ValueError]]]:
    """NDJSON of the records; and those that cannot be written as JSON, by index: they are not in the payload."""
    try:
        return Payload(Format.NDJSON, _encode_lines(records), len(records)), []
    except Exception:  # noqa: BLE001 - see encode_json
        failures: list[tuple[int, ValueError]] = []
        lines: list[bytes] = []
        for index, record in enumerate(records):
            try:
                lines.append(encode_json(record) + b"\n")
            except ValueError as error:
                failures.append((index, _named(record, error)))
        return Payload(Format.NDJSON, b"".join(lines), len(lines)), failures


def _named(record: Record, error: ValueError) -> ValueError:
    """The error with the name of the field that it is about."""
    for name, value in record.items():
        try:
            encode_json({name: value})
        except ValueError as reason:
            # Names that are no text are the record's own fault: there is no field to tell of.
            return ValueError(f"the field {name}: {reason}") if isinstance(name, str) else error
    return error


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return valid_text(str.__str__(value))
    if isinstance(value, dict):
        return {_name(name): _mended(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_mended(item) for item in value]
    return value


def _name(name: Any) -> Any:
    if name is None:
        return "null"
    if isinstance(name, (str, int, float)):
        return _mended(name)
    raise TypeError(f"a name of type {type(name).__name__} cannot be written as JSON")
