"""Rotation storms: a writer that rotates all the time, a spool that is full now and then, restarts at any moment.

Every line carries a number; at the end each must have been taken exactly once, and in order within its file.
"""

import asyncio
import random
import time
from pathlib import Path

import pytest
from support.intake import MemoryIntake, stopping

from shipper.batch import Payload
from shipper.sources.file import FileSource
from shipper.sources.file.limits import Timings

COARSE = 5
"""CLOCK_REALTIME_COARSE: the clock that files get their times from."""
TIMINGS = Timings(rescan=0.2, linger=0.2, forget=600)


class Writer:
    """Writes numbered lines to a log and rotates it by renaming, as logrotate and loggers do: `shifting` all older
    files by one (app.log.1 is always the last), or counting up.

    What it writes after a rotation bears a later time, by a tick of the kernel's clock: files that nobody saw and whose
    times are equal are taken to be shifted (docs/decisions/104-rotated-while-down.md).
    """

    def __init__(self, log: Path, chance: random.Random, *, shifting: bool) -> None:
        self.log = log
        self.written = 0
        self.files = 0
        self._chance = chance
        self._shifting = shifting
        self._file = log.open("ab", buffering=0)
        self._half = False

    def write(self) -> None:
        """Some lines; now and then one whose newline comes later."""
        for _ in range(self._chance.randrange(1, 30)):
            self.finish_line()
            self._half = self._chance.random() < 0.2
            self._file.write(b"%d" % self.written + (b"" if self._half else b"\n"))
            self.written += 1

    def finish_line(self) -> None:
        """Write the newline that is missing."""
        if self._half:
            self._file.write(b"\n")
            self._half = False

    def rotate(self, *, late: bool = False) -> None:
        """Rename the file and begin a new one; the old one may get a last line after that."""
        self.finish_line()
        old = self._file
        if self._shifting:
            for number in range(self.files, 0, -1):
                Path(f"{self.log}.{number}").rename(f"{self.log}.{number + 1}")
        self.files += 1
        self.log.rename(f"{self.log}.{1 if self._shifting else self.files}")
        self._file = self.log.open("ab", buffering=0)
        if late:
            old.write(b"%d\n" % self.written)
            self.written += 1
        old.close()
        began = time.clock_gettime_ns(COARSE)
        while time.clock_gettime_ns(COARSE) == began:
            pass

    def close(self) -> None:
        """No more."""
        self.finish_line()
        self._file.close()


def check(intake: MemoryIntake, written: int) -> None:
    """Each line once, in order within each generation, none counted as lost."""
    numbers: dict[bytes, list[int]] = {}
    for batch in intake.batches:
        assert isinstance(batch.payload, Payload)
        for span in batch.ranges:
            numbers.setdefault(span.generation, []).extend(map(int, batch.payload.raw()))
    assert sorted(number for found in numbers.values() for number in found) == list(range(written))
    assert all(found == sorted(found) for found in numbers.values())
    assert intake.losses == []


async def first_sight(source: FileSource, intake: MemoryIntake, writer: Writer) -> None:
    """Nothing can be known of files that came and went before the first start."""
    writer.write()
    async with stopping(asyncio.create_task(source.follow(intake, TIMINGS, once=False))):
        await intake.until(lambda: intake.batches)


@pytest.mark.parametrize("shifting", [True, False], ids=["shifting", "counting"])
@pytest.mark.parametrize("seed", range(2))
async def test_a_storm_while_running_loses_and_doubles_nothing(tmp_path: Path, seed: int, shifting: bool) -> None:
    """Rotated names are under no pattern; files come and go between two looks, also while the spool is full."""
    chance = random.Random(seed)
    log = tmp_path / "app.log"
    writer = Writer(log, chance, shifting=shifting)
    intake = MemoryIntake(max_delay=0.005, max_bytes=200)
    source = FileSource(include=[str(log)])
    async with stopping(asyncio.create_task(source.follow(intake, TIMINGS, once=False))):
        writer.write()
        await intake.until(lambda: intake.batches)  # the first look came before the first rotation
        for _ in range(150):
            match chance.choice("wwwrlpbuu"):
                case "w":
                    writer.write()
                case "r":
                    writer.rotate()
                case "l":
                    writer.rotate(late=True)
                case "p":
                    await asyncio.sleep(chance.random() * 0.02)
                case "b":
                    intake.block()
                case _:
                    intake.unblock()
        intake.unblock()
        writer.close()
        await intake.have(writer.written)
    assert writer.files > 10
    check(intake, writer.written)
    assert list(map(int, intake.records())) == list(range(writer.written))


@pytest.mark.parametrize("shifting", [True, False], ids=["shifting", "counting"])
@pytest.mark.parametrize("meant", [True, False], ids=["meant", "unmeant"])
@pytest.mark.parametrize("seed", range(2))
async def test_a_storm_with_restarts_loses_and_doubles_nothing(
    tmp_path: Path, seed: int, meant: bool, shifting: bool
) -> None:
    """Stopped at any moment, with any part of what was taken not durable, while the writer goes on, rotating several
    times too: files that nobody saw are found, whether a pattern means their names or not.
    """
    chance = random.Random(seed)
    log = tmp_path / "app.log"
    writer = Writer(log, chance, shifting=shifting)
    intake = MemoryIntake(max_delay=0.0, max_bytes=200)
    source = FileSource(include=[str(log), f"{log}.*"] if meant else [str(log)])
    await first_sight(source, intake, writer)
    intake = intake.restarted()
    for _ in range(15):
        async with stopping(asyncio.create_task(source.follow(intake, TIMINGS, once=False))):
            for _ in range(chance.randrange(20)):
                intake.hold = chance.random() < 0.5
                chance.choice([writer.write, writer.write, writer.rotate])()
                await asyncio.sleep(chance.random() * 0.005)
        for _ in range(chance.randrange(4)):
            chance.choice([writer.write, writer.rotate])()
        intake = intake.restarted()
    writer.close()
    await source.run(intake, once=True)
    assert writer.files > 20
    check(intake, writer.written)
