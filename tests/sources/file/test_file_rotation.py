"""Renamed and deleted files: each is read to its end, in its place, and forgotten then."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from support.following import NEVER, QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.batch import Batch
from shipper.sources.base import Receipt
from shipper.sources.file import FileSource, descriptors
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.tail import Tail

LINGERS = NEVER._replace(linger=0.5)


async def test_rename_rotation_while_running(tmp_path: Path) -> None:
    """The old file is finished, with what its writer still adds after the rename; the new one is followed."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    with log.open("ab", buffering=0) as writer:
        writer.write(b"one\n")
        async with following(source(tmp_path), intake):
            await intake.records_are(b"one")
            log.rename(tmp_path / "app.log.1")
            append(log, b"new")
            await intake.until(lambda: b"new" in intake.records())
            writer.write(b"late\n")
            await intake.records_are(b"one", b"new", b"late")
    assert intake.losses == []


async def test_rename_rotation_several_in_a_row_while_behind(tmp_path: Path) -> None:
    """While nothing can be taken files are found and held; also those that came and went between two looks."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    append(log, b"0")
    async with following(source(tmp_path), intake):
        await intake.records_are(b"0")
        intake.block()
        for number in range(1, 8):
            for old in range(number, 0, -1):
                before = tmp_path / f"app.log.{old - 1}" if old > 1 else log
                before.rename(tmp_path / f"app.log.{old}")
            append(log, b"%d" % number)
            if number % 3 == 0:
                await asyncio.sleep(0)
        await asyncio.to_thread(append, log, b"last")
        intake.unblock()
        await intake.have(9)
    assert sorted(intake.records()) == [*(b"%d" % n for n in range(8)), b"last"]


async def test_files_rotated_and_deleted_while_behind_are_read_to_their_end(tmp_path: Path) -> None:
    """They are held open from the moment they are seen."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    made = source(tmp_path)
    append(log, b"0")
    async with following(made, intake):
        await intake.records_are(b"0")
        intake.block()
        for number in range(1, 5):
            log.unlink()
            append(log, b"%d" % number)
            await intake.until(lambda n=number: len(made._follower.catalog.tails) == n + 1)  # type: ignore[misc]
        intake.unblock()
        await intake.have(5)
    assert sorted(intake.records()) == [b"%d" % n for n in range(5)]
    assert intake.losses == []


@pytest.mark.parametrize("name", ["app.log-20240101", "kept"])
async def test_rename_rotation_siblings_are_found_after_downtime(tmp_path: Path, name: str) -> None:
    """By identity, under names that no pattern means; their unread rest is finished."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 3))
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(*numbered(0, 3))
    append(log, *numbered(3, 6))
    log.rename(tmp_path / name)
    append(log, b"new")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.have(7)
        append(tmp_path / name, b"late")
        await again.have(8)
    assert sorted(again.records()) == sorted([*numbered(0, 6), b"new", b"late"])
    assert again.losses == []


async def test_a_file_that_was_seen_but_never_read_is_found_after_downtime(tmp_path: Path) -> None:
    """Its identity becomes durable at first sight."""
    log = tmp_path / "app.log"
    log.write_bytes(b"hal")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.until(intake.durable_state)
    assert intake.records() == []
    append(log, b"f")
    log.rename(tmp_path / "app.log.1")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.records_are(b"half")


async def test_deleted_while_behind(tmp_path: Path) -> None:
    """Read to the end with its half line, closed, forgotten."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        with log.open("ab", buffering=0) as writer:
            log.unlink()
            writer.write(b"two\nhal")
            await intake.records_are(b"one", b"two", b"hal")
        await intake.until(lambda: not made._follower.catalog.tails)
        assert intake.lags == {}
        append(log, b"new")
        await intake.records_are(b"one", b"two", b"hal", b"new")
    assert intake.ranges()[-2].partial
    assert len(intake.durable_state()) == 1
    assert intake.losses == []


async def test_deleted_and_quiet_for_long_and_written_to_before_it_is_let_go(tmp_path: Path) -> None:
    """More than one read takes, where the kernel tells of no writes: all is read before the file is closed."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake(max_bytes=1000)
    made = source(tmp_path, watch="poll")
    async with following(made, intake, LINGERS):
        with log.open("ab", buffering=0) as writer:
            tail = await _deleted_and_read(log, writer, made, intake)
            intake.block()
            await intake.until(lambda: tail.stage == AWAY)
            writer.write(b"".join(b"%s\n" % line for line in numbered(0, 500)))
            intake.unblock()
            await intake.records_are(b"one", b"two", *numbered(0, 500))
        await intake.until(lambda: not made._follower.catalog.tails)
    assert intake.losses == []


async def test_deleted_and_quiet_for_long_and_written_to_while_it_is_let_go(tmp_path: Path) -> None:
    """Its last read found nothing, and then something came: that is read, too."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = Interrupted()
    made = source(tmp_path)
    async with following(made, intake, LINGERS):
        with log.open("ab", buffering=0) as writer:
            tail = await _deleted_and_read(log, writer, made, intake)

            async def write() -> None:
                writer.write(b"three\n")
                await intake.until(lambda: tail in made._follower._hinted)

            intake.interrupt = write
            await intake.records_are(b"one", b"two", b"three")
        await intake.until(lambda: not made._follower.catalog.tails)
    assert intake.losses == []


