"""Rescans that only glance: what they find without any hint, and when they are not enough."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake

from shipper.sources.file import glance
from shipper.sources.file.glance import FEW, TICK, Glance
from shipper.sources.file.globs import Globs
from shipper.sources.file.limits import Timings, TooOld
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.watch import Inotify
from shipper.units import Duration

OFTEN = Timings(rescan=0.05, linger=3600, forget=3600)
MANY = FEW + 1


@dataclass
class Rescans:
    """How many there were of each kind."""

    scans: int = 0
    glances: int = 0
    between: list[int] = field(default_factory=list)
    """Glances between each scan and the one before it."""
    _counted: int = 0

    def scan(self) -> None:
        self.between.append(self.glances - self._counted)
        self.scans, self._counted = self.scans + 1, self.glances


@pytest.fixture
def rescans(monkeypatch: pytest.MonkeyPatch) -> Rescans:
    """The rescans of a test. Directories count as settled after a moment instead of after seconds."""
    counted = Rescans()
    scan, look = Globs.scan, glance._look

    def count_scan(globs: Globs) -> Any:
        counted.scan()
        return scan(globs)

    def count_look(*what: Any) -> Any:
        counted.glances += 1
        return look(*what)

    monkeypatch.setattr(Globs, "scan", count_scan)
    monkeypatch.setattr(glance, "_look", count_look)
    monkeypatch.setattr(glance, "TICK", 0.1)
    return counted


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch, rescans: Rescans) -> Rescans:
    """Every event is lost, and nearly no rescan is a scan."""

    def lose(inotify: Inotify) -> None:
        with contextlib.suppress(BlockingIOError):
            while inotify._queue >= 0:
                os.read(inotify._queue, 65536)

    monkeypatch.setattr(Inotify, "drain", lose)
    monkeypatch.setattr(glance, "GLANCES", 1_000_000)
    return rescans


def many(folder: Path) -> None:
    """Files with a line each, as many as make glances worth while."""
    folder.mkdir(exist_ok=True)
    for number in range(MANY):
        append(folder / f"{number:03}.log", b"first")


async def glancing(intake: MemoryIntake, rescans: Rescans, more: int = 2) -> None:
    """Wait for a few glances more."""
    enough = rescans.glances + more
    await intake.until(lambda: rescans.glances >= enough)


async def test_while_nothing_happens_eleven_of_twelve_rescans_are_glances(tmp_path: Path, rescans: Rescans) -> None:
    """The twelfth is a scan, whatever the glances say: what they cannot see is found at last."""
    many(tmp_path)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, OFTEN):
        await intake.have(MANY)
        await glancing(intake, rescans)
        scans = rescans.scans  # the glances before the next one may have begun while files were still read
        await intake.until(lambda: rescans.scans >= scans + 3)
        assert rescans.between[scans + 1 : scans + 3] == [11, 11]


async def test_with_few_files_every_rescan_is_a_scan(tmp_path: Path, rescans: Rescans) -> None:
    """There is nothing to win."""
    append(tmp_path / "app.log", b"first")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, OFTEN):
        await intake.until(lambda: rescans.scans >= 10)
    assert rescans.glances == 0


async def test_without_events_every_rescan_is_a_scan(
    tmp_path: Path, rescans: Rescans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``watch: poll``, as on file systems whose directories may tell nothing either."""
    monkeypatch.setattr("shipper.sources.file.watch.POLL", 0.05)
    many(tmp_path)
    intake = MemoryIntake()
    async with following(source(tmp_path, watch="poll"), intake, OFTEN):
        await intake.until(lambda: rescans.scans >= 10)
    assert rescans.glances == 0


def appears(folder: Path) -> None:
    """A new file."""
    append(folder / "new.log", b"second")


def replaces(folder: Path) -> None:
    """Another file is renamed to a name that was known."""
    append(folder / "other", b"second")
    (folder / "other").rename(folder / "001.log")


def is_rotated(folder: Path) -> None:
    """As logrotate does it."""
    (folder / "001.log").rename(folder / "001.log.1")
    append(folder / "001.log", b"second")


def moves_with_its_directory(folder: Path) -> None:
    """The directory is another one, with one file."""
    folder.rename(folder.with_name("old"))
    folder.mkdir()
    append(folder / "001.log", b"second")


def stands_behind_a_link(folder: Path) -> None:
    """A link gets a target."""
    append(folder / "aim" / "other", b"second")


