"""The admin port: a few read-only pages over HTTP/1.1, for probes, Prometheus and people with curl.

    GET /metrics   the registry in the Prometheus text format
    GET /healthz   200; 503 where something hangs that only a restart helps (see ``Readiness.alive``)
    GET /readyz    200 or 503, with JSON that says why
    GET /status    what runs here, as JSON

Nothing can be changed through it. It answers one request a connection, takes at most ``MAX_CONNECTIONS`` of them, and
gives a peer ``TIMEOUT`` seconds to ask and as long again to read the answer: a peer that behaves badly costs a few
kilobytes for a few seconds.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shipper.errors import AdminError
from shipper.log import get_logger
from shipper.metrics import CONTENT_TYPE, Registry

MAX_HEAD: Final = 8 * 1024
"""Longest request line and headers together, in bytes."""
MAX_CONNECTIONS: Final = 32
TIMEOUT: Final = 5.0
"""Seconds."""

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_PATHS: Final = ["/metrics", "/healthz", "/readyz", "/status"]

log = get_logger("admin")


class Admin:
    """Serves the pages from ``start`` to ``close``.

    ``listen`` is ``HOST:PORT``; port 0 takes a free one. ``ready`` gives the answer of ``/readyz`` (is it ready, and
    what to show), ``status`` that of ``/status``, ``alive`` that of ``/healthz``; all are called on the event loop and
    return at once.
    """

    def __init__(
        self,
        listen: str,
        registry: Registry,
        ready: Callable[[], tuple[bool, dict[str, Any]]],
        status: Callable[[], dict[str, Any]],
        alive: Callable[[], bool],
    ) -> None:
        self._listen = listen
        self._registry = registry
        self._ready = ready
        self._status = status
        self._alive = alive
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port in use; 0 before ``start``."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server and self._server.sockets else 0

    async def start(self) -> None:
        """Open the port.

        :raises AdminError: the address is not one, is in use, or is not allowed.
        """
        host, port = _address(self._listen)
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD)
        except (OSError, OverflowError) as error:
            raise AdminError(_refusal(self._listen, error)) from error

    async def close(self) -> None:
        """Close the port and cut the connections that are open."""
        if self._server is None:
            return
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer, crowded=len(self._open) >= MAX_CONNECTIONS))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, crowded: bool) -> None:
        try:
            answer = _answer(503, _json({"error": "too many connections"})) if crowded else await self._ask(reader)
            async with asyncio.timeout(TIMEOUT):
                writer.write(answer)
                await writer.drain()
                # Closing while bytes of the peer are unread would reset the connection, and the answer with it.
                writer.write_eof()
                while not crowded and await reader.read(MAX_HEAD):
                    pass
            writer.close()
        except (OSError, TimeoutError):
            pass  # the peer went away or does not read: nobody is left to tell
        finally:
            if not writer.is_closing():
                writer.transport.abort()  # a close would wait for a peer that does not read

    async def _ask(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request and answer it."""
        try:
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _answer(431, _json({"error": f"the request's head is longer than {MAX_HEAD} bytes"}))
        except TimeoutError:
            return _answer(408, _json({"error": f"no request came within {TIMEOUT:g} seconds"}))
        except asyncio.IncompleteReadError:
            return _answer(400, _json({"error": "the request ends in the middle"}))
        return self._respond(head)

    def _respond(self, head: bytes) -> bytes:
        parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/") or not parts[1].startswith("/"):
            return _answer(400, _json({"error": "this is not an HTTP request"}))
        method, target, version = parts
        if not version.startswith("HTTP/1."):
            return _answer(505, _json({"error": "HTTP/1.1 is spoken here"}))
        path = target.partition("?")[0]
        if path not in _PATHS:
            return _answer(404, _json({"error": "no such page", "pages": _PATHS}))
        if method != "GET":
            return _answer(405, _json({"error": "read-only: GET alone is allowed"}), "Allow: GET\r\n")
        try:
            return self._page(path)
        except Exception as error:  # noqa: BLE001 - a bug in what is shown must not end the server that shows it
            log.warning("a page failed", path=path, exc=error, every=60.0)
            return _answer(500, _json({"error": "the page failed; the log says why"}))

    def _page(self, path: str) -> bytes:
        if path == "/metrics":
            return _answer(200, self._registry.render().encode(), content_type=CONTENT_TYPE)
        if path == "/healthz":
            return _answer(200, _json({"status": "ok"})) if self._alive() else _answer(503, _json({"status": "hangs"}))
        if path == "/status":
            return _answer(200, _json(self._status()))
        ready, why = self._ready()
        return _answer(200 if ready else 503, _json({"ready": ready, **why}))


def _address(listen: str) -> tuple[str | None, int]:
    """``HOST:PORT`` taken apart; no host means all of them.

    :raises AdminError: it is not an address.
    """
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise AdminError(f"admin: {listen!r} is not an address to listen on; write HOST:PORT, as in 127.0.0.1:7421")
    return host or None, int(port)


def _refusal(listen: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"admin: {listen} is in use by another process; stop it or change admin.listen"
    if number in (errno.EACCES, errno.EPERM):
        return f"admin: no permission to listen on {listen}; ports below 1024 need a capability: change admin.listen"
    if number == errno.EADDRNOTAVAIL:
        return f"admin: {listen} is not an address of this machine; change admin.listen"
    text = os.strerror(number) if isinstance(number, int) and number > 0 else str(error)
    return f"admin: cannot listen on {listen}: {text}"


def _json(value: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n"
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        import json

        return json.dumps(value, default=str, indent=2).encode() + b"\n"


def _answer(status: int, body: bytes, headers: str = "", content_type: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{headers}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
