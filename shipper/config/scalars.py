"""One text -> one value of a scalar type."""

import math
import re
import warnings
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from shipper.config.document import NULLS
from shipper.config.kinds import as_text, bare, choices, is_enum
from shipper.units import ByteSize, Duration, Share

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,1000}")
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,1000}(\.[0-9]{1,1000})?([eE][-+]?[0-9]{1,4})?")
_JSON_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,1000})")
_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,1000})(\.[0-9]{1,1000})?([eE][-+]?[0-9]{1,4})?")
_SWITCH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_GUESSES: Final = dict.fromkeys(NULLS) | {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


def guess(text: str) -> Any:
    """What an unquoted text is where any type will do (labels, fields to add).

    ``true``, ``false``, ``null`` and numbers as JSON writes them are what they look like; all else is text. So ``no``,
    ``007`` and ``2026-01-01`` stay what was written.

    :raises ValueError: a whole number that no frame can hold.
    """
    if text in _GUESSES:
        return _GUESSES[text]
    if _JSON_INTEGER.fullmatch(text):
        number = int(text)
        if not -(2**63) <= number < 2**64:
            raise ValueError("expected a whole number of at most 64 bits; put it in quotes if it is text")
        return number
    if _JSON_NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def parse_scalar(text: str, hint: Any) -> Any:
    """The value of a text for a scalar type (no union).

    :raises ValueError: the text is not of that type; the message is what else there is to say, often nothing.
    """
    hint, bounds = bare(hint)
    value = _parse(text, hint)
    if not all(_within(value, meta) for meta in bounds):
        raise ValueError
    return value


def _parse(text: str, hint: Any) -> Any:
    allowed = choices(hint)
    if allowed is not None:
        return _choice(text, hint, allowed)
    if hint is bool:
        return _SWITCH[text.lower()] if text.lower() in _SWITCH else _refuse()
    if hint is int:
        return int(text) if _INTEGER.fullmatch(text) else _refuse()
    if hint is float:
        return _finite(float(text)) if _NUMBER.fullmatch(text) else _refuse()
    if hint in (ByteSize, Duration, Share):
        return _unit(text, hint)
    if hint is Path:
        return _path(text)
    if hint is re.Pattern:
        return _pattern(text)
    return guess(text) if hint is Any else text


def _refuse(detail: str = "") -> NoReturn:
    raise ValueError(detail)


def _choice(text: str, hint: Any, allowed: list[Any]) -> Any:
    for value in allowed:
        if as_text(value) == text:
            return hint(value) if is_enum(hint) else value
    from shipper.plugins import nearest

    near = nearest(text, [as_text(value) for value in allowed])
    return _refuse(f"did you mean '{near}'?" if near else "")


def _unit(text: str, hint: Any) -> Any:
    try:
        return hint(_finite(float(hint.parse(text))) if hint is Duration else hint.parse(text))
    except OverflowError:
        return _refuse()
    except ValueError:
        short = re.fullmatch(r"\s*([0-9.]{1,20})\s*([kKmMgGtT]i?)\s*", text) if hint is ByteSize else None
        number = re.fullmatch(r"\s*([0-9.]{1,20})\s*(s\w*)?\s*", text) if hint is Duration else None
        if short:
            _refuse(f"did you mean '{short[1]}{short[2][0].upper()}iB'?")
        return _refuse(f"did you mean '{number[1]}s'?" if number else "")


def _finite(number: float) -> float:
    return number if math.isfinite(number) else _refuse()


def _path(text: str) -> Path:
    if not text or "\0" in text:
        _refuse()
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return _refuse("there is no such user, or no home directory")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": true today, and what was written
            return re.compile(text)
    except re.error as error:
        return _refuse(f"{error.msg} at character {(error.pos or 0) + 1}")
    except (OverflowError, RecursionError):
        return _refuse("it is too large")


def _within(value: Any, meta: msgspec.Meta) -> bool:
    checks = (
        meta.ge is None or value >= meta.ge,
        meta.gt is None or value > meta.gt,
        meta.le is None or value <= meta.le,
        meta.lt is None or value < meta.lt,
        meta.multiple_of is None or value % meta.multiple_of == 0,
        meta.min_length is None or len(value) >= meta.min_length,
        meta.max_length is None or len(value) <= meta.max_length,
        meta.pattern is None or re.search(meta.pattern, value) is not None,
    )
    return all(checks)
