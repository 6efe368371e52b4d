"""Hints: inotify and its stand-in, on real files."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.intake import MemoryIntake, stopping

from shipper.sources.file import FileSource, discover, watch, watch_fallback
from shipper.sources.file.discover import Timings
from shipper.sources.file.globs import Globs
from shipper.sources.file.identity import open_regular
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import CannotWatch, Inotify
from shipper.sources.file.watch_fallback import Watchfiles, best_watcher


class Hints:
    """Collects what a watcher says."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.tree = 0

    def on_file(self, tail: Tail) -> None:
        """A file changed."""
        self.files.append(tail.path)

    def on_tree(self) -> None:
        """A directory changed."""
        self.tree += 1


@pytest.fixture
async def hints() -> Hints:
    """What the watchers of a test said."""
    return Hints()


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[Tail]:
    """An open tail."""
    path = str(tmp_path / "app.log")
    Path(path).write_bytes(b"one\n")
    made = Tail(path, {})
    descriptor, info = open_regular(path)
    made.adopt(descriptor, info, path)
    yield made
    made.close()


@pytest.fixture
async def inotify(hints: Hints, tmp_path: Path) -> "Inotify":
    """An inotify queue; drained by hand, or by the loop when it gets its turn."""
    return Inotify(hints.on_file, hints.on_tree, Globs([f"{tmp_path}/*.log"]))


async def test_an_armed_file_gives_one_hint(inotify: Inotify, hints: Hints, tail: Tail) -> None:
    """However often it is written to; then it has to be armed again."""
    inotify.arm(tail)
    for _ in range(3):
        _append(tail.path)
    inotify.drain()
    assert hints.files == [tail.path]
    _append(tail.path)
    inotify.drain()
    assert hints.files == [tail.path]
    inotify.arm(tail)
    os.truncate(tail.path, 0)
    inotify.drain()
    assert hints.files == [tail.path] * 2
    inotify.close()


async def test_the_watch_is_on_the_open_file_not_on_its_path(inotify: Inotify, hints: Hints, tail: Tail) -> None:
    """A file that was renamed or deleted still wakes its tail."""
    writer = os.open(tail.path, os.O_WRONLY | os.O_APPEND)
    os.unlink(tail.path)
    _append(tail.path)
    inotify.arm(tail)
    _append(tail.path)
    inotify.drain()
    assert hints.files == []
    os.write(writer, b"more\n")
    inotify.drain()
    assert hints.files == [tail.path]
    os.close(writer)
    inotify.close()


async def test_a_disarmed_file_gives_no_hint(inotify: Inotify, hints: Hints, tail: Tail) -> None:
    """Nor does it keep anything alive."""
    inotify.arm(tail)
    inotify.disarm(tail)
    inotify.disarm(tail)
    _append(tail.path)
    inotify.drain()
    assert hints.files == []
    inotify.close()


async def test_only_names_that_matter_are_told(inotify: Inotify, hints: Hints, tmp_path: Path) -> None:
    """A busy directory with other files costs no scans; nor do writes."""
    assert inotify.directories({str(tmp_path)}, ())
    assert not inotify.directories({str(tmp_path)}, ())
    _append(str(tmp_path / "other.txt"))
    inotify.drain()
    assert hints.tree == 0
    _append(str(tmp_path / "new.log"))
    inotify.drain()
    assert hints.tree == 1
    _append(str(tmp_path / "new.log"))
    inotify.drain()
    assert hints.tree == 1
    inotify.directories({str(tmp_path)}, {str(tmp_path)})
    _append(str(tmp_path / "any"))
    inotify.drain()
    assert hints.tree == 2
    inotify.close()


async def test_a_directory_that_was_replaced_is_watched_anew(inotify: Inotify, hints: Hints, tmp_path: Path) -> None:
    """Its own renaming is told; the old one is not watched any longer."""
    logs = tmp_path / "logs"
    logs.mkdir()
    inotify.directories({str(logs)}, ())
    logs.rename(tmp_path / "old")
    inotify.drain()
    assert hints.tree == 1
    logs.mkdir()
    assert inotify.directories({str(logs)}, ())
    inotify.drain()
    hints.tree = 0
    _append(str(tmp_path / "old" / "a.log"))
    inotify.drain()
    assert hints.tree == 0
    _append(str(logs / "a.log"))
    inotify.drain()
    assert hints.tree == 1
    logs.rename(tmp_path / "gone")
    assert not inotify.directories({str(logs)}, ())
    inotify.close()


