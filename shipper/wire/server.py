"""What the source needs of gRPC and does not have to know: reading, writing, ending a call; strangers; the port."""

import asyncio
import re
import socket
from binascii import crc32
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError

from shipper.log import get_logger
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.address import split_address
from shipper.wire.channel import MAX_MESSAGE_BYTES, METHOD, aio, grpc
from shipper.wire.refusal import Refusal
from shipper.wire.uncancelled import uncancelled
from shipper.wire.unfinished import Reader

log = get_logger("grpc")

LOG_EVERY: Final = 60.0
"""Seconds between two log lines about one peer."""
_SENDERS: Final = 16
"""Lines within that time about one host and kind of refusal, at most."""
_VARIES: Final = re.compile(r"\b[0-9a-f]*[0-9][0-9a-f]*\b")
"""Numbers and ids: not what makes two refusals of different kinds."""
Context: TypeAlias = "aio.ServicerContext[bytes, pb.ShipResponse]"


def log_refused(peer: str, reason: str, why: str, **who: str) -> None:
    """Say that a connection was refused, and why; ``who`` is what is known of the sender (empty: it is not), and goes
    with the line.

    One line a minute for one host, whatever port it comes from, and one kind of refusal of one sender: many may come
    from one address. A sender can make up numbers and its stream's id: all of them together make ``_SENDERS`` lines.
    """
    host, kind = peer.rpartition(":")[0], _VARIES.sub("", why)
    sender = crc32(" ".join(who.values()).encode()) % _SENDERS
    known = {name: value for name, value in who.items() if value}
    fields: dict[str, Any] = {"peer": peer, "reason": reason, "why": why, **known}
    log.warning("a connection was refused", every=LOG_EVERY, key=(host, reason, kind, sender), **fields)


class Voice:
    """Writes one message at a time to a sender, and never gives one up in the middle.

    A write that is cancelled stays under way in gRPC's core, which then takes nothing else, not even a status.
    """

    __slots__ = ("_context", "_writing")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing: asyncio.Task[Any] | None = None

    async def say(self, message: pb.ShipResponse) -> bool:
        """Write; False where the connection is gone, which the reader sees too."""
        await self._turn()
        self._writing = asyncio.get_running_loop().create_task(self._write(message))
        return await asyncio.shield(self._writing)

    async def say_uncancelled(self, message: pb.ShipResponse) -> bool:
        """``say`` for a task that nobody cancels: it writes by itself, which costs half as much."""
        await self._turn()
        self._writing = asyncio.current_task()
        try:
            return await self._write(message)
        finally:
            self._writing = None

    async def _turn(self) -> None:
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])

    async def _write(self, message: pb.ShipResponse) -> bool:
        try:
            await self._context.write(message)
        except aio.BaseError:
            return False
        return True


async def abort(context: Context, code: grpc.StatusCode, why: str) -> None:
    """End the call with a status; raises what gRPC wants to see for that."""
    try:
        await context.abort(code, why)
    except aio.AbortError:
        raise
    except aio.BaseError:
        return  # the sender is gone


async def read(context: Context, reader: Reader, most: int = MAX_MESSAGE_BYTES) -> pb.ShipRequest | None:
    """The next message, of ``most`` bytes; None where the sender closed its side, or is gone.

    :raises Refusal: the bytes are not a message, or too many.
    """
    reader.reading = True
    data = await uncancelled(context.read())
    reader.reading = False
    reader.messages += 1
    if not isinstance(data, bytes):
        return None
    if len(data) > most:
        raise Refusal(pb.Refused.TOO_LARGE, f"a message of {len(data)} bytes where {most} are the limit")
    try:
        return pb.ShipRequest.FromString(data)
    except DecodeError as error:
        raise Refusal(pb.Refused.PROTOCOL, "a message that is not a ShipRequest") from error


async def refuse_stranger(_requests: object, context: Context) -> None:
    """Whoever speaks gRPC or HTTP/2 but asks for something else."""
    log_refused(context.peer(), "UNIMPLEMENTED", "it asks for another service")
    await abort(context, grpc.StatusCode.UNIMPLEMENTED, f"this is a shipper collector; it serves {METHOD} only")


class Methods(grpc.GenericRpcHandler):
    """Finds the handler of a method. Messages come as bytes: what is not a message is refused by ``read``."""

    def __init__(
        self, ship: Callable[[object, Context], Awaitable[None]], stranger: Callable[[object, Context], Awaitable[None]]
    ) -> None:
        def streaming(behaviour: Callable[[object, Context], Awaitable[None]]) -> "grpc.RpcMethodHandler[Any, Any]":
            serializer = pb.ShipResponse.SerializeToString
            return grpc.stream_stream_rpc_method_handler(behaviour, response_serializer=serializer)

        self._ship = streaming(ship)
        self._stranger = streaming(stranger)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """Called by gRPC for every call."""
        return self._ship if handler_call_details.method == METHOD else self._stranger


def why_not(listen: str) -> str:
    """Why an address cannot be listened on: gRPC keeps the reason for itself, so ask the system again."""
    try:
        host, port = split_address(listen)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return "gRPC refused it"
