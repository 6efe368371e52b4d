"""The ``grpc`` source: the collector's side of the wire (proto/shipper/v1/ingest.proto).

One handler runs for each connection; ``shipper.wire.session`` holds what it does with frames. Here stands what belongs
to gRPC: the server, the order of Hello, Welcome and frames, one connection a stream, and how a connection ends.
"""

import asyncio
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, cast

import msgspec

from shipper.errors import ShipperError
from shipper.log import get_logger
from shipper.sources.base import Given, Intake, Source
from shipper.v1 import ingest_pb2 as pb
from shipper.wire import handshake
from shipper.wire.address import claimed, split_address
from shipper.wire.budget import BUDGET, ReceiveBudget
from shipper.wire.certificates import ServerTls
from shipper.wire.channel import ACK_INTERVAL, MAX_HELLO_BYTES, grpc
from shipper.wire.checked import check_gap
from shipper.wire.delivered import Delivered
from shipper.wire.gate import Gate, Visitor
from shipper.wire.hop import HopIntake
from shipper.wire.meter import PortMeter
from shipper.wire.port import Port
from shipper.wire.refusal import Refusal, refusal_of
from shipper.wire.server import LOG_EVERY, Context, Voice, abort, log_refused, read
from shipper.wire.session import Session
from shipper.wire.takeover import last_known, take_over
from shipper.wire.tls import ServerCertificates
from shipper.wire.tokens import Tokens
from shipper.wire.unfinished import Reader, Unfinished

log = get_logger("grpc")

_STATUS: Final = {
    pb.Refused.TOO_LARGE: grpc.StatusCode.OUT_OF_RANGE,
    pb.Refused.DAMAGED: grpc.StatusCode.DATA_LOSS,
    pb.Refused.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    pb.Refused.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    pb.Refused.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.Refused.STOPPING: grpc.StatusCode.UNAVAILABLE,
    pb.Refused.SPOOL_FAILED: grpc.StatusCode.UNAVAILABLE,
    pb.Refused.REPLACED: grpc.StatusCode.ABORTED,
}
_TICKS: Final = 5
"""The connections are looked at so often within one ``ack_interval``."""
_SLICE: Final = 16
"""Connections that are looked at in one go."""
_LAST_WORD: Final = 5.0
"""Seconds that a sender has to take the reason for its end."""


