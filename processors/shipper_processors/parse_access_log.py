"""Parse access logs of web servers."""

import re
from typing import Any, Final

import orjson

from shipper import Processor, Record
from shipper_processors._access_format import formats
from shipper_processors._text import TextParser

_REST: Final = re.compile(r"- ((?:[^ ]| (?!\[))*+) (\[[^\]]*+\]) ", re.DOTALL)
"""What stands between client and request: user and time."""
_PROTOCOLS: Final = frozenset(("HTTP/1.1", "HTTP/2.0", "HTTP/1.0", "HTTP/2", "HTTP/3.0", "HTTP/3"))
_STATUSES: Final = {str(number): number for number in range(100, 600)}
_METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "PROPFIND")
_JSON_METHODS: Final = {word.encode(): f'{word}","path":"'.encode() for word in _METHODS}
_JSON_PROTOCOLS: Final = {word.encode(): f'","protocol":"{word}","bytes":'.encode() for word in _PROTOCOLS}
_JSON_STATUSES: Final = {word.encode(): f',"status":{word}}}'.encode() for word in _STATUSES}
"""What is found in a line, and what JSON has from there on to the next part."""
_ODD: Final = frozenset((*range(32), *range(127, 256), ord("\\")))
"""Bytes that JSON must escape, that a server escaped, or that are no ASCII."""
_ODD_AS_NUL: Final = bytes(0 if byte in _ODD else byte for byte in range(256))
_REMEMBERED: Final = 4096
_FEW: Final = 8


