"""Open records at a rotation: what was written in time goes on, however late it is read."""

import asyncio
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.following import NEVER, QUICK, append, following, source
from support.intake import MemoryIntake

from shipper.sources.file import FileSource, join
from shipper.sources.file.limits import Timings
from shipper.sources.file.multiline import MultilineConfig
from shipper.sources.file.schedule import IDLE
from shipper.sources.file.tail import Tail
from shipper.units import Duration

SOON = MultilineConfig(start=re.compile("^S"), flush_after=Duration(0.5))
LATE = MultilineConfig(start=re.compile("^S"), flush_after=Duration(3600.0))
CRI = b"2024-05-01T12:00:00.%09dZ stdout %s %s"


def tails_of(made: FileSource) -> list[Tail]:
    return list(made._follower.catalog.tails)


class Clock:
    """The time that goes by, and that which the agent stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stood = 0.0
        running = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: running() + self._stood)

    def stand_still(self) -> None:
        """Two hours, as under SIGSTOP: everything that waits for the clock is due."""
        self._stood += 7200.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of the whole process."""
    monkeypatch.setattr(join, "_FLUSH_AFTER", 3600.0)
    return Clock(monkeypatch)


async def test_cri_a_message_goes_on_in_the_next_file_after_the_agent_stood_still(tmp_path: Path, clock: Clock) -> None:
    """Stopped, or without CPU time, for longer than an open record waits: its end was written before that."""
    log = tmp_path / "0.log"
    append(log, CRI % (0, b"F", b"start"))
    intake = MemoryIntake()
    made = source(tmp_path, "0.log", container="cri")
    async with following(made, intake):
        await intake.have(1)
        append(log, CRI % (1, b"P", b"first "))
        await intake.until(lambda: tails_of(made)[0].held)
        log.rename(tmp_path / "0.log.20240501-120000")
        append(log, CRI % (2, b"F", b"last"))
        clock.stand_still()
        await intake.have(2)
    assert [orjson.loads(record)["message"] for record in intake.records()] == ["start", "first last"]


async def test_multiline_goes_on_in_the_next_file_while_the_spool_is_full(tmp_path: Path) -> None:
    """What waits for room is no less in time than it would be in one file."""
    log = tmp_path / "a.log"
    append(log, b"S0", b"S1", b"x1")
    intake = MemoryIntake()
    async with following(source(tmp_path, multiline=SOON), intake):
        await intake.records_are(b"S0")
        intake.block()
        log.rename(tmp_path / "a.log.1")
        append(log, b"x2", b"S2", b"end")
        await asyncio.sleep(1.0)
        intake.unblock()
        await intake.records_are(b"S0", b"S1\nx1\nx2", b"S2\nend")


async def test_multiline_what_the_next_file_adds_in_time_counts_from_then_on(tmp_path: Path) -> None:
    """That the older file has been quiet for long says nothing any more."""
    log = tmp_path / "a.log"
    append(log, b"S0", b"S1", b"x1")
    intake = MemoryIntake()
    made = source(tmp_path, multiline=MultilineConfig(start=re.compile("^S"), flush_after=Duration(1.5)))
    async with following(made, intake):
        await intake.records_are(b"S0")
        log.rename(tmp_path / "a.log.1")
        await asyncio.sleep(0.9)
        append(log, b"x2")
        await asyncio.sleep(0.9)
        append(log, b"x3", b"S2")
        await intake.have(2)
        assert intake.records() == [b"S0", b"S1\nx1\nx2\nx3"]