class Interrupted(MemoryIntake):
    """Does something once, after the next read."""

    interrupt: Callable[[], Awaitable[None]] | None = None

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Receipt | None:
        taken = await super().take(read, most)
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()
        return taken


async def _deleted_and_read(log: Path, writer: BinaryIO, made: FileSource, intake: MemoryIntake) -> Tail:
    """Delete a file and write a line to it; its tail, once that was read and nothing more is looked for."""
    await intake.records_are(b"one")
    log.unlink()
    writer.write(b"two\n")
    made._follower.discovery.hint()
    await intake.records_are(b"one", b"two")
    (tail,) = made._follower.catalog.tails
    await intake.until(lambda: tail.stage == IDLE and tail.links == 0)
    return tail


async def test_a_renamed_file_is_let_go_with_its_half_line(tmp_path: Path) -> None:
    """Once it was quiet for a while; should it be written to all the same, it is read on."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nhal")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        log.rename(tmp_path / "app.log.1")
        await intake.records_are(b"one", b"hal")
        assert intake.ranges()[-1].partial
        (tail,) = made._follower.catalog.tails
        await intake.until(lambda: tail.descriptor < 0)
        assert made.describe().startswith("no file matches")
        append(tmp_path / "app.log.1", b"f", b"more")
        await intake.records_are(b"one", b"hal", b"f", b"more")


async def test_a_file_that_vanished_unread_while_down_is_counted_and_forgotten(tmp_path: Path) -> None:
    """With the bytes that it was known to have."""
    log = tmp_path / "app.log"
    append(log, b"one")
    log.write_bytes(log.read_bytes() + b"half a line")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
    log.unlink()
    append(tmp_path / "other.log", b"other")
    again = intake.restarted()
    async with following(source(tmp_path), again, QUICK):
        await again.until(lambda: again.losses)
        append(tmp_path / "other.log", b"more")
        await again.until(lambda: len(again.durable_state()) == 1)
    assert again.losses == [("vanished", 11, str(log))]


async def test_the_state_stays_bounded(tmp_path: Path) -> None:
    """Over many rotations it holds what is there, not what was; memory too."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        for number in range(20):
            append(log, b"%d" % number)
            await intake.have(number + 1)
            log.replace(tmp_path / "app.log.1")
        append(log, b"end")
        await intake.have(21)
        for number in range(1000):
            if len(intake.durable_state()) <= 2:
                break
            append(log, b"%d more" % number)
            await intake.have(number + 22)
            await asyncio.sleep(0.01)
        assert len(made._follower.catalog.tails) <= 3
    assert len(intake.durable_state()) <= 2


async def test_a_closed_file_that_is_rotated_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by identity, as after a restart."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 1)
    for name in ("a.log", "b.log", "c.log"):
        append(tmp_path / name, b"first")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.have(3)
        for name in ("a.log", "b.log", "c.log"):
            append(tmp_path / name, b"old")
            (tmp_path / name).rename(tmp_path / f"{name}.1")
            append(tmp_path / name, b"new")
        await intake.have(9)
    assert sorted(intake.records()) == sorted([b"first", b"old", b"new"] * 3)


async def test_exclude_and_names_that_stop_to_match(tmp_path: Path) -> None:
    """Excluded files are not read; one that is renamed into an excluded name is finished."""
    append(tmp_path / "a.log", b"one")
    append(tmp_path / "debug.log", b"no")
    intake = MemoryIntake()
    async with following(source(tmp_path, exclude=["debug*"]), intake):
        await intake.records_are(b"one")
        append(tmp_path / "a.log", b"two")
        (tmp_path / "a.log").rename(tmp_path / "debug1.log")
        await intake.records_are(b"one", b"two")


async def test_a_renamed_file_that_still_matches_is_not_read_again(tmp_path: Path) -> None:
    """It is the same generation; its label is its path when it is read."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake):
        await intake.records_are(b"one")
        log.rename(tmp_path / "app.log.1")
        append(log, b"new")
        await intake.records_are(b"one", b"new")
        await intake.until(lambda: f"{log}.1" in intake.lags)
        append(tmp_path / "app.log.1", b"late")
        await intake.records_are(b"one", b"new", b"late")
    assert intake.batches[-1].labels["file"] == str(tmp_path / "app.log.1")


async def test_an_older_file_is_read_to_its_end_before_the_one_that_took_its_name(tmp_path: Path) -> None:
    """Also when it takes many turns: order holds across several renames."""
    log = tmp_path / "app.log"
    intake = MemoryIntake(max_bytes=4096)
    everything = [b"%d %s" % (number, b"x" * 100) for number in range(900)]
    append(log, everything[0])
    made = source(tmp_path)
    async with following(made, intake):
        await intake.records_are(everything[0])
        intake.block()
        append(log, *everything[1:300])
        log.rename(tmp_path / "app.log.1")
        append(log, *everything[300:600])
        await intake.until(lambda: len(made._follower.catalog.tails) == 2)
        (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
        log.rename(tmp_path / "app.log.1")
        append(log, *everything[600:])
        await intake.until(lambda: len(made._follower.catalog.tails) == 3)
        intake.unblock()
        await intake.records_are(*everything)