class ParseAccessLog(TextParser, Processor):
    r"""Parse the lines of access logs, as Apache, nginx and many others write them; the parts take the field's place.

    They are ``client``, ``user``, ``timestamp`` (RFC 3339, in UTC), ``method``, ``path`` (with the query),
    ``protocol``, ``status`` and ``bytes`` (numbers), ``referrer`` and ``agent``. What a server writes as ``-`` is null.
    What it escapes, such as ``\"`` and ``\x22``, is what it was. A request that is none of HTTP is in ``request``.
    ``ident`` is there only where a server asked for it.

    A line that has another format goes on as it is, with the reason in the field ``parse_error``. Other fields of the
    record stay, unless the line has one of the same name.

    Example::

        processors:
          - parse_access_log                      # combined
          - parse_access_log: {format: common, field: log}
          - parse_access_log: {format: '$remote_addr [$time_iso8601] "$request" $status $request_time'}   # nginx
          - parse_access_log: {format: '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"'}   # Apache
    """

    format: str = "combined"
    """``common``; ``combined``, which nginx has too; ``nginx``: combined, behind which ``"$http_x_forwarded_for"`` and
    ``$request_time`` may stand (``forwarded_for``, ``request_time`` in seconds); or a ``LogFormat`` of Apache or a
    ``log_format`` of nginx as it stands in the server's config (but ``$name`` for ``${name}``, which shipper's config
    expands itself). Variables that have no field above become fields of their own names: ``$upstream_addr``
    ``upstream_addr``, ``%{Host}i`` ``host``."""

    def setup(self) -> None:
        """:raises ValueError: the format or the field's name is none."""
        super().setup()
        self.formats = formats(self.format)
        self.usual = self.format in {"combined", "nginx"}
        self.users: dict[str, tuple[str | None, str]] = {}
        self.heads: dict[bytes, bytes] = {}

    @property
    def names(self) -> frozenset[str]:
        """The parts of a line."""
        return frozenset[str]().union(*(each.names for each in self.formats))

    def parse(self, text: str) -> Record:
        """The parts of a line. :raises ValueError: it has another format."""
        return (self._usual(text) if self.usual else None) or self._any(text)

    def json_lines(self, lines: list[bytes]) -> list[bytes | Exception] | None:
        """The quickest way: the parts are written as JSON where nothing in them must be escaped."""
        if self.path != ("message",) or not self.usual:
            return None
        return self._json_lines(lines)

    def _any(self, text: str) -> Record:
        """The parts of any line, by the definition of the format."""
        for each in self.formats:
            record = each.parse(text)
            if record is not None:
                return record
        raise ValueError(f"the line is not in the format {self.format}")

    def _usual(self, text: str) -> Record | None:
        """The parts of a line of the usual kind without anything odd in it; None for others."""
        try:
            head, request, numbers, referrer, blank, agent, end = text.split('"')
            client, rest = head.split(" ", 1)
            method, path, protocol = request.split(" ")
            before, status, size, behind = numbers.split(" ")
            user, timestamp = self.users.get(rest) or self._user(rest)
        except ValueError:
            return None
        if (
            protocol not in _PROTOCOLS
            or status not in _STATUSES
            or blank != " "
            or end
            or before
            or behind
            or "\\" in text
            or not (size == "-" or (size.isdigit() and size.isascii() and len(size) < 19))
        ):
            return None
        return {
            "client": client,
            "user": user,
            "timestamp": timestamp,
            "method": method,
            "path": path,
            "protocol": protocol,
            "status": _STATUSES[status],
            "bytes": None if size == "-" else int(size),
            "referrer": None if referrer == "-" else referrer,
            "agent": None if agent == "-" else agent,
        }

    def _user(self, rest: str) -> tuple[str | None, str]:
        """User and timestamp. :raises ValueError: there is something odd about them."""
        match = _REST.fullmatch(rest)
        if match is None:
            raise ValueError("an odd line")
        if len(self.users) >= _REMEMBERED:
            self.users.clear()
        found = self._any(f'- {rest}"-" 200 0 "-" "-"')
        self.users[rest] = user, timestamp = found["user"], found["timestamp"]
        return user, timestamp

    def _json_lines(self, lines: list[bytes]) -> list[bytes | Exception]:
        """JSON of lines. Nothing is escaped in most batches; those where it is are halved until few lines are left."""
        if b"\0" not in b"".join(lines).translate(_ODD_AS_NUL):
            return self._plain(lines)
        if len(lines) <= _FEW:
            return [self._json(line) for line in lines]
        half = len(lines) // 2
        return self._json_lines(lines[:half]) + self._json_lines(lines[half:])

    def _plain(self, lines: list[bytes]) -> list[bytes | Exception]:
        """JSON of lines in which no byte is odd: ``_usual`` for this loop.

        Few pieces, and no more than ten to join, are what makes it quick.
        """
        results: list[bytes | Exception] = []
        add, heads, join = results.append, self.heads, b"".join
        for line in lines:
            try:
                head, request, numbers, referrer, blank, agent, end = line.split(b'"')
                client, _, rest = head.partition(b" ")
                method, path, protocol = request.split(b" ")
                before, status, size, behind = numbers.split(b" ")
                middle = heads.get(rest) or self._head(rest)
                words = _JSON_METHODS[method], _JSON_PROTOCOLS[protocol], _JSON_STATUSES[status]
            except (ValueError, KeyError):
                add(self._json(line))
                continue
            if (
                blank != b" "
                or end
                or before
                or behind
                or not size.isdigit()
                or (size < b"1" and size != b"0")  # JSON has no leading zeros
                or len(size) > 18
            ):
                add(self._json(line))
                continue
            origin = b',"referrer":null' if referrer == b"-" else b',"referrer":"' + referrer + b'"'
            program = b',"agent":null' if agent == b"-" else b',"agent":"' + agent + b'"'
            add(join((b'{"client":"', client, middle, words[0], path, words[1], size, origin, program, words[2])))
        return results

    def _head(self, rest: bytes) -> bytes:
        """JSON from the client to the method: user and timestamp. :raises ValueError: they are odd."""
        if len(self.heads) >= _REMEMBERED:
            self.heads.clear()
        user, timestamp = self._user(rest.decode())
        fields: dict[str, Any] = {"user": user, "timestamp": timestamp}
        self.heads[rest] = written = b'",' + orjson.dumps(fields)[1:-1] + b',"method":"'
        return written

    def _json(self, line: bytes) -> bytes | Exception:
        try:
            return orjson.dumps(self.parse(line.decode("utf-8", "replace")))
        except ValueError as error:
            return error.with_traceback(None)
