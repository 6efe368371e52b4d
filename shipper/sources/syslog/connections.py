"""TCP: the connections of a source, and what they may have.

Memory is bounded over all of them: whole messages by the inbox, unfinished ones by ``_UNFINISHED``; who holds most of
them is cut. Places are shared: where all are taken, a sender with few connections gets one of whoever has most.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shipper import lean
from shipper.errors import ProtocolError
from shipper.log import get_logger
from shipper.sources.syslog.connection import Connection
from shipper.sources.syslog.endpoint import BACKLOG, Endpoint
from shipper.sources.syslog.inbox import Inbox

if TYPE_CHECKING:
    from shipper.sources.syslog.tls import TlsContext

log = get_logger("syslog")

REASONS: Final = ("OVERLOADED", "HANDSHAKE", "UNFINISHED")
"""Why a connection is refused or ended."""
_UNFINISHED: Final = 16 * 1024 * 1024
"""Bytes of unfinished messages, over all connections."""
_LAST_ROUNDS: Final = 4
"""At the end the loop looks so often for bytes that are there."""
_OWN_FILES: Final = 64
"""Descriptors that the process needs beside its connections, about."""


class Connections:
    """All of a source."""

    def __init__(
        self, inbox: Inbox, limit: int, most: int, tls: "TlsContext | None", refused: Callable[[str], None]
    ) -> None:
        """``limit``: bytes of a message; ``most``: connections; ``refused`` is told the reason of each refusal."""
        allowed = lean.raise_file_limit() - _OWN_FILES
        if allowed < most:
            log.warning(
                "fewer connections can be taken than max_connections says: raise the limit of open files (ulimit -n, "
                "LimitNOFILE= of a systemd unit)",
                max_connections=most,
                possible=allowed,
            )
        self.inbox = inbox
        self.limit = limit
        self.unfinished = 0
        """Bytes of messages that have begun and not ended."""
        self.now: Final = asyncio.get_running_loop().time
        self._most = max(1, min(most, allowed))
        self._tls = tls
        self._refused = refused
        self._all: set[Connection] = set()
        self._of: dict[str, set[Connection]] = {}
        """By the sender's address."""
        self._listening: list[asyncio.Server] = []
        self._stopped = False

    def __len__(self) -> int:
        return len(self._all)

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Take connections; returns the endpoint with the port that it got.

        :raises SourceError: the address cannot be had.
        """
        bound = endpoint.bind()
        endpoint = endpoint._replace(port=bound.getsockname()[1])
        name, encrypted = str(endpoint), endpoint.transport == "tls"
        loop = asyncio.get_running_loop()
        made = await loop.create_server(
            lambda: Connection(self, name, encrypted=encrypted), sock=bound, backlog=BACKLOG
        )
        self._listening.append(made)
        return endpoint

    def stop(self) -> None:
        """Read from nobody."""
        self._stopped = True
        for connection in self._all:
            connection.pause()

    def resume(self) -> None:
        """Read again."""
        self._stopped = False
        for connection in self._all:
            connection.resume()

    def tick(self) -> None:
        """About once a second: cut who began a message and does not end it."""
        if self._stopped:  # they cannot end it
            return
        now = self.now()
        for connection in [one for one in self._all if one.deadline <= now]:
            connection.expire()

    async def close(self) -> None:
        """Take no connection any more, read what is there, and end all; what they began is kept."""
        for server in self._listening:
            server.close()
        for _ in range(_LAST_ROUNDS):
            await asyncio.sleep(0)
        for connection in list(self._all):
            connection.end(broken=True)

    def enter(self, connection: Connection) -> "TlsContext | None":
        """A new connection; it is ended at once where there are too many.

        :raises ProtocolError: there are too many.
        """
        if len(self._all) >= self._most and not self._make_room(connection.peer):
            raise ProtocolError(f"there are {self._most} connections, the most that max_connections allows")
        self._all.add(connection)
        self._of.setdefault(connection.peer, set()).add(connection)
        if self._stopped:
            connection.pause()
        return self._tls

    def leave(self, connection: Connection) -> None:
        """It is over."""
        self._all.discard(connection)
        of = self._of[connection.peer]
        of.discard(connection)
        if not of:
            del self._of[connection.peer]

    def _make_room(self, peer: str) -> bool:
        """End a connection of whoever has most, where that is more than ``peer`` would have: one sender alone must not
        shut out the others. Not while nobody is read: what it sent would be lost.
        """
        most = max(self._of.values(), key=len)
        if self._stopped or len(most) <= len(self._of.get(peer, ())) + 1:
            return False
        silent = min(most, key=lambda connection: connection.heard)
        silent.crowd_out(
            f"all places are taken, and of the {len(most)} connections of this sender it was silent longest"
        )
        return True

    def held(self, more: int) -> None:
        """So many bytes more are unfinished now."""
        self.unfinished += more
        while self.unfinished > _UNFINISHED:
            greediest = max(self._all, key=lambda connection: connection.framer.held)
            greediest.cut(f"unfinished messages take more than {_UNFINISHED} bytes, and it holds most of them")

    def refuse(self, peer: str, reason: str, why: str) -> None:
        """Count a connection that is refused or ended, and say it once a minute for each sender."""
        self._refused(reason)
        log.warning("a connection was refused", every=60.0, key=(peer, reason), peer=peer, reason=reason, why=why)
