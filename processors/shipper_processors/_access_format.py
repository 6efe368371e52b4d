r"""Formats of access logs: Apache's ``LogFormat`` and nginx's ``log_format`` -> a parser of their lines.

A format is literal text around variables. A variable's value ends where the text behind it begins; in quotes it holds
what the servers escape there. All of it is one regular expression that never tries anything twice: linear time.

- ``-`` is null, but for the client. Escapes are undone: ``\"`` ``\\`` ``\n`` and the like, and ``\xHH``, which are
  bytes of UTF-8.
- ``%r`` and ``$request`` become ``method``, ``path`` and ``protocol``; a request that is none of HTTP (a client that
  speaks TLS to a port without) goes into ``request``, and the three are null.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from shipper import Record
from shipper_processors._moments import EpochReader, Reader, pattern

Convert: TypeAlias = Callable[[str], Any]

_NGINX: Final = {
    "remote_addr": "client",
    "remote_user": "user",
    "http_referer": "referrer",
    "http_user_agent": "agent",
    "http_x_forwarded_for": "forwarded_for",
    "body_bytes_sent": "bytes",
    "request_method": "method",
    "request_uri": "path",
    "server_protocol": "protocol",
    "time_local": "timestamp",
    "time_iso8601": "timestamp",
    "msec": "timestamp",
}
"""The fields of variables that are not called like them."""
_APACHE: Final = {
    "h": "client",
    "a": "client",
    "l": "ident",
    "u": "user",
    "t": "timestamp",
    "r": "request",
    "s": "status",
    "b": "bytes",
    "B": "bytes",
    "m": "method",
    "U": "path",
    "q": "query",
    "H": "protocol",
    "v": "server_name",
    "V": "server_name",
    "p": "port",
    "P": "process_id",
    "D": "request_time_us",
    "T": "request_time",
    "I": "request_length",
    "O": "bytes_sent",
    "X": "connection_status",
    "k": "keepalive_requests",
}
_HEADERS: Final = {"referer": "referrer", "user_agent": "agent", "x_forwarded_for": "forwarded_for"}
_NAMED: Final = "ioeCn"
"""Directives with a name in braces: headers, variables, cookies, notes."""
_WHOLE: Final = frozenset(
    ("status", "bytes", "bytes_sent", "request_length", "port", "process_id", "request_time_us", "keepalive_requests")
)
_REQUEST: Final = re.compile(
    r"([^ ]*+) (.*) (HTTP/[0-9.]++)|([A-Za-z][A-Za-z_-]*+) ([^ ]*+)",  # the second: HTTP/0.9
    re.DOTALL,
)
_USUAL: Final = frozenset(("HTTP/1.1", "HTTP/2.0", "HTTP/1.0"))
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CHARACTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_REMEMBERED: Final = 1024

_COMMON: Final = '%h %l %u %t "%r" %>s %b'
_COMBINED: Final = _COMMON + ' "%{Referer}i" "%{User-Agent}i"'
_FORWARDED: Final = _COMBINED + ' "%{X-Forwarded-For}i"'
FORMATS: Final = {
    "common": (_COMMON,),
    "combined": (_COMBINED,),
    "nginx": (_COMBINED, _FORWARDED, _FORWARDED + " %T", _COMBINED + " %T"),
}
"""Those with a name; where there are several, a line has the first of them that fits."""


class AccessFormat:
    """One format."""

    def __init__(self, text: str) -> None:
        """:raises ValueError: it has no variables, unknown ones, or ones that stand too close."""
        self._converters: list[tuple[str, Convert | None]] = []
        self._match = re.compile(self._expression(text), re.DOTALL).fullmatch
        names = [name for name, _ in self._converters]
        if not names:
            raise ValueError("format has no variable: write it as the server has it, %h %l %u or $remote_addr")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"format has two variables that become {twice}")

    @property
    def names(self) -> frozenset[str]:
        """The fields that it can give."""
        names = {name for name, _ in self._converters}
        return frozenset(names | {"method", "path", "protocol"} if "request" in names else names)

    def parse(self, text: str) -> Record | None:
        """The fields of a line; None where it has another format.

        :raises ValueError: it has this one, but something in it is no number or no time.
        """
        match = self._match(text)
        if match is None:
            return None
        plain = "\\" not in text
        record: Record = {}
        for (name, convert), value in zip(self._converters, match.groups(), strict=True):
            if name == "request":
                record.update(_request(value))
            elif value == "-" and name != "client":
                if name != "ident":  # of a service that nobody runs any more
                    record[name] = None
            elif convert is not None:
                record[name] = convert(value)
            else:
                record[name] = value if plain else _text(value)
        return record

    def _expression(self, text: str) -> str:
        """The regular expression of a format; a group for each variable."""
        nginx = re.search(r"\$\w", text) is not None
        variable = r"\$\{?(\w+)\}?" if nginx else r"%[<>]?((?:\{[^}]*\})?[a-zA-Z]|%)"
        parts = re.split(variable, text)
        literals, names = parts[::2], parts[1::2]
        if not nginx:
            literals, names = _brackets(*_percents(literals, names))
        written = re.escape(literals[0])
        for number, name in enumerate(names, 1):
            before, behind = literals[number - 1], literals[number]
            if not behind and number < len(names):
                raise ValueError(f"nothing stands behind {name} in the format, so nobody can tell where it ends")
            written += f"({_value(before, behind)}){re.escape(behind)}"
            field = _nginx_field(name) if nginx else _apache_field(name)
            self._converters.append((field, _converter(field, name)))
        return written


def formats(text: str) -> Sequence[AccessFormat]:
    """The formats of a setting: a name, or one as the server has it.

    :raises ValueError: it is none.
    """
    if text not in FORMATS and "%" not in text and "$" not in text:
        raise ValueError(f"{text!r} is no format; write {', '.join(FORMATS)}, or the server's own, as in %h %l %u %t")
    return [AccessFormat(each) for each in FORMATS.get(text, (text,))]


def _value(before: str, behind: str) -> str:
    """What a value between two literals looks like."""
    if before.endswith('"') and behind.startswith('"'):
        return r'[^"\\]*+(?:\\.[^"\\]*+)*+'
    if not behind:
        return ".*+"
    first, rest = re.escape(behind[0]), re.escape(behind[1:])
    return f"[^{first}]*+(?:{first}(?!{rest})[^{first}]*+)*+" if rest else f"[^{first}]*+"


def _percents(literals: list[str], names: list[str]) -> tuple[list[str], list[str]]:
    """``%%`` is a literal."""
    texts, variables = [literals[0]], []
    for name, behind in zip(names, literals[1:], strict=True):
        if name == "%":
            texts[-1] += "%" + behind
        else:
            variables.append(name)
            texts.append(behind)
    return texts, variables


def _brackets(literals: list[str], names: list[str]) -> tuple[list[str], list[str]]:
    """Apache writes times in brackets that the format does not show."""
    for number, name in enumerate(names):
        if name == "t":
            literals[number] += "["
            literals[number + 1] = "]" + literals[number + 1]
    return literals, names


def _nginx_field(name: str) -> str:
    return _NGINX.get(name, name)


def _apache_field(name: str) -> str:
    """:raises ValueError: there is no such directive, or it can have many forms."""
    if name in _APACHE:
        return _APACHE[name]
    if name.startswith("{") and name[-1] in _NAMED:
        header = re.sub(r"\W", "_", name[1:-2].lower())
        return _HEADERS.get(header, header)
    raise ValueError(f"%{name} in the format is not known; there are %{' %'.join(_APACHE)} and %{{Name}}i")


def _converter(field: str, name: str) -> Convert | None:
    """What makes a value of text; None: it is text."""
    if field == "timestamp":
        if name == "msec":
            return _time(EpochReader(0))
        expression = pattern("iso8601" if name == "time_iso8601" else "common_log")
        return _time(Reader(expression, None, lambda: 0.0))  # both have a year, so no clock is asked
    if field in _WHOLE:
        return _whole
    return _decimal if field == "request_time" else None


def _time(reader: "Reader | EpochReader") -> Convert:
    known: dict[str, str] = {}  # the lines of one second have the same text

    def convert(text: str) -> str:
        timestamp = known.get(text)
        if timestamp is None:
            timestamp = reader.read(text)
            if timestamp is None:
                raise ValueError(f"{text[:40]!r} is not a time")
            if len(known) >= _REMEMBERED:
                known.clear()
            known[text] = timestamp
        return timestamp

    return convert


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _decimal(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", text):
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text)


def _text(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_unescaped, text.encode()).decode("utf-8", "replace")


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return bytes.fromhex(match[1].decode())
    return _CHARACTERS.get(match[2], match[2])


def _request(text: str) -> Record:
    parts = text.split(" ")
    if len(parts) == 3 and parts[2] in _USUAL and "\\" not in text:
        return {"method": parts[0], "path": parts[1], "protocol": parts[2]}
    match = _REQUEST.fullmatch(text)
    if match is not None:
        method, path, protocol, *simple = match.groups()
        if method is None:
            method, path = simple
        return {"method": _text(method), "path": _text(path), "protocol": protocol}
    record: Record = {"method": None, "path": None, "protocol": None}
    return record if text == "-" else {**record, "request": _text(text)}