@pytest.mark.parametrize(
    "change", [appears, replaces, is_rotated, moves_with_its_directory, stands_behind_a_link], ids=lambda c: c.__name__
)
async def test_a_glance_finds_what_changes_in_directories(
    tmp_path: Path, deaf: Rescans, change: Callable[[Path], None]
) -> None:
    """Without any event."""
    logs = tmp_path / "logs"
    many(logs)
    (logs / "aim").mkdir()
    (logs / "link.log").symlink_to(logs / "aim" / "other")
    intake = MemoryIntake()
    async with following(source(logs), intake, OFTEN):
        await intake.have(MANY)
        await glancing(intake, deaf)
        change(logs)
        await intake.have(MANY + 1)
    assert intake.records()[-1] == b"second"


async def test_a_glance_finds_what_is_written_to_a_file_that_has_no_watch(tmp_path: Path, deaf: Rescans) -> None:
    """However that came about."""
    many(tmp_path)
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, OFTEN):
        await intake.have(MANY)
        await glancing(intake, deaf)
        tail = next(iter(made._follower.catalog.tails))
        assert tail.stage == IDLE
        assert made._follower.discovery.watcher is not None
        made._follower.discovery.watcher.disarm(tail)
        append(Path(tail.path), b"second")
        await intake.have(MANY + 1)


async def test_a_glance_finds_what_is_written_to_a_file_that_was_too_old(tmp_path: Path, deaf: Rescans) -> None:
    """Nobody follows it, so it has no watch."""
    many(tmp_path)
    old = tmp_path / "old.log"
    append(old, b"old")
    os.utime(old, (10**9, 10**9))
    intake = MemoryIntake()
    async with following(source(tmp_path, ignore_older=Duration(3600)), intake, OFTEN):
        await intake.have(MANY)
        await glancing(intake, deaf)
        append(old, b"new")
        await intake.have(MANY + 2)
    assert intake.records()[-2:] == [b"old", b"new"]


async def test_a_write_of_which_no_event_tells_is_found_by_the_next_scan(
    tmp_path: Path, deaf: Rescans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a mapping of the file, say: directories and watches tell nothing of it."""
    monkeypatch.setattr(glance, "GLANCES", 4)
    many(tmp_path)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, OFTEN):
        await intake.have(MANY)
        await glancing(intake, deaf)
        append(tmp_path / "007.log", b"second")
        await intake.have(MANY + 1)


async def test_a_glance_looks_at_files_that_are_being_read(tmp_path: Path, rescans: Rescans) -> None:
    """While the spool is full their backlog goes on to be reported, as by a scan."""
    many(tmp_path)
    log = tmp_path / "001.log"
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, OFTEN):
        await intake.have(MANY)
        intake.block()
        append(log, b"second")
        tail = next(tail for tail in made._follower.catalog.tails if tail.path == str(log))
        await intake.until(lambda: tail.stage == AWAY)
        await glancing(intake, rescans)
        append(log, b"third")
        await intake.until(lambda: intake.lags[str(log)] == len(b"second\nthird\n"))
        assert tail.stage == AWAY
        intake.unblock()
        await intake.have(MANY + 2)


async def test_a_directory_that_changed_a_moment_ago_is_listed_again(tmp_path: Path) -> None:
    """Its time may be too coarse to tell of a second change: it has to be the same for longer than that."""
    many(tmp_path)
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake):
        await intake.have(MANY)
        tails = made._follower.catalog.tails
        await intake.until(lambda: all(tail.stage == IDLE for tail in tails))
        watcher = made._follower.discovery.watcher
        glances = Glance(made._follower.catalog, TooOld(None))
        globs = Globs([f"{tmp_path}/*.log"])

        def enough(later: float, *, settled: bool = True) -> bool:
            scan = globs.scan()
            scan.began = scan.ended = scan.began + later
            glances.scanned(scan, settled=settled)
            return glances.plan(watcher) is not None

        assert [enough(0.0), enough(TICK / 2), enough(TICK)] == [False, False, True]
        assert not enough(TICK, settled=False)
        (tmp_path / "other").touch()
        assert [enough(TICK), enough(2 * TICK)] == [False, True]


async def test_a_glance_finds_what_is_written_to_a_rotated_file_that_was_closed(tmp_path: Path, deaf: Rescans) -> None:
    """It is under no pattern any more; who holds it open may still write to it."""
    many(tmp_path)
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, OFTEN._replace(linger=0.1)):
        await intake.have(MANY)
        await glancing(intake, deaf)
        rotated = next(tail for tail in made._follower.catalog.tails if tail.path.endswith("001.log"))
        is_rotated(tmp_path)
        await intake.have(MANY + 1)
        await intake.until(lambda: rotated.stage == IDLE and rotated.descriptor < 0)
        await glancing(intake, deaf)
        append(tmp_path / "001.log.1", b"late")
        await intake.have(MANY + 2)
    assert intake.records()[-1] == b"late"
