"""The sender's side of one connection.

When it breaks, by whatever side or because no Ack came within the deadline, the reading task keeps the reason, and
``send`` and ``broken`` raise it. Exceptions of grpc are translated here and go no further.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from google.protobuf.message import DecodeError

from shipper.errors import SinkError, SinkUnavailable
from shipper.sinks.base import Item, Outlet
from shipper.v1 import ingest_pb2 as pb
from shipper.version import VERSION
from shipper.wire.channel import METHOD, PROTOCOL, aio, grpc
from shipper.wire.door import Door
from shipper.wire.history import History
from shipper.wire.refusal import refused_error
from shipper.wire.tls import unreachable
from shipper.wire.window import MESSAGE_BYTES, Window, cut, request, size_of

_FINAL: Final = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
"""Status codes that the same attempt would get again."""
_BROKEN: Final = (grpc.RpcError, aio.BaseError, asyncio.InvalidStateError)
"""What a write raises on a call that ended."""


class Connection:
    """One channel with one call on it, and the task that reads its Acks."""

    def __init__(self, address: str, outlet: Outlet, door: Door, ack_deadline: float, *, thins: bool) -> None:
        """``thins``: a ``where`` leaves records out of frames, which it encodes anew."""
        self._address = address
        self._outlet = outlet
        self._ack_deadline = ack_deadline
        self._history = History(address, outlet, thins=thins)
        self._door = door
        self._channel = door.channel(address)
        self._call: aio.StreamStreamCall[bytes, bytes] | None = None
        """None before ``open`` and after ``close``."""
        self._window = Window(0, 0)
        self._changed = asyncio.Event()
        """Set whenever an Ack came or the connection broke."""
        self._reader: asyncio.Task[None] | None = None
        self._progress = False
        """An Ack moved the window."""
        self._error: SinkError | None = None
        self._gone = asyncio.Event()
        self._start = 0
        """Where the collector wants to go on."""
        self._acknowledged = 0
        """What it acknowledged."""

    async def reach(self) -> None:
        """Wait until the address can be connected to; ``open`` then takes no longer than a round trip.

        :raises SinkUnavailable: the channel was closed.
        """
        try:
            await self._channel.channel_ready()
        except _BROKEN as error:
            raise SinkUnavailable(f"{self._address} cannot be reached: {error}") from error

    async def open(self) -> int:
        """Hello, Welcome; return the number to go on with.

        :raises SinkError: it did not work out.
        """
        outlet = self._outlet
        hello = pb.Hello(
            stream=outlet.stream,
            epoch=outlet.epoch,
            incarnation=outlet.incarnation,
            protocol=PROTOCOL,
            agent_version=VERSION,
            labels={name: str(value) for name, value in outlet.labels.items()},
            floor=outlet.cursor,
            floor_check=self._history.floor_check,
        )
        # Messages travel as bytes here: frames are encoded by hand (window.py), and what cannot be decoded is an error
        # of ours, not a traceback in gRPC's log.
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(METHOD)
        self._call = method(metadata=self._door.metadata())
        # Asked for before the Hello is out: a refusal may be here before the write has ended, which then fails, and
        # after that the call answers nothing any more.
        answer = asyncio.ensure_future(self._read())
        answer.add_done_callback(lambda read: read.cancelled() or read.exception())
        try:
            with suppress(*_BROKEN):  # the reason comes with the read
                await self._call.write(pb.ShipRequest(hello=hello).SerializeToString())
            response = await answer
        finally:
            answer.cancel()
        if response.WhichOneof("message") != "welcome":
            raise SinkError(f"{self._address} did not answer with Welcome: it breaks the protocol")
        start = self._history.judge(response.welcome)
        self._start = self._acknowledged = response.welcome.next
        self._window = Window(response.welcome.window_bytes, self._start)
        self._reader = asyncio.get_running_loop().create_task(self._read_acks())
        return start

    async def send(self, items: Sequence[Item]) -> None:
        """Send items in order; waits while the window is full. Cancelling it breaks the connection.

        :raises SinkError: the connection is gone; retriable where connecting again can help.
        """
        window = self._window
        if self._history.compare(items) and self._acknowledged > self._outlet.cursor:
            self._outlet.acked(self._acknowledged)
        at = sum(item.next <= self._start for item in items)
        self._check()
        while at < len(items):
            if not window.fits(size_of(items[at])):
                self._changed.clear()
                await self._changed.wait()
                self._check()
                continue
            end = cut(items, at, min(MESSAGE_BYTES, window.limit - window.unacked))
            group = items[at:end]
            window.sent(group[-1].next, sum(map(size_of, group)))
            await self._write(request(group))
            at = end

    @property
    def idle(self) -> bool:
        """Everything sent is acknowledged."""
        return not self._history.open and self._window.unacked == 0

    @property
    def futile(self) -> bool:
        """Something was sent and nothing of what was sent was ever acknowledged."""
        return not self._progress and not self.idle

    async def settled(self) -> int:
        """Wait until everything sent is acknowledged; return the number after it.

        :raises SinkError: the connection is gone.
        """
        while not self.idle:
            self._changed.clear()
            self._check()
            await self._changed.wait()
        self._check()
        return self._window.next

    @property
    def held_up(self) -> bool:
        """The collector has the next move: it did not acknowledge all that was sent, or its window is closed. That it
        says something at all sees the Ack deadline to.
        """
        return self._window.unacked > 0 or self._window.limit == 0

    async def broken(self) -> None:
        """Wait until the connection is gone.

        :raises SinkError: why; always.
        """
        await self._gone.wait()
        self._check()

    def give_up(self, why: SinkError) -> None:
        """End the connection; ``send`` and ``broken`` raise why."""
        if self._error is None:
            self._error = why
        if self._call is not None:
            self._call.cancel()
        self._gone.set()
        self._changed.set()

    async def close(self) -> None:
        """Give everything back."""
        if self._reader is not None:
            self.give_up(SinkUnavailable(f"the connection to {self._address} was closed"))
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._channel.close()
        # While anybody refers to the call, gRPC goes on connecting to the address, of a closed channel too, and the
        # collector sees a peer that asks for nothing. Tracebacks keep this object until garbage is collected.
        self._call = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _write(self, message: bytes) -> None:
        if self._call is None:
            raise SinkUnavailable(f"the connection to {self._address} was closed")
        try:
            await self._call.write(message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task: gRPC says so when the call was given up by the reader.
        except _BROKEN:
            pass  # the reader learns why
        else:
            return
        await self._gone.wait()
        self._check()

    async def _read(self) -> pb.ShipResponse:
        """:raises SinkError: the call ended, or the collector ends it."""
        if self._call is None:
            raise SinkUnavailable(f"the connection to {self._address} was closed")
        try:
            data = await self._call.read()
        except aio.AioRpcError as error:
            error.with_traceback(None)  # gRPC's frames in it hold the call: see close
            text = error.details() or ""
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise unreachable(self._address, text, tls=self._door.tls) from error
            kind = SinkError if error.code() in _FINAL else SinkUnavailable
            raise kind(f"{self._address}: {error.code().name}: {text}") from error
        if not isinstance(data, bytes):
            raise SinkUnavailable(f"{self._address} closed the connection")
        try:
            response = pb.ShipResponse.FromString(data)
        except DecodeError as error:
            raise SinkError(f"{self._address} sent something that is not a ShipResponse") from error
        if response.WhichOneof("message") == "refused":
            raise refused_error(response.refused, self._address)
        return response

    async def _read_acks(self) -> None:
        """Run until the connection breaks, and keep why."""
        error: SinkError
        try:
            while True:
                async with asyncio.timeout(self._ack_deadline):
                    response = await self._read()
                self._acked(response)
        except TimeoutError:
            error = SinkUnavailable(f"{self._address} acknowledged nothing for {self._ack_deadline:g} s")
        except SinkError as failure:
            error = failure
        self.give_up(error)

    def _acked(self, response: pb.ShipResponse) -> None:
        if response.WhichOneof("message") != "ack":
            raise SinkError(f"{self._address} sent something that is not an Ack: it breaks the protocol")
        ack, window = response.ack, self._window
        window.limit = ack.window_bytes
        self._changed.set()
        if ack.next > window.next:
            raise SinkError(f"{self._address} acknowledged {ack.next}, but only {window.next} was sent")
        self._progress = window.acked(ack.next) or self._progress
        self._acknowledged = ack.next
        if not self._history.open:
            self._outlet.acked(ack.next)
