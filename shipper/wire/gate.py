"""Who may connect: how many from one host, whose token, and which streams that token may use.

The rules
- A stream belongs to the principal whose token first used it: durable before the sender hears Welcome, under the
  source's own state (``owner/STREAM`` -> name), so that it holds for good. A principal may own several streams.
- A token is looked at before anything else is said about a stream: who has none learns nothing.
- A token that is no longer good ends the connections that came with it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Protocol
from urllib.parse import unquote

from shipper.sources.base import Receipt
from shipper.v1.ingest_pb2 import Refused
from shipper.wire.refusal import Refusal
from shipper.wire.tokens import Tokens, digest_of

_OWNER: Final = "owner/"
_SCHEME: Final = "bearer"


class Memory(Protocol):
    """Where owners are kept."""

    state: Mapping[str, bytes]
    """What was noted before this start."""

    def note(self, state: Mapping[str, bytes]) -> Receipt:
        """Keep this too, durably."""
        ...


class Visitor:
    """One connection that was let in."""

    __slots__ = ("digest", "host", "principal")

    def __init__(self, host: str, principal: str, digest: bytes) -> None:
        self.host = host
        self.principal = principal
        """Empty where no tokens are asked for."""
        self.digest = digest


class Gate:
    """The gate of one port. Sans-IO but for the note of a new owner."""

    def __init__(self, memory: Memory, tokens: Tokens | None, most_from_host: int, most_streams: int) -> None:
        self._memory = memory
        self._tokens = tokens
        self._most_from_host = most_from_host
        self._most_streams = most_streams
        self._hosts: Counter[str] = Counter()
        known = ((key, value) for key, value in memory.state.items() if key.startswith(_OWNER))
        self._owners = {key.removeprefix(_OWNER): value.decode() for key, value in known}
        self._owned = Counter(self._owners.values())
        self._noting: dict[str, asyncio.Future[int]] = {}
        """Owners that are not durable yet."""

    def enter(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> Visitor:
        """Let a connection in; ``leave`` must follow.

        :raises Refusal: it has no good token, or too many came from its host.
        """
        host = host_of(peer)
        if self._hosts[host] >= self._most_from_host:
            raise Refusal(
                Refused.OVERLOADED,
                f"{self._most_from_host} connections from {host} are there already (max_connections_per_peer)",
            )
        digest = b""
        principal: str | None = ""
        if self._tokens is not None:
            token = _bearer(metadata)
            if not token:
                raise _unauthenticated("no token came with the connection: set 'token_file' in the sender's sink")
            digest = digest_of(token)
            principal = self._tokens.principal(digest)
            if principal is None:
                raise _unauthenticated("the token is not one of this collector's: it was revoked, or is another's")
        self._hosts[host] += 1
        return Visitor(host, principal or "", digest)

    def leave(self, visitor: Visitor) -> None:
        """The connection is gone."""
        self._hosts[visitor.host] -= 1
        if not self._hosts[visitor.host]:
            del self._hosts[visitor.host]

    def welcome(self, visitor: Visitor) -> bool:
        """Whether the connection's token is still good."""
        return self._tokens is None or self._tokens.principal(visitor.digest) == visitor.principal

    async def claim(self, visitor: Visitor, stream: bytes) -> None:
        """Make sure that the stream is the visitor's, and note it where it is nobody's yet.

        :raises Refusal: it is another principal's, or the visitor has too many.
        :raises ShipperError: the spool takes nothing any more.
        """
        if self._tokens is None:
            return
        name, principal = stream.hex(), visitor.principal
        owner = self._owners.get(name)
        if owner == principal and name in self._noting:
            await asyncio.wait([self._noting[name]])
        elif owner is None:
            if self._owned[principal] >= self._most_streams:
                raise Refusal(
                    Refused.OVERLOADED,
                    f"{principal} has {self._most_streams} streams already (max_streams_per_principal)",
                )
            self._owners[name] = principal  # at once: two that come together are not both first
            self._owned[principal] += 1
            self._noting[name] = durable = self._memory.note({_OWNER + name: principal.encode()}).durable
            durable.add_done_callback(lambda _: self._noting.pop(name, None))
            await asyncio.wait([durable])  # not cancelled with this connection: the note is on its way all the same
        elif owner != principal:
            raise _unauthenticated(f"stream {name} belongs to {owner}, and the token to {principal}")


def host_of(peer: str) -> str:
    """The host of gRPC's name for a peer: ``ipv4:10.0.0.7:4711``, ``ipv6:%5B::1%5D:4711``."""
    return unquote(peer).partition(":")[2].rpartition(":")[0] or peer


def _bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == _SCHEME:
                return token.strip()
    return ""


def _unauthenticated(text: str) -> Refusal:
    return Refusal(Refused.UNAUTHENTICATED, text)
