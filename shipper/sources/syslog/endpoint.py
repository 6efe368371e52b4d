"""What ``listen`` says, and the sockets of it."""

import errno
import socket
from typing import Final, NamedTuple

from shipper.errors import SourceError
from shipper.wire.address import claimed, split_address

_TRANSPORTS: Final = ("udp", "tcp", "tls")
BACKLOG: Final = 1024
"""Connections that the kernel makes before they are taken: thousands may come at once, after an outage."""
_BUFFER: Final = 8 * 1024 * 1024
"""What is asked for as receive buffer of a UDP socket: room for messages while the process does something else."""
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
"""A sender that is gone without a word is noticed after two minutes. Accepted sockets inherit it."""
SO_RCVBUFFORCE: Final = 33


class Endpoint(NamedTuple):
    """An address to listen on."""

    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Of ``udp://0.0.0.0:514`` or ``tls://[::]:6514``.

        :raises ValueError: the text is no such thing.
        """
        transport, slashes, address = text.partition("://")
        if not slashes or transport not in _TRANSPORTS:
            raise ValueError(f"{text!r} is not an address; write udp://, tcp:// or tls:// and host:port")
        return cls(transport, *split_address(address))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"

    def claims(self) -> list[str]:
        """See ``Source``: a TCP port is one whatever is spoken there, a UDP port of the same number another one."""
        bare = str(self).partition("://")[2]
        return [claim + " (UDP)" * (self.transport == "udp") for claim in claimed(bare)]

    @property
    def everywhere(self) -> bool:
        """It takes messages from every interface."""
        return self.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound

    def bind(self) -> socket.socket:
        """A bound socket, not blocking; listening where there is something to accept.

        :raises SourceError: the address cannot be had.
        """
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        try:
            found = socket.getaddrinfo(self.host, self.port, type=kind, flags=socket.AI_PASSIVE)
            family, _, protocol, _, address = found[0]
            made = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._refused(error) from error
        try:
            made.setblocking(False)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # [::] takes IPv4 too
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in _KEEPALIVE:
                    made.setsockopt(socket.IPPROTO_TCP, option, value)
            else:
                _widen(made)
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen(BACKLOG)
        except OSError as error:
            made.close()
            raise self._refused(error) from error
        return made

    def _refused(self, error: OSError) -> SourceError:
        hint = ""
        if error.errno == errno.EACCES:
            hint = (
                ": ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= of a systemd unit), or take another"
            )
        elif error.errno == errno.EADDRINUSE:
            hint = ": another process has it; rsyslog or syslog-ng?"
        return SourceError(f"cannot listen on {self}: {error.strerror or error}{hint}")


def _widen(udp: socket.socket) -> None:
    """Ask for a large receive buffer: what root may have, else what ``net.core.rmem_max`` allows."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def buffer_of(udp: socket.socket) -> int:
    """Bytes of its receive buffer; the kernel counts about a kilobyte for a short message."""
    return udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def host_of(address: tuple[object, ...] | None) -> str:
    """The sender's address without its port; IPv4 in IPv6 as IPv4."""
    return str(address[0]).removeprefix("::ffff:") if address else ""