class GrpcSource(Source):
    """Take frames from other shippers, agents or relays, over gRPC.

    A frame is acknowledged to its sender after it is durable in this shipper's own spool, or after this shipper's sinks
    have it (``ack``).
    """

    listen: str = "0.0.0.0:7420"
    """Address and port to listen on: ``0.0.0.0:7420``, ``[::]:7420``, ``127.0.0.1:7420``."""

    ack: Literal["spool", "delivered"] = "spool"
    """When a frame is acknowledged to its sender: ``spool``: once it is durable here; ``delivered``: once all sinks of
    this shipper have it. Until then the sender keeps it, and sends no more than a window (64 KiB to 8 MiB) ahead: the
    loss of this shipper's disk then loses nothing."""
    tls: ServerTls | None = None
    """Encrypt; with ``client_ca`` only senders with a certificate come in. Files that change are read again."""
    tokens: Path | None = None
    """The file of ``shipper tokens``: only senders with a token in it come in, and a stream belongs to whose token
    first used it. It is read again when it changes."""
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """More connections than this are closed at once. Each takes a file descriptor; an idle one takes about 16 KiB of
    memory, a sender that is quiet 30 KiB."""
    max_connections_per_peer: Annotated[int, msgspec.Meta(ge=1)] = 2000
    """More senders than this from one address are refused."""
    max_streams_per_principal: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """With ``tokens``: one principal's agents may be at most so many, ever."""

    collects: ClassVar[bool] = True
    ack_interval: ClassVar[float] = ACK_INTERVAL
    """Seconds: an Ack goes out at least so often."""
    hello_timeout: ClassVar[float] = 10.0
    """Seconds that a new connection has for its Hello."""
    stop_grace: ClassVar[float] = 5.0
    """Seconds that connections have at shutdown for their last Ack."""
    budget_bytes: ClassVar[int] = BUDGET
    """Bytes received and not durable yet, over all connections."""

    def setup(self) -> None:
        """:raises ValueError: ``listen`` is not an address, or files of ``tls`` or ``tokens`` cannot be used."""
        split_address(self.listen)
        self._certificates = ServerCertificates(self.tls) if self.tls is not None else None
        self._tokens = Tokens(self.tokens) if self.tokens is not None else None
        self.port = 0
        self.serving = False
        self._sessions: dict[bytes, Session] = {}
        self._stopping = False

    @property
    def gives(self) -> tuple[Given, ...]:
        """See ``Source``."""
        return "raw lines", "JSON objects"

    def claims(self) -> list[str]:
        """See ``Source``."""
        return claimed(self.listen)

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Source``."""
        found = [("tls", text) for text in self._certificates.cautions()] if self._certificates is not None else []
        if self.tokens is not None and self.tls is None:
            found.append(("tokens", "are sent without TLS: whoever reads the network on the way can use them"))
        if self._tokens is not None and not len(self._tokens):
            found.append(("tokens", f"{self.tokens} holds no token: nobody can send"))
        return found

    async def run(self, intake: Intake, *, once: bool) -> None:
        """Serve until cancelled. With ``once`` nothing is there to be read at the start: it returns at once.

        :raises SourceError: the address cannot be listened on.
        """
        if once:
            return
        self._stopping = False
        self._sessions = {}
        self._budget = ReceiveBudget(self.budget_bytes)
        self._intake = cast(HopIntake, intake)
        self._delivered: Delivered | None = None
        if self.ack == "delivered":
            self._delivered = Delivered(self._intake, self._intake.sharing)
            self._intake.on_delivered(self._delivered.advance)
        self._handlers: set[asyncio.Task[Any]] = set()
        self._gate = Gate(self._intake, self._tokens, self.max_connections_per_peer, self.max_streams_per_principal)
        self._visitors: dict[asyncio.Task[Any], tuple[Visitor, Session]] = {}
        ends = self._certificates.ends if self._certificates is not None else lambda: math.inf
        self._meter = PortMeter(self._intake.metrics, self._intake.name, self._budget, ends)
        self._unfinished = Unfinished(self._budget, self._cut)
        self._wire = Port(self.listen, self.max_connections, self._certificates, self._ship, self._meter.refused)
        self.port = await self._wire.open()
        try:
            self.serving = True
            while True:
                await asyncio.sleep(self.ack_interval / _TICKS)
                await self._tick()
        finally:
            self.serving = False
            self._stopping = True  # take no new connection, acknowledge what becomes durable, close
            stopped = asyncio.ensure_future(self._wire.close(self.stop_grace))
            for handler in list(self._handlers):
                handler.cancel()
            await stopped

    def describe(self) -> str:
        """The address, with the port that was given where the config says 0."""
        return f"listening on {self.listen.rpartition(':')[0]}:{self.port}"

    async def _tick(self) -> None:
        due = time.monotonic() - self.ack_interval * (_TICKS - 2) / _TICKS
        for number, (stream, session) in enumerate(list(self._sessions.items()), 1):
            if session.finished.is_set():
                if self._sessions.get(stream) is session:
                    del self._sessions[stream]
            else:
                session.tick(due)
            if number % _SLICE == 0:
                await asyncio.sleep(0)  # a thousand Acks at once would hold up everybody else's
        await self._wire.tick()
        await self._unfinished.tick()
        if self._tokens is not None and self._tokens.refresh():
            for visitor, session in self._visitors.values():
                if not self._gate.welcome(visitor):
                    session.end(Refusal(pb.Refused.UNAUTHENTICATED, f"a token of {visitor.principal} was revoked"))

    async def _ship(self, _requests: object, context: Context) -> None:
        """One connection, from Hello to its end."""
        handler = cast("asyncio.Task[Any]", asyncio.current_task())
        self._handlers.add(handler)
        voice = Voice(context)
        self._wire.called(context)
        reader = self._unfinished.enter(context.peer())
        visitor: Visitor | None = None
        session: Session | None = None
        who: dict[str, str] = {}
        try:
            visitor = self._gate.enter(context.peer(), cast(Any, context.invocation_metadata() or ()))
            who["principal"] = visitor.principal
            hello = await self._hello(context, reader)
            who["stream"] = hello.stream.hex()
            await self._gate.claim(visitor, hello.stream)
            session = await self._open(hello, handler, voice)
            self._visitors[handler] = visitor, session
            await self._serve(session, voice, context, reader)
        except asyncio.CancelledError:
            if session is not None and session.ended is not None:
                refusal = session.ended
            elif self._stopping:
                refusal = Refusal(pb.Refused.STOPPING, "the collector is stopping")
                if session is not None:
                    await session.drained()
            else:
                raise  # the sender is gone
        except Refusal as error:
            refusal = error
        except ShipperError as error:
            refusal = refusal_of(error)
        else:
            return
        finally:
            self._handlers.discard(handler)
            self._visitors.pop(handler, None)
            self._unfinished.leave(reader)
            if visitor is not None:
                self._gate.leave(visitor)
            if session is not None:
                session.close()
        await self._refuse(refusal, voice, context, who)

    def _cut(self, peer: str, why: str) -> None:
        self._meter.refused("UNFINISHED")
        log_refused(peer, "UNFINISHED", why)

    async def _hello(self, context: Context, reader: Reader) -> pb.Hello:
        if self._stopping:
            raise Refusal(pb.Refused.STOPPING, "the collector is stopping")
        try:
            async with asyncio.timeout(self.hello_timeout):
                request = await read(context, reader, MAX_HELLO_BYTES)
        except TimeoutError as error:
            raise Refusal(pb.Refused.PROTOCOL, f"no Hello came within {self.hello_timeout:g} s") from error
        if request is None or request.WhichOneof("message") != "hello":
            raise Refusal(pb.Refused.PROTOCOL, "the first message is not a Hello")
        handshake.check_hello(request.hello)
        return request.hello

    async def _open(self, hello: pb.Hello, handler: "asyncio.Task[Any]", voice: Voice) -> Session:
        """Take the place of the stream's connection, once nothing of the old one is on its way any more."""
        while (old := self._sessions.get(hello.stream)) is not None:
            if not old.finished.is_set():
                handshake.check_opening(hello, old)
                old.end(Refusal(pb.Refused.REPLACED, "a newer connection of the same stream took over"))
                await old.finished.wait()
            if self._sessions.get(hello.stream) is old:
                break  # else another Hello was faster: it is now the old one

        async def send(ack: pb.Ack) -> bool:
            return await voice.say_uncancelled(pb.ShipResponse(ack=ack))

        session = Session(hello, self._intake, self._budget, send, handler.cancel, self._delivered)
        self._sessions[hello.stream] = session
        return session

    async def _serve(self, session: Session, voice: Voice, context: Context, reader: Reader) -> None:
        """Welcome the sender and take what it sends until it closes its side, then acknowledge the rest."""
        hello = session.hello
        mark = self._intake.mark(hello.stream)
        if mark is not None:
            handshake.check_opening(hello, mark)
            handshake.check_history(hello, mark)
        claimed = None
        if self._delivered is not None and self._intake.sharing:
            claimed = await take_over(self._intake, self._delivered, hello)
        expected = session.start(claimed)
        last = last_known(mark, None if claimed is None else claimed.mark)
        answer = handshake.welcome(hello, last, expected, session.window)
        await voice.say(pb.ShipResponse(welcome=answer))
        peer, stream = context.peer(), hello.stream.hex()
        log.info("a sender connected", every=LOG_EVERY, key=stream, peer=peer, stream=stream, next=answer.next)
        while True:
            await session.room()
            request = await read(context, reader)
            if request is None:
                break
            match request.WhichOneof("message"):
                case "frames":
                    await session.frames(request.frames)
                case "gap":
                    check_gap(request.gap)
                    await session.gap(request.gap)
                case _:
                    raise Refusal(pb.Refused.PROTOCOL, "a message that is neither Frames nor Gap came after Hello")
        await session.drained()
        await session.delivered()

    async def _refuse(self, refusal: Refusal, voice: Voice, context: Context, who: dict[str, str]) -> None:
        """Tell the sender why, and the log; ends the call."""
        self._meter.refused(refusal.name)
        if refusal.reason != pb.Refused.STOPPING:
            log_refused(context.peer(), refusal.name, str(refusal), **who)
        with suppress(TimeoutError):  # a sender that reads nothing learns it from the status, if at all
            async with asyncio.timeout(_LAST_WORD):
                await voice.say(pb.ShipResponse(refused=pb.Refused(reason=refusal.reason, text=str(refusal))))
        await abort(context, _STATUS.get(refusal.reason, grpc.StatusCode.FAILED_PRECONDITION), str(refusal))
