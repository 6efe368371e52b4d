"""The stdin source, on real pipes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.intake import MemoryIntake, stopping

from shipper.errors import SourceError, SpoolFailed
from shipper.sources.stdin import StdinSource, StreamReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends; what a test did not close is closed."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@asynccontextmanager
async def reading(descriptor: int, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    async with stopping(asyncio.create_task(StreamReader(descriptor, intake).run())) as task:
        yield task


async def test_lines_come_as_they_are_written(pipe: tuple[int, int]) -> None:
    """Without waiting for the end; half a line waits for its newline."""
    intake = MemoryIntake()
    async with reading(pipe[0], intake) as task:
        os.write(pipe[1], b"one\ntw")
        await intake.records_are(b"one")
        os.write(pipe[1], b"o\nthree\n")
        await intake.records_are(b"one", b"two", b"three")
        os.close(pipe[1])
        await task
    assert intake.batches[0].labels == intake.labels
    assert intake.ranges()[0].end == 4
    assert intake.ranges()[-1].end == 14
    assert all(len(span.generation) == 16 for span in intake.ranges())
    assert intake.durable_state() == {}


async def test_the_half_line_is_shipped_at_the_end(pipe: tuple[int, int]) -> None:
    """Its range says that it is partial, and the source returns."""
    intake = MemoryIntake()
    os.write(pipe[1], b"one\nhal")
    os.close(pipe[1])
    await asyncio.wait_for(StreamReader(pipe[0], intake).run(), 60)
    assert intake.records() == [b"one", b"hal"]
    assert intake.ranges()[-1].partial


async def test_an_empty_input_is_no_batch(pipe: tuple[int, int]) -> None:
    """There is nothing to say."""
    intake = MemoryIntake()
    os.close(pipe[1])
    await asyncio.wait_for(StreamReader(pipe[0], intake).run(), 60)
    assert intake.batches == []


async def test_a_redirected_file_is_read_to_its_end(tmp_path: Path) -> None:
    """The loop cannot wait for files; they are always readable."""
    path = tmp_path / "input"
    path.write_bytes(b"".join(b"line %d\n" % n for n in range(50_000)))
    descriptor = os.open(path, os.O_RDONLY)
    intake = MemoryIntake(max_delay=3600)
    await asyncio.wait_for(StreamReader(descriptor, intake).run(), 60)
    os.close(descriptor)
    assert intake.records() == [b"line %d" % n for n in range(50_000)]
    assert len(intake.batches) <= 4


async def test_a_full_spool_makes_the_writer_wait(pipe: tuple[int, int]) -> None:
    """What is held in memory stays bounded; nothing is lost when it goes on."""
    intake = MemoryIntake(max_bytes=10_000)
    intake.block()
    line = b"x" * 999 + b"\n"
    os.set_blocking(pipe[1], False)
    written = 0
    async with reading(pipe[0], intake) as task:
        for _ in range(200):
            try:
                written += os.write(pipe[1], line * 64)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        assert written <= 10_000 + 4 * 65_536
        intake.unblock()
        os.close(pipe[1])
        await task
    assert sum(len(record) + 1 for record in intake.records()) == written + (written % 1000 > 0)


async def test_the_first_line_after_quiet_goes_at_once_and_then_frames_fill(pipe: tuple[int, int]) -> None:
    """Within max_delay the next frame goes when max_bytes are there, not before."""
    intake = MemoryIntake(max_delay=3600, max_bytes=10_000)
    async with reading(pipe[0], intake):
        os.write(pipe[1], b"first\n")
        await intake.records_are(b"first")
        os.write(pipe[1], b"second\n")
        for _ in range(100):
            os.write(pipe[1], b"x" * 99 + b"\n")
        await intake.until(lambda: len(intake.batches) == 2)
    assert intake.ranges()[1].start == 6


async def test_a_very_long_line_is_truncated_and_marked(pipe: tuple[int, int]) -> None:
    """Its beginning goes on with its size; the lines around it are whole; what was cut off is counted."""
    intake = MemoryIntake(max_record=100_000)
    async with reading(pipe[0], intake) as task:
        await asyncio.to_thread(_write_all, pipe[1], b"before\n" + b"z" * 3_000_000 + b"\nafter\n")
        os.close(pipe[1])
        await task
    assert intake.records() == [b"before", b"z" * 100_000, b"after"]
    assert [batch.labels.get("truncated") for batch in intake.batches] == [None, 3_000_000, None]
    assert intake.losses == [("too_long", 2_900_000, "standard input")]


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def test_what_was_read_is_handed_over_when_it_is_stopped(pipe: tuple[int, int]) -> None:
    """Nobody could read it again."""
    intake = MemoryIntake(max_delay=3600)
    async with reading(pipe[0], intake):
        os.write(pipe[1], b"first\n")
        await intake.records_are(b"first")
        os.write(pipe[1], b"second\nthi")
        await intake.until(lambda: _is_empty(pipe[0]))
    assert intake.records() == [b"first", b"second"]


def _is_empty(descriptor: int) -> bool:
    import select

    return not select.select([descriptor], [], [], 0)[0]


async def test_a_call_that_was_begun_is_finished_when_it_is_stopped(pipe: tuple[int, int]) -> None:
    """Also while the spool is full for a moment."""
    intake = MemoryIntake()
    intake.block()
    task = asyncio.create_task(StreamReader(pipe[0], intake).run())
    os.write(pipe[1], b"one\n")
    await intake.until(lambda: _is_empty(pipe[0]))
    task.cancel()
    await asyncio.sleep(0)
    intake.unblock()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert intake.records() == [b"one"]


async def test_an_error_of_the_intake_ends_the_source(pipe: tuple[int, int]) -> None:
    """With the error as it was."""
    os.write(pipe[1], b"one\n")
    with pytest.raises(SpoolFailed):
        await StreamReader(pipe[0], MemoryIntake(fail_at=0)).run()


async def test_a_descriptor_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A closed standard input, or a directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceError, match="standard input cannot be read"):
        await StreamReader(descriptor, MemoryIntake()).run()
    os.close(descriptor)
    with pytest.raises(SourceError, match="standard input cannot be read"):
        await StreamReader(descriptor, MemoryIntake()).run()


def test_it_reads_descriptor_0() -> None:
    """As `command | shipper run` does."""
    program = (
        "import asyncio, sys; sys.path.insert(0, 'tests')\n"
        "from support.intake import MemoryIntake\n"
        "from shipper.sources.stdin import StdinSource\n"
        "intake = MemoryIntake()\n"
        "asyncio.run(StdinSource().run(intake, once=True))\n"
        "print(intake.records(), StdinSource().describe())\n"
    )
    root = Path(__file__).parents[2]
    for redirect in (subprocess.PIPE, None):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=b"one\ntwo" if redirect else None,
            stdin=None if redirect else subprocess.DEVNULL,
            capture_output=True,
            cwd=root,
            check=True,
        )
        expected = [b"one", b"two"] if redirect else []
        assert done.stdout.decode().strip() == f"{expected} reading standard input"
    assert StdinSource().describe() == "reading standard input"
