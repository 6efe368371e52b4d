"""The sources of this repository that read by themselves pass the suite for all sources."""

import asyncio
import os
from pathlib import Path

import pytest
from conformance.source_suite import ReadingSuite, ResumingSuite, Rig
from support.journal import Journal

from shipper.sources.base import Intake, Source
from shipper.sources.file import FileSource
from shipper.sources.journald import JournaldSource
from shipper.sources.stdin import StreamReader


class FileRig(Rig):
    """A log file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self) -> Source:
        """See ``Rig``."""
        return FileSource(include=[str(self.path)])

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        with self.path.open("ab") as file:
            file.write(b"".join(record + b"\n" for record in records))

    async def end(self) -> None:
        """Nothing to do: ``once`` reads what is there."""


class TestFileSource(ResumingSuite):
    """The ``file`` source."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """See ``SourceSuite``."""
        return FileRig(tmp_path / "app.log")


class PipeSource(Source):
    """The ``stdin`` source on another descriptor: the test run has its own standard input."""

    descriptor: int

    async def run(self, intake: Intake, *, once: bool) -> None:
        """See ``Source``."""
        await StreamReader(self.descriptor, intake).run()


class PipeRig(Rig):
    """A pipe."""

    def __init__(self) -> None:
        self.ends = list(os.pipe())

    def source(self) -> Source:
        """See ``Rig``."""
        return PipeSource(descriptor=self.ends[0])

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        await asyncio.to_thread(os.write, self.ends[1], b"".join(record + b"\n" for record in records))

    async def end(self) -> None:
        """See ``Rig``."""
        os.close(self.ends.pop())

    async def close(self) -> None:
        """See ``Rig``."""
        for end in self.ends:
            os.close(end)


class TestStdinSource(ReadingSuite):
    """The ``stdin`` source."""

    @pytest.fixture
    def rig(self) -> Rig:
        """See ``SourceSuite``."""
        return PipeRig()


class JournalRig(Rig):
    """A journal in a directory."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal(directory)

    def source(self) -> Source:
        """See ``Rig``."""
        return JournaldSource(directory=str(self.journal.directory))

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        await asyncio.to_thread(self.journal.many, records)

    async def end(self) -> None:
        """Nothing to do: ``once`` reads what is there."""

    async def close(self) -> None:
        """See ``Rig``."""
        await asyncio.to_thread(self.journal.close)


class TestJournaldSource(ResumingSuite):
    """The ``journald`` source."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """See ``SourceSuite``."""
        return JournalRig(tmp_path / "journal")
