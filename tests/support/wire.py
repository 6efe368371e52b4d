"""Both ends of the wire in memory: a spool that says when something is durable, and a sender's delivery."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from shipper.batch import Batch, Payload, SourceRange, Upstream
from shipper.errors import SinkUnavailable
from shipper.metrics import Registry
from shipper.sinks.base import Gap, Item
from shipper.sinks.grpc import GrpcSink
from shipper.sinks.sharing import NOBODY, Sharing
from shipper.sources.grpc import GrpcSource
from shipper.spool.body import Mark
from shipper.spool.frame import Frame, FrameMeta, crc32c, decode, draft
from shipper.spool.upstream import DUPLICATE
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import CHANNEL_OPTIONS, METHOD, aio

STREAM: Final = bytes(range(16))
INCARNATION: Final = b"i" * 16
DEADLINE: Final = 60.0
"""Seconds after which a condition that does not come true fails a test."""


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition holds.

    :raises AssertionError: it did not within ``DEADLINE`` seconds.
    """
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it never came true: {what or condition}"
        await asyncio.sleep(0.002)


def frame(seq: int, text: str = "", stream: bytes = STREAM) -> Frame:
    """A frame of one line that names its number."""
    line = f"{seq} {text}\n".encode()
    meta = FrameMeta({"host": "edge-1"}, [SourceRange("app", b"g" * 16, seq * 10, seq * 10 + 10, 1, 1)])
    raw, _ = draft(Payload.lines(line), meta, 1_700_000_000_000_000 + seq).stamp(stream, seq)
    return decode(raw)


