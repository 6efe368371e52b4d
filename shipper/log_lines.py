"""How one event becomes one line: a line for people, or a JSON object. Text in, text out.

Everything that does not print (control characters, line separators, direction overrides) is escaped in both forms:
log data cannot forge a line or drive a terminal. In JSON the escapes are JSON's own, so nothing is lost.
"""

import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

import msgspec

DEBUG, INFO, WARNING, ERROR = range(1, 5)

VALUE_LIMIT: Final = 4096
"""Longer values are cut to so many characters."""
ITEMS_LIMIT: Final = 100
"""Of longer lists and maps only so many items are shown."""

_NAMES: Final = ("", "debug", "info", "warning", "error")
_SHORT: Final = ("", "DEBUG", "INFO ", "WARN ", "ERROR")
_COLOURS: Final = ("", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m")
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"
_RESERVED: Final = frozenset({"time", "level", "logger", "msg"})
_QUOTED: Final = frozenset("\"'= {}[]")


def json_line(level: int, logger: str, message: str, fields: Mapping[str, Any], exc: BaseException | None) -> str:
    """RFC 3339 time in UTC, level, logger, msg, then the fields (with a ``_`` behind where names collide)."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    event: dict[str, Any] = {
        "time": f"{stamp}.{int(now % 1 * 1000):03d}Z",
        "level": _NAMES[level],
        "logger": logger,
        "msg": _plain(message),
    }
    for name, value in fields.items():
        event[f"{name}_" if name in _RESERVED else name] = _plain(value)
    if exc is not None:
        event["error"] = _plain(exc)
        event["traceback"] = _cut("".join(traceback.format_exception(exc)), 4 * VALUE_LIMIT)
    text = msgspec.json.encode(event, enc_hook=_plain).decode()
    return text + "\n" if text.isprintable() else "".join(map(_json_escape, text)) + "\n"


def human_line(
    level: int, logger: str, message: str, fields: Mapping[str, Any], exc: BaseException | None, *, colours: bool
) -> str:
    """Local time, level, logger, message, ``key=value``; a traceback follows on lines of its own, indented."""
    now = time.time()
    stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03d}"
    values = dict(fields)
    if exc is not None:
        values["error"] = exc
    pairs = [f"{_escape(name)}={_quote(_plain(value))}" for name, value in values.items()]
    text = _escape(_cut(message))
    if colours:
        head = f"{_DIM}{stamp}{_PLAIN} {_COLOURS[level]}{_SHORT[level]}{_PLAIN} {_DIM}{_escape(logger):<10}{_PLAIN} "
        tail = f"  {_DIM}{' '.join(pairs)}{_PLAIN}" if pairs else ""
    else:
        head = f"{stamp} {_SHORT[level]} {_escape(logger):<10} "
        tail = f"  {' '.join(pairs)}" if pairs else ""
    below = ""
    if exc is not None:
        lines = _cut("".join(traceback.format_exception(exc)), 4 * VALUE_LIMIT).splitlines()
        below = "".join(f"    | {_escape(line)}\n" for line in lines)
    return f"{head}{text}{tail}\n{below}"


def _plain(value: Any) -> Any:
    """A value that both forms can show: numbers stay, texts are cut and made encodable, the rest becomes a text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):  # the number alone: of ByteSize and of enums msgspec takes no instance
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, bytes | bytearray):
        return _cut(bytes(value[:VALUE_LIMIT]).decode("utf-8", "backslashreplace"))
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in list(value)[:ITEMS_LIMIT]]
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(each) for name, each in list(value.items())[:ITEMS_LIMIT]}
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    try:
        return _cut(value if isinstance(value, str) else str(value))
    except Exception as error:  # noqa: BLE001 - somebody's __str__ is broken; the rest of the line is still of use
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def _cut(text: str, limit: int = VALUE_LIMIT) -> str:
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _quote(value: Any) -> str:
    if not isinstance(value, str):
        text = msgspec.json.encode(value).decode()
        return _escape(text)
    if value and _QUOTED.isdisjoint(value) and value.isprintable():
        return value
    return '"' + _escape(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _json_escape(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
