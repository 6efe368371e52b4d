"""Both sides of the wire against the suites: the sink has a real collector behind it, the source a real sender."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conformance.sink_suite import FarSide, SinkSuite
from conformance.source_suite import Rig, SourceSuite
from support.delivering import Outpost, frame_draft, lines
from support.processes import free_port
from support.until import until

from shipper.budget import Budget
from shipper.chain.run import Chain
from shipper.intake import SourceIntake
from shipper.metrics import Registry
from shipper.sinks.base import Sink
from shipper.sinks.delivery import Delivery
from shipper.sinks.grpc import GrpcSink
from shipper.sources.base import Source
from shipper.sources.grpc import GrpcSource
from shipper.spool.frame import Frame
from shipper.spool.spool import Spool


def sink_to(port: int) -> GrpcSink:
    """A sink, set up."""
    sink = GrpcSink(addresses=[f"127.0.0.1:{port}"])
    sink.setup()
    return sink


class Collector:
    """A collector's source, intake and spool."""

    def __init__(self, root: Path) -> None:
        self.source = GrpcSource(listen="127.0.0.1:0")
        self.source.setup()
        self._spool = Spool(root, 16 << 20, 1 << 20, ["probe"])
        self._workers = ThreadPoolExecutor(1)
        self._feed = self._spool.subscribe("probe")
        self._seen: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._spool.start()
        intake = SourceIntake(
            "edge",
            {},
            Chain([], "edge", lambda: 0),
            self._spool,
            Registry(),
            Budget(1 << 20),
            self._workers,
            1 << 18,
            0,
        )
        task = asyncio.create_task(self.source.run(intake, once=False))
        await until(lambda: self.source.port)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._spool.close()
            self._workers.shutdown()

    def sink(self) -> Sink:
        return sink_to(self.source.port)

    async def messages(self) -> list[str]:
        """What the collector's spool holds."""
        while self._feed.cursor < self._spool.next_seq:
            for item in await self._feed.read(1 << 20):
                payload = item.body.payload() if isinstance(item.body, Frame) else None
                self._seen += [raw.decode() for raw in payload.raw()] if payload else []
                self._feed.ack(item.next, 0)
        return self._seen


class TestGrpcSink(SinkSuite):
    """The ``grpc`` sink."""

    reads_records = False

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        collector = Collector(tmp_path / "collector")
        async with collector.running():
            yield collector


class SenderRig(Rig):
    """Another shipper's spool and delivery."""

    def __init__(self, root: Path) -> None:
        self._outpost = Outpost(root)
        self._port = free_port()
        self._opened = self._outpost.opened()
        self._task: asyncio.Task[None] | None = None

    def source(self) -> Source:
        """See ``Rig``."""
        source = GrpcSource(listen=f"127.0.0.1:{self._port}")
        source.setup()
        return source

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        if self._task is None:
            await self._opened.__aenter__()
            delivery: Delivery = self._outpost.delivery(sink_to(self._port))
            self._task = asyncio.create_task(delivery.run())
        await self._outpost.append(frame_draft(lines(*(record.decode() for record in records))))

    async def end(self) -> None:
        """Nothing to do: senders come and go."""

    async def close(self) -> None:
        """See ``Rig``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._opened.__aexit__(None, None, None)


class TestGrpcSource(SourceSuite):
    """The ``grpc`` source."""

    relays = True

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """See ``SourceSuite``."""
        return SenderRig(tmp_path)