def big_frame(seq: int, size: int, stream: bytes = STREAM) -> Frame:
    """A frame of about ``size`` bytes that do not compress."""
    noise = bytes((seq * 7919 + i * i * 31 + (i >> 3) * 17) % 251 for i in range(min(size, 4096)))
    payload = Payload.sized([(noise * (size // len(noise) + 1))[:size]])
    meta = FrameMeta({"host": "edge-1"}, [])
    made = draft(payload, meta, 0)
    made.codec, made.payload = 0, payload.data
    made.crc = made.original_crc = crc32c(payload.data)
    raw, _ = made.stamp(stream, seq)
    return decode(raw)


def items(first: int, count: int) -> list[Item]:
    """Consecutive frames."""
    return [Item(seq, frame(seq)) for seq in range(first, first + count)]


@dataclass
class MemoryMark:
    """How far a stream is durable."""

    next: int
    epoch: int
    incarnation: bytes
    crc: int
    original_crc: int = 0


@dataclass
class Taken:
    """The receipt of one batch."""

    upstream: Upstream
    body: Frame | Gap
    labels: dict[str, Any]
    durable: "asyncio.Future[int]"
    numbers: int = 1


@dataclass
class Note:
    """The receipt of state without a batch."""

    durable: "asyncio.Future[int]"
    numbers: int = 1


@dataclass
class MemoryIntake:
    """A spool that holds what it is given in memory, and calls it durable when told to: ``hold``, then ``sync``."""

    name: str = "edge"
    labels: dict[str, Any] = field(default_factory=dict)
    metrics: Registry = field(default_factory=Registry)
    max_bytes: int = 256 * 1024
    max_delay: float = 0.1
    max_record: int = 1024 * 1024
    state: Mapping[str, bytes] = field(default_factory=dict)
    hold: bool = False
    """Nothing becomes durable by itself."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """``take`` waits while it is not set: the spool is full."""
    failure: Exception | None = None
    """What receipts fail with."""
    entries: list[Taken] = field(default_factory=list)
    """What is durable, in order."""
    queued: list[Taken] = field(default_factory=list)
    marks: dict[bytes, MemoryMark] = field(default_factory=dict)
    takes: int = 0
    notes: list[Note] = field(default_factory=list)
    """State that came with no batch."""
    floor: int = 1
    """All sinks have everything before this entry, the first being 1; ``deliver`` moves it."""
    moved: Callable[[], object] = lambda: None
    sharing: Sharing = NOBODY
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.room.set()

    @property
    def next_number(self) -> int:
        """See ``HopIntake``."""
        return len(self.entries) + 1

    def on_delivered(self, moved: Callable[[], object]) -> None:
        """See ``HopIntake``."""
        self.moved = moved

    def deliver(self, count: int | None = None) -> None:
        """All sinks have what is durable now, or ``count`` entries more of it."""
        self.floor = self.next_number if count is None else self.floor + count
        self.moved()

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Taken | None:
        """See ``Intake``."""
        batch = await asyncio.to_thread(read)
        assert batch is not None
        assert batch.upstream is not None
        assert isinstance(batch.payload, Frame)
        return await self._append(batch.upstream, batch.payload, batch.labels)

    async def take_frame(self, batch: Batch) -> Taken:
        """See ``HopIntake``."""
        taken = await self.take(lambda: batch)
        assert taken is not None
        return taken

    async def take_gap(self, upstream: Upstream, gap: Gap, labels: dict[str, Any]) -> Taken:
        """See ``HopIntake``."""
        return await self._append(upstream, gap, labels)

    def note(self, state: Mapping[str, bytes]) -> "Note":
        """See ``HopIntake``."""
        note = Note(asyncio.get_running_loop().create_future())
        self.notes.append(note)
        self.state = {**self.state, **state}
        if not self.hold:
            note.durable.set_result(0)
        return note

    def mark(self, stream: bytes) -> MemoryMark | None:
        """See ``HopIntake``."""
        return self.marks.get(stream)

    async def lower(self, stream: bytes, mark: Mark) -> None:
        """See ``HopIntake``."""
        self.marks[stream] = MemoryMark(mark.next, mark.epoch, mark.incarnation, mark.crc, mark.original_crc)

    def lag(self, file: str, unread: int | None) -> None:
        """See ``Intake``."""

    async def _append(self, upstream: Upstream, body: Frame | Gap, labels: dict[str, Any]) -> Taken:
        async with self._lock:
            self.takes += 1
            await self.room.wait()
            taken = Taken(upstream, body, labels, asyncio.get_running_loop().create_future())
            self.queued.append(taken)
            if not self.hold:
                asyncio.get_running_loop().call_soon(self.sync)
            return taken

    def sync(self, count: int | None = None) -> None:
        """Make what is queued durable, or the first ``count`` of it."""
        group, self.queued = self.queued[:count], self.queued[len(self.queued[:count]) :]
        for taken in group:
            if self.failure is not None:
                taken.durable.set_exception(self.failure)
                continue
            taken.durable.set_result(self._judge(taken))

    def _judge(self, taken: Taken) -> int:
        """As the spool's writer does: a lower number is a duplicate, a higher one never comes."""
        upstream = taken.upstream
        mark = self.marks.get(upstream.stream)
        expected = max(mark.next if mark else 0, upstream.floor)
        last = taken.body.last if isinstance(taken.body, Gap) else upstream.seq
        if last < expected:
            return DUPLICATE
        assert upstream.seq <= expected, f"{upstream.seq} where {expected} was expected"
        self.entries.append(taken)
        self.marks[upstream.stream] = MemoryMark(
            last + 1, upstream.epoch, upstream.incarnation, upstream.crc, upstream.original_crc
        )
        return len(self.entries)

    def numbers(self, stream: bytes = STREAM) -> list[int]:
        """The numbers of a stream that are durable, in the order in which they came."""
        found: list[int] = []
        for taken in self.entries:
            if taken.upstream.stream == stream:
                last = taken.body.last if isinstance(taken.body, Gap) else taken.upstream.seq
                found.extend(range(taken.upstream.seq, last + 1))
        return found


@dataclass
class MemoryOutlet:
    """The delivery's side of a sink: a cursor that acknowledgements move."""

    name: str = "central"
    stream: bytes = STREAM
    home: bytes = STREAM
    epoch: int = 1
    incarnation: bytes = INCARNATION
    labels: dict[str, Any] = field(default_factory=lambda: {"host": "edge-1"})
    state_dir: Path = Path("unused")
    cursor: int = 1
    cursor_crc: int = 0
    next_seq: int = 1_000_000
    once: bool = False
    acks: list[int] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every acknowledgement."""

    def acked(self, next_seq: int) -> None:
        """See ``Outlet``."""
        assert next_seq >= self.cursor, "acknowledgements went backwards"
        self.acks.append(next_seq)
        self.cursor = next_seq
        self.heard.set()

    async def reach(self, number: int) -> None:
        """Wait until everything before ``number`` is acknowledged."""
        async with asyncio.timeout(DEADLINE):
            while self.cursor < number:
                self.heard.clear()
                await self.heard.wait()

    async def refuse(self, item: Item, index: int, raw: bytes, reason: str) -> None:
        """See ``Outlet``."""
        raise AssertionError("a collector refuses no single record")

    def alarm(self, kind: str, message: str, **fields: Any) -> None:
        """See ``Outlet``."""
        raise AssertionError(message)


@asynccontextmanager
async def collector(
    intake: MemoryIntake,
    listen: str = "127.0.0.1:0",
    *,
    config: Mapping[str, Any] = MappingProxyType({}),
    **settings: float,
) -> AsyncIterator[GrpcSource]:
    """A running gRPC source with this ``config``; ``settings`` replace its class variables."""
    source = type("QuickSource", (GrpcSource,), settings)(listen=listen, **config)
    source.setup()
    task = asyncio.create_task(source.run(intake, once=False))
    try:
        await until(lambda: source.serving or task.done(), "the collector listens")
        if task.done():
            await task
        yield source
    finally:
        task.cancel()
        await asyncio.wait([task])


def grpc_sink(*ports: int, **settings: Any) -> GrpcSink:
    """A sink for collectors on these ports of 127.0.0.1; ``settings`` replace its class variables."""
    sink: GrpcSink = type("QuickSink", (GrpcSink,), settings)(addresses=[f"127.0.0.1:{port}" for port in ports])
    sink.setup()
    return sink


async def deliver(sink: GrpcSink, outlet: MemoryOutlet, all_items: Sequence[Item]) -> None:
    """What a delivery does, in short: connect, send from the cursor on, connect again; until all is acknowledged."""
    end = all_items[-1].next
    while outlet.cursor < end:
        watch: list[asyncio.Future[None]] = []
        try:
            outlet.cursor = max(outlet.cursor, await sink.connect(outlet))
            await sink.send([item for item in all_items if item.seq >= outlet.cursor])
            watch = [asyncio.ensure_future(sink.broken()), asyncio.ensure_future(outlet.reach(end))]
            await asyncio.wait(watch, return_when=asyncio.FIRST_COMPLETED)
        except SinkUnavailable:
            await asyncio.sleep(0.005)  # the backoff
        finally:
            for task in watch:
                task.cancel()
            await asyncio.gather(*watch, return_exceptions=True)
    await sink.close()


class RawSender:
    """A sender that says exactly what a test tells it to, and hears what the collector answers."""

    def __init__(self, port: int, token: str = "") -> None:
        self._channel = aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(METHOD)
        self.call = method(metadata=(("authorization", f"Bearer {token}"),) if token else ())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def hello(self, **changes: Any) -> pb.Welcome:
        """Say Hello; return the Welcome."""
        await self.send(pb.ShipRequest(hello=hello(**changes)))
        return (await self.expect("welcome")).welcome

    async def send(self, message: pb.ShipRequest | bytes) -> None:
        """Send a message, or bytes in the place of one."""
        await self.call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def frames(self, first: int, frames: Sequence[Frame | bytes]) -> None:
        """Send frames in one message."""
        raws = [body if isinstance(body, bytes) else body.raw for body in frames]
        await self.send(pb.ShipRequest(frames=pb.Frames(first=first, frames=raws)))

    async def expect(self, kind: str) -> pb.ShipResponse:
        """The next message, which must be of this kind."""
        async with asyncio.timeout(DEADLINE):
            data = await self.call.read()
        assert isinstance(data, bytes), f"the call ended where {kind} was expected"
        response = pb.ShipResponse.FromString(data)
        assert response.WhichOneof("message") == kind, response
        return response

    async def acked(self, number: int) -> pb.Ack:
        """Read Acks until one reaches ``number``; return it."""
        while (ack := (await self.expect("ack")).ack).next < number:
            pass
        return ack

    async def refused(self) -> pb.Refused:
        """Read until the refusal, over Acks."""
        async with asyncio.timeout(DEADLINE):
            while isinstance(data := await self.call.read(), bytes):
                response = pb.ShipResponse.FromString(data)
                if response.WhichOneof("message") == "refused":
                    return response.refused
        raise AssertionError(f"the call ended without a refusal: {await self.call.code()}")


def hello(**changes: Any) -> pb.Hello:
    """A Hello as the outlet of ``MemoryOutlet`` gives it, with changes."""
    values: dict[str, Any] = {"stream": STREAM, "epoch": 1, "incarnation": INCARNATION, "protocol": 1, "floor": 1}
    return pb.Hello(**(values | changes))
