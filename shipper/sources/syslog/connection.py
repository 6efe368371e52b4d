"""One TCP connection of a source, from its bytes to messages.

A message that was begun has a minute, a TLS handshake ten seconds. What is cut is kept as far as it came, and marked.
"""

import asyncio
import math
from typing import TYPE_CHECKING, Final, cast

from shipper.errors import ProtocolError
from shipper.sources.syslog.endpoint import host_of
from shipper.syslog import SyslogFramer

if TYPE_CHECKING:
    from shipper.sources.syslog.connections import Connections
    from shipper.sources.syslog.tls import TlsStream

_MESSAGE_TIME: Final = 60.0
"""Seconds that a message may take from its first byte to its last."""
_HANDSHAKE_TIME: Final = 10.0


class Connection(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_all", "_encrypted", "_name", "_over", "_tls", "_transport", "deadline", "framer", "heard", "peer")
    _transport: asyncio.Transport

    def __init__(self, connections: "Connections", name: str, *, encrypted: bool) -> None:
        self.framer = SyslogFramer(connections.limit)
        self.deadline = math.inf
        """When it must have ended what it began, by the loop's clock."""
        self.heard = connections.now()
        """When it began or said something, by the same clock."""
        self._all = connections
        self._name = name
        self._encrypted = encrypted
        self._over = False
        self.peer = ""
        """The sender's address without a port."""
        self._tls: TlsStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self.peer = host_of(transport.get_extra_info("peername"))
        try:
            tls = self._all.enter(self)
        except ProtocolError as error:
            self._over = True
            self._all.refuse(self.peer, "OVERLOADED", str(error))
            self._transport.abort()
            return
        if tls is not None and self._encrypted:
            self._tls = tls.stream()
            self.deadline = self._all.now() + _HANDSHAKE_TIME

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.heard = self._all.now()
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
            if self._over or not self._tls.established:
                return
        before = self.framer.held
        found = self.framer.feed(data)
        if not self.framer.unfinished:
            self.deadline = math.inf
        elif found or before == 0:
            self.deadline = self.heard + _MESSAGE_TIME
        if found:
            self._all.inbox.put(found, self.peer, self._name)
        if self.framer.held != before:
            self._all.held(self.framer.held - before)
        if self._tls is not None and self._tls.ended:
            self.end(broken=False)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        if not self._over and self._tls is not None and self._tls.begun and not self._tls.established:
            self._refuse("HANDSHAKE", "it left in the middle of the TLS handshake: does it trust the certificate?")
        self.end(broken=error is not None or not (self._tls is None or self._tls.ended))

    def pause(self) -> None:
        """Read nothing; the sender waits when the kernel holds enough."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again. Time in which nobody listened does not count."""
        if self.deadline != math.inf:
            self.deadline = self._all.now() + _MESSAGE_TIME
        self._transport.resume_reading()

    def expire(self) -> None:
        """The deadline is over."""
        if self._tls is not None and not self._tls.established:
            self._refuse("HANDSHAKE", f"it did not end the TLS handshake within {_HANDSHAKE_TIME:.0f} s")
        else:
            self.cut(f"it did not end the message that it began within {_MESSAGE_TIME:.0f} s")

    def cut(self, why: str) -> None:
        """End it because of what it does not end."""
        self._refuse("UNFINISHED", why)

    def crowd_out(self, why: str) -> None:
        """End it because another sender needs the place."""
        self._refuse("OVERLOADED", why)

    def end(self, *, broken: bool) -> None:
        """It is over; what is left of a message is kept."""
        if self._over:
            return
        self._over = True
        self._all.leave(self)
        held = self.framer.held
        self._all.inbox.put(self.framer.finish(broken=broken), self.peer, self._name)
        self._all.held(-held)
        if broken:
            self._transport.abort()
        else:
            self._transport.close()

    def _refuse(self, reason: str, why: str) -> None:
        self._all.refuse(self.peer, reason, why)
        self.end(broken=True)

    def _decrypted(self, tls: "TlsStream", data: bytes) -> bytes:
        plain = b""
        try:
            plain = tls.receive(data)
        except ProtocolError as error:
            self._transport.write(tls.outgoing())  # an alert, which says the sender what is wrong
            self._refuse("HANDSHAKE", str(error))
        else:
            if out := tls.outgoing():
                self._transport.write(out)
        return plain
