"""The sinks that need nothing but this machine, against the suite."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from conformance.sink_suite import FarSide, SinkSuite

from shipper.sinks.base import Sink
from shipper.sinks.blackhole import BlackholeSink
from shipper.sinks.file import FileSink
from shipper.sinks.stdout import StdoutSink


class Files:
    """The file sink's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sink(self) -> Sink:
        sink = FileSink(path=f"{self.root}/{{host}}/all.ndjson")
        sink.setup()
        return sink

    async def messages(self) -> list[str]:
        path = self.root / "edge-1" / "all.ndjson"
        return [json.loads(line)["message"] for line in path.read_bytes().splitlines()] if path.exists() else []


class Pipe:
    """A pipe that stands for standard output, and somebody who reads it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.data = b""

    def sink(self) -> Sink:
        class PipeSink(StdoutSink):
            descriptor: ClassVar[int] = self.writing

        sink = PipeSink()
        sink.setup()
        return sink

    def read(self) -> None:
        while data := os.read(self.reading, 65536):
            self.data += data

    async def messages(self) -> list[str]:
        os.close(self.writing)
        await self.reader
        return [json.loads(line)["message"] for line in self.data.splitlines()]

    reader: asyncio.Future[None]


class Nowhere:
    """The blackhole."""

    def sink(self) -> Sink:
        return BlackholeSink()

    async def messages(self) -> list[str]:
        return []


class TestFileSink(SinkSuite):
    """The file sink."""

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        yield Files(tmp_path / "files")


class TestStdoutSink(SinkSuite):
    """The stdout sink."""

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        pipe = Pipe()
        pipe.reader = asyncio.ensure_future(asyncio.to_thread(pipe.read))
        yield pipe
        if not pipe.reader.done():
            os.close(pipe.writing)
            await pipe.reader
        os.close(pipe.reading)


class TestBlackholeSink(SinkSuite):
    """The blackhole sink."""

    keeps_records = False

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        yield Nowhere()