async def test_renames_are_followed_to_the_present_name(inotify: Inotify, tmp_path: Path) -> None:
    """From a name that the globs mean, through any number of others, in the order of leaving, until it is deleted."""
    inotify.directories({str(tmp_path)}, ())
    log, first, second = (tmp_path / name for name in ("app.log", "app.log.1", "app.log.2"))
    for path in (log, first, second):
        _append(str(path))
    second.unlink()
    first.rename(second)
    log.rename(first)
    inotify.drain()
    assert [(place, moved.origin, moved.left) for place, moved in inotify.moves.waiting()] == [
        (str(first), str(log), 1)
    ]
    ((place, moved),) = inotify.moves.waiting()
    assert inotify.moves.still(place, moved)
    assert inotify.moves.pending(str(log))
    _append(str(log))
    first.rename(second)
    log.rename(first)
    inotify.drain()
    assert not inotify.moves.still(place, moved)
    inotify.moves.done(place, moved)
    assert [(place, moved.left) for place, moved in inotify.moves.waiting()] == [(str(second), 1), (str(first), 2)]
    second.unlink()
    inotify.drain()
    ((place, moved),) = inotify.moves.waiting()
    inotify.moves.done(place, moved)
    assert inotify.moves.waiting() == []
    assert not inotify.moves.pending(str(log))
    inotify.close()


async def test_renames_to_where_nobody_watches_are_forgotten(inotify: Inotify, tmp_path: Path) -> None:
    """Their other half never comes."""
    (tmp_path / "away").mkdir()
    inotify.directories({str(tmp_path)}, ())
    for number in range(200):
        _append(str(tmp_path / "app.log"))
        (tmp_path / "app.log").rename(tmp_path / "away" / str(number))
    inotify.drain()
    assert inotify.moves.waiting() == []
    assert len(inotify.moves._halves) <= 64
    inotify.close()


async def test_a_lack_of_inotify_leads_to_watchfiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which is said in the log, and does the same work, if slower."""
    monkeypatch.setattr(watch_fallback, "Inotify", _none_left)
    log = tmp_path / "app.log"
    _append(str(log))
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=1.0), once=False))):
        await intake.records_are(b"x")
        assert isinstance(source._follower.discovery.watcher, Watchfiles)
        _append(str(log))
        await intake.records_are(b"x", b"x")
        log.rename(tmp_path / "app.log.1")
        _append(str(log))
        await intake.records_are(b"x", b"x", b"x")
    assert capfd.readouterr().err.count("using watchfiles for file events") == 1


def _none_left(*_: object) -> Inotify:
    raise CannotWatch("inotify: Too many open files (see fs.inotify.max_user_instances)")


async def test_watches_that_run_out_later_lead_to_watchfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the work; nothing is missed."""
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    _append(str(tmp_path / "a.log"))

    async def follow() -> None:
        await source.follow(intake, Timings(rescan=1.0), once=False)

    async with stopping(asyncio.create_task(follow())):
        await intake.records_are(b"x")
        assert isinstance(source._follower.discovery.watcher, Inotify)
        monkeypatch.setattr(watch, "_FILE", 0)  # EINVAL: this file only; the rescan looks at it
        monkeypatch.setattr(watch, "_LIMITS", (22,))  # as if no watch were left
        _append(str(tmp_path / "a.log"))
        await intake.records_are(b"x", b"x")
        await intake.until(lambda: isinstance(source._follower.discovery.watcher, Watchfiles))
        _append(str(tmp_path / "b.log"))
        await intake.records_are(b"x", b"x", b"x")
        _append(str(tmp_path / "b.log"))
        await intake.records_are(b"x", b"x", b"x", b"x")


async def test_where_nothing_can_watch_the_files_are_looked_at_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says so."""
    import watchfiles

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watch_fallback, "Inotify", _none_left)
    monkeypatch.setattr(watchfiles, "awatch", broken)
    monkeypatch.setattr(watch_fallback, "_POLL", 0.05)
    monkeypatch.setattr(discover, "_GAP", 0.01)
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=0.5), once=False))):
        for count in range(1, 4):
            _append(str(tmp_path / "a.log"))
            await intake.records_are(*[b"x"] * count)
    assert "looking at the files every second instead" in capfd.readouterr().err


async def test_inotify_is_the_first_choice(hints: Hints, tmp_path: Path) -> None:
    """And watchfiles is not even imported."""
    watcher = best_watcher(hints.on_file, hints.on_tree, Globs([f"{tmp_path}/*"]))
    assert isinstance(watcher, Inotify)
    watcher.close()
    watcher.close()


def _append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"x\n")
