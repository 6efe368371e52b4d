"""``ignore_older`` and ``close_deleted_after``: what is left alone, and what is given up."""

import os
from pathlib import Path

import pytest
from support.following import NEVER, QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.identity import open_regular
from shipper.sources.file.limits import Deleted
from shipper.sources.file.reading import PLAIN
from shipper.sources.file.schedule import AWAY
from shipper.sources.file.tail import Tail
from shipper.sources.file.worker import Worker
from shipper.units import Duration

HOUR = Duration(3600)
LONG_AGO = 10**9
"""When files of these tests were written to: 2001."""


def age(path: Path) -> None:
    """Nobody has written to a file for long."""
    os.utime(path, (LONG_AGO, LONG_AGO))


def held(path: Path) -> list[str]:
    """The descriptors of this process on a file that was deleted."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [target for target in found if target == f"{path} (deleted)"]


async def test_deleted_while_behind_is_held_no_longer_than_close_deleted_after(tmp_path: Path) -> None:
    """The descriptors are closed while nothing can be taken; what was unread is lost, counted once, and forgotten."""
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    intake = MemoryIntake(max_bytes=64)
    made = source(tmp_path, close_deleted_after=Duration(0.2))
    for log in logs:
        append(log, b"one")
    async with following(made, intake, NEVER):
        await intake.have(3)
        intake.block()
        for log in logs:
            append(log, *numbered(0, 10))
        await intake.until(lambda: any(tail.stage == AWAY for tail in made._follower.catalog.tails))
        for log in logs:
            log.unlink()
        await intake.until(lambda: not any(map(held, logs)))
        append(tmp_path / "new.log", b"new")
        intake.unblock()
        await intake.until(lambda: len(intake.losses) == 3)
        await intake.have(4)
        append(tmp_path / "new.log", b"newer")
        await intake.have(5)
        await intake.until(lambda: len(intake.durable_state()) == 1)
    assert sorted(intake.losses) == [("given_up", 70, str(log)) for log in logs]
    assert sorted(intake.records()) == [b"new", b"newer", b"one", b"one", b"one"]


async def test_deleted_while_behind_is_counted_as_vanished_if_giving_it_up_was_not_durable(tmp_path: Path) -> None:
    """A crash before the loss is durable: the next start finds the file gone, and counts the same bytes."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nhalf")
    intake = MemoryIntake()
    async with following(source(tmp_path, close_deleted_after=Duration(0.001)), intake, QUICK):
        await intake.records_are(b"one")
        append(tmp_path / "other.log", b"other")
        await intake.records_are(b"one", b"other")
        intake.hold = True
        log.unlink()
        await intake.until(lambda: intake.losses == [("given_up", 4, str(log))])
    again = intake.restarted()
    assert again.losses == []
    async with following(source(tmp_path), again, QUICK):
        await again.until(lambda: again.losses)
    assert again.losses == [("vanished", 4, str(log))]


async def test_a_deleted_file_that_is_read_in_time_loses_nothing(tmp_path: Path) -> None:
    """Nor does a file that was renamed: it has a name."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path, close_deleted_after=Duration(0.2))
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        log.rename(tmp_path / "app.log.1")
        append(log, b"two")
        await intake.records_are(b"one", b"two")
        log.unlink()
        await intake.until(lambda: len(made._follower.catalog.tails) == 1)
        append(tmp_path / "app.log.1", b"three")
        await intake.records_are(b"one", b"two", b"three")
    assert intake.losses == []


def test_deleted_files_are_timed_from_when_they_were_seen_to_be_deleted() -> None:
    """By a clock that nobody sets."""
    first, second = Tail("/a", {}), Tail("/b", {})
    deleted = Deleted(10.0)
    assert deleted.wait(0.0) == float("inf")
    assert deleted.late([first], 0.0) == []
    assert deleted.late([first, second], 5.0) == []
    assert deleted.wait(5.0) == 5.0
    assert deleted.late([first, second], 10.0) == [first]
    assert deleted.late([second], 14.0) == []
    assert deleted.late([second], 15.0) == [second]
    assert Deleted(None).late([first], 1e9) == []


async def test_ignore_older_leaves_old_files_alone_until_they_change(tmp_path: Path) -> None:
    """Then they are read from their beginning; renaming them is no change."""
    for name in ("old.log", "older.log"):
        append(tmp_path / name, b"old")
        age(tmp_path / name)
    append(tmp_path / "new.log", b"new")
    intake = MemoryIntake()
    made = source(tmp_path, ignore_older=HOUR)
    async with following(made, intake, QUICK):
        await intake.records_are(b"new")
        (tmp_path / "older.log").rename(tmp_path / "older.log.1")
        append(tmp_path / "new.log", b"more")
        await intake.records_are(b"new", b"more")
        assert made.describe().startswith("watching 1 file")
        append(tmp_path / "old.log", b"changed")
        await intake.records_are(b"new", b"more", b"old", b"changed")
    assert len(intake.durable_state()) == 2


async def test_ignore_older_never_ignores_a_file_that_is_known(tmp_path: Path) -> None:
    """Whatever time stands in its inode, and whatever the clock says: it is gone on with where it was."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path, ignore_older=HOUR), intake):
        await intake.records_are(b"one")
    append(log, b"two")
    age(log)
    again = intake.restarted()
    async with following(source(tmp_path, ignore_older=HOUR), again):
        await again.records_are(b"one", b"two")
        append(log, b"three")
        age(log)
        await again.records_are(b"one", b"two", b"three")
    append(log, b"four")
    log.rename(tmp_path / "app.log.1")
    age(tmp_path / "app.log.1")
    once_more = again.restarted()
    async with following(source(tmp_path, ignore_older=HOUR), once_more):
        await once_more.records_are(b"one", b"two", b"three", b"four")


@pytest.mark.parametrize("option", ["ignore_older", "close_deleted_after"])
def test_both_are_off_by_default(tmp_path: Path, option: str) -> None:
    """Nothing is left alone or given up unless somebody asks for it."""
    assert getattr(source(tmp_path), option) is None


def test_a_deleted_file_that_is_closed_just_now_is_left_alone(tmp_path: Path) -> None:
    """Whoever closed it deals with it: its number may be another file's."""
    log = tmp_path / "app.log"
    append(log, b"one")
    tail, worker = Tail(str(log), {}), Worker(MemoryIntake(), PLAIN)
    tail.adopt(*open_regular(str(log)), str(log))
    log.unlink()
    assert worker.deleted([tail]) == [tail]
    tail.close()
    assert worker.deleted([tail]) == []
    worker.give_up([tail])
    assert not tail.given_up