async def test_multiline_goes_on_over_an_empty_file(tmp_path: Path, clock: Clock) -> None:
    """Several rotations at once, one of which found nothing to rotate."""
    log = tmp_path / "a.log"
    append(log, b"S0", b"S1", b"x1")
    intake = MemoryIntake()
    made = source(tmp_path, "a.log*", multiline=LATE)
    async with following(made, intake):
        await intake.records_are(b"S0")
        log.rename(tmp_path / "a.log.1")
        log.touch()
        await intake.until(lambda: len(tails_of(made)) == 2 and all(tail.stage == IDLE for tail in tails_of(made)))
        (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
        log.rename(tmp_path / "a.log.1")
        append(log, b"x2", b"S2")
        clock.stand_still()
        await intake.have(2)
    assert intake.records() == [b"S0", b"S1\nx1\nx2"]


async def test_multiline_a_file_that_lost_its_path_is_not_let_go_while_the_next_one_waits(tmp_path: Path) -> None:
    """Also where an open record waits for longer than such a file is held."""
    log = tmp_path / "a.log"
    append(log, b"S0", b"S1", b"x1")
    intake = MemoryIntake()
    made = source(tmp_path, "*.log", multiline=LATE)
    async with following(made, intake, Timings(rescan=0.05, linger=0.3, forget=0.1)):
        await intake.records_are(b"S0")
        await intake.until(lambda: tails_of(made)[0].stage == IDLE)
        intake.block()
        append(tmp_path / "b.log", b"S8", b"S9")  # its turn waits for room
        await asyncio.sleep(0.1)
        log.rename(tmp_path / "a.log.1")
        append(log, b"x2", b"S2")
        await asyncio.sleep(0.6)
        intake.unblock()
        await intake.have(3)
    assert intake.records(str(log)) == [b"S0", b"S1\nx1\nx2"]


def _nothing(log: Path) -> None:
    """It was renamed, and no file came in its place."""
    log.rename(f"{log}.1")


def _empty(log: Path) -> None:
    log.rename(f"{log}.1")
    log.touch()


def _deleted(log: Path) -> None:
    log.unlink()


def _foreign(log: Path) -> None:
    """What stands there now is no log."""
    log.rename(f"{log}.1")
    log.mkdir()


@pytest.mark.parametrize("timings", [NEVER, QUICK])
@pytest.mark.parametrize("change", [_nothing, _empty, _deleted, _foreign])
@pytest.mark.parametrize("include", ["*.log", "a.log*"])
async def test_multiline_an_open_record_of_a_rotated_file_goes_out_when_nothing_more_comes(
    tmp_path: Path, change: Callable[[Path], None], timings: Timings, include: str
) -> None:
    """After flush_after: no longer than it takes to look at the directory."""
    log = tmp_path / "a.log"
    append(log, b"S0", b"S1", b"x1")
    intake = MemoryIntake()
    async with following(source(tmp_path, include, multiline=SOON), intake, timings):
        await intake.records_are(b"S0")
        change(log)
        await intake.records_are(b"S0", b"S1\nx1")


async def test_multiline_an_archive_alone_gives_its_last_record(tmp_path: Path) -> None:
    """There is no log beside it that could go on with it."""
    import gzip

    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(b"S0\nS1\nx1\nhalf"))
    intake = MemoryIntake()
    async with following(source(tmp_path, "a.log*", multiline=SOON), intake):
        await intake.records_are(b"S0", b"S1\nx1\nhalf")


async def _written_in_time(
    root: Path, clock: Clock, seed: int, pieces: list[list[bytes]], expected: list[bytes], **options: Any
) -> list[bytes]:
    """What becomes of pieces of a log that are written with rotations, deaths of the agent, and hours in which it does
    not run, each after a piece was written.
    """
    chance = random.Random(seed)
    log = root / "a.log"
    intake = MemoryIntake(max_bytes=chance.choice([64, 4096]))
    left, rotated = list(pieces), 0
    while left:
        made = source(root, chance.choice(["a.log", "a.log*"]), **options)
        async with following(made, intake, Timings(rescan=0.05, linger=5, forget=5)):
            if len(left) == len(pieces):
                append(log, *left.pop(0))
                await intake.until(intake.durable_state)  # from now on it is found under any name
            while left:
                if chance.random() < 0.4 and log.exists():
                    rotated += 1
                    log.rename(root / f"a.log-202405{rotated:02}")
                append(log, *left.pop(0))
                clock.stand_still()
                await asyncio.sleep(chance.choice([0, 0, 0.005, 0.05, 0.15]))
                intake.hold = chance.random() < 0.3
                if chance.random() < 0.15:
                    break
            if not left:
                intake.hold = False
                await intake.have(len(expected))
                await asyncio.sleep(0.05)
        if left:
            intake = intake.restarted(hold=False)
    return intake.records()


@pytest.mark.parametrize("seed", range(12))
async def test_multiline_records_are_whole_over_rotations_kills_and_hours_of_standing_still(
    tmp_path: Path, clock: Clock, seed: int
) -> None:
    """As long as their lines were written one soon after the other."""
    chance = random.Random(seed)
    lines = [b"S0"] + [b"%s%d" % (chance.choice([b"S", b"x", b"x"]), at) for at in range(1, 40)] + [b"S40"]
    expected = [b"S" + record.rstrip(b"\n") for record in b"\n".join([b"", *lines]).split(b"\nS")[1:]][:-1]
    pieces = []
    while lines:
        size = chance.randint(1, 3)
        pieces.append(lines[:size])
        del lines[:size]
    assert await _written_in_time(tmp_path, clock, seed, pieces, expected, multiline=LATE) == expected


@pytest.mark.parametrize("seed", range(6))
async def test_cri_messages_are_whole_over_rotations_kills_and_hours_of_standing_still(
    tmp_path: Path, clock: Clock, seed: int
) -> None:
    """As multiline records are."""
    chance = random.Random(seed)
    tags = [chance.choice([b"F", b"P", b"P"]) for _ in range(30)] + [b"F"]
    lines = [CRI % (at, tag, b"%d," % at) for at, tag in enumerate(tags)]
    texts = "".join(f"{at}," + ("|" if tag == b"F" else "") for at, tag in enumerate(tags)).split("|")[:-1]
    pieces = [[line] for line in lines]
    found = await _written_in_time(tmp_path, clock, seed, pieces, [b""] * len(texts), container="cri")
    assert [orjson.loads(record)["message"] for record in found] == texts
