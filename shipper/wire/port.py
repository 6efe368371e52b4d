"""A listening port: gRPC's server on it, TLS, its limits, and what has to be seen to once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from shipper import lean
from shipper.errors import SourceError
from shipper.log import get_logger
from shipper.wire.channel import SERVER_OPTIONS, aio
from shipper.wire.leftovers import Leftovers
from shipper.wire.server import Context, Methods, refuse_stranger, why_not
from shipper.wire.strangers import Words
from shipper.wire.tls import ServerCertificates

log = get_logger("grpc")

_OWN_FILES: Final = 64
"""Descriptors that the process needs beside its connections, about."""
_DAY: Final = 86400.0


class Port:
    """One listening port."""

    def __init__(
        self,
        listen: str,
        max_connections: int,
        certificates: ServerCertificates | None,
        ship: Callable[[object, Context], Awaitable[None]],
        refused: Callable[[str], None],
    ) -> None:
        """``refused`` is told the reason of each connection that never got to ``ship``."""
        self._listen = listen
        self._max_connections = max_connections
        self._certificates = certificates
        self._ship = ship
        self._refused = refused
        self._words = Words(refused)
        self._server: aio.Server
        self._leftovers = Leftovers()
        self._reminded = time.monotonic()

    async def open(self) -> int:
        """Serve; returns the port's number.

        :raises SourceError: the address cannot be listened on.
        """
        allowed = lean.raise_file_limit() - _OWN_FILES
        if allowed < self._max_connections:
            log.warning(
                "fewer connections can be taken than max_connections says: raise the limit of open files (ulimit -n, "
                "LimitNOFILE= of a systemd unit)",
                max_connections=self._max_connections,
                possible=allowed,
            )
        most = max(1, min(self._max_connections, allowed))
        self._server = aio.server(options=[*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", most)])
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(self._listen)
            else:
                port = self._server.add_secure_port(self._listen, self._certificates.credentials())
        except RuntimeError as error:
            raise SourceError(f"cannot listen on {self._listen}: {why_not(self._listen)}") from error
        if port == 0:
            raise SourceError(f"cannot listen on {self._listen}: {why_not(self._listen)}")
        self._server.add_generic_rpc_handlers((Methods(self._ship, self._stranger),))
        await self._server.start()
        self._words.open()
        return port

    async def close(self, grace: float) -> None:
        """Take nothing new and end what is there, which has ``grace`` seconds."""
        self._words.close()
        await self._server.stop(grace)

    def called(self, context: Context) -> None:
        """A peer asked for something."""
        self._words.handshakes.called(context.peer())

    async def tick(self) -> None:
        """Called about once a second."""
        await self._words.tick()
        if self._certificates is not None:
            await asyncio.to_thread(self._certificates.refresh)
        now = time.monotonic()
        if self._certificates is not None and now - self._reminded >= _DAY:
            self._reminded = now
            for text in self._certificates.cautions():
                log.warning(text)
        await self._leftovers.tick()

    async def _stranger(self, requests: object, context: Context) -> None:
        self.called(context)
        self._refused("UNIMPLEMENTED")
        await refuse_stranger(requests, context)
