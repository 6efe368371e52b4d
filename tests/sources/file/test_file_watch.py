"""Hints: inotify and its stand-in, on real files."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.intake import MemoryIntake, stopping

from shipper.sources.file import FileSource, discover, watch, watch_fallback
from shipper.sources.file.globs import Globs
from shipper.sources.file.identity import open_regular
from shipper.sources.file.limits import Timings
from shipper.sources.file.reading import PLAIN
from shipper.sources.file.schedule import IDLE
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import Inotify, NoInotify
from shipper.sources.file.watch_fallback import Watchfiles, best_watcher
from shipper.sources.file.worker import Worker


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


async def test_what_is_written_before_the_watch_is_set_is_seen(hints: Hints, tail: Tail) -> None:
    """No event tells of it: a file is looked at again once it is watched."""

    class Late(Inotify):
        def arm(self, tail: Tail) -> None:
            _append(tail.path)
            super().arm(tail)

    inotify = Late(hints.on_file, hints.on_tree, Globs(["/nowhere/*.log"]))
    tail.fix()
    tail.advance(4, b"one\n")
    assert Worker(MemoryIntake(), PLAIN).look([tail], inotify) == {tail}
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


async def test_where_there_is_no_inotify_watchfiles_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which is said in the log, and does the same work, if slower."""
    monkeypatch.setattr(watch_fallback, "Inotify", _none)
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


def _none(*_: object) -> Inotify:
    raise NoInotify("this system has no inotify")


async def test_where_nothing_can_watch_the_files_are_looked_at_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says so."""
    import watchfiles

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watch_fallback, "Inotify", _none)
    monkeypatch.setattr(watchfiles, "awatch", broken)
    monkeypatch.setattr(watch, "POLL", 0.05)
    monkeypatch.setattr(discover, "_GAP", 0.01)
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=3600), once=False))):
        for count in range(1, 4):
            _append(str(tmp_path / "a.log"))
            await intake.records_are(*[b"x"] * count)
    assert "looking at the files every second instead" in capfd.readouterr().err


async def test_watch_limits_reached_files_without_a_watch_are_looked_at_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until there are watches enough. As the system says it where ``fs.inotify.max_user_watches`` is reached."""
    add, spent = Inotify._add, True

    def limited(self: Inotify, path: bytes, mask: int) -> int:
        if spent and mask & watch._MODIFY:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return add(self, path, mask)

    monkeypatch.setattr(Inotify, "_add", limited)
    monkeypatch.setattr(watch, "POLL", 0.05)
    log = tmp_path / "a.log"
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=3600), once=False))):
        _append(str(log))
        await intake.records_are(b"x")
        watcher = source._follower.discovery.watcher
        assert watcher is not None
        await intake.until(lambda: watcher.rescan == 0.05)
        for count in range(2, 4):
            _append(str(log))
            await intake.records_are(*[b"x"] * count)
        spent = False
        _append(str(log))
        await intake.until(lambda: watcher.rescan is None)
        await intake.records_are(*[b"x"] * 4)


async def test_watch_poll_needs_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines, new files and renamed ones are found by looking alone."""
    monkeypatch.setattr(watch, "POLL", 0.05)
    log = tmp_path / "a.log"
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")], watch="poll")
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=3600), once=False))):
        _append(str(log))
        await intake.records_are(b"x")
        assert not isinstance(source._follower.discovery.watcher, Inotify)
        _append(str(log))
        await intake.records_are(b"x", b"x")
        log.rename(tmp_path / "a.log.1")
        _append(str(log))
        await intake.records_are(b"x", b"x", b"x")


async def test_events_lost_lose_no_lines(tmp_path: Path) -> None:
    """``IN_Q_OVERFLOW``, for real: more events than the system keeps while the loop is held up. What was written
    meanwhile to files that are watched, to those that are renamed and to new ones is found by looking.
    """
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    logs = [tmp_path / f"{name}.log" for name in "abcd"]
    for log in logs:
        _append(str(log))
    intake = MemoryIntake()
    source = FileSource(include=[str(tmp_path / "*.log")])
    async with stopping(asyncio.create_task(source.follow(intake, Timings(rescan=3600), once=False))):
        await intake.have(4)
        await intake.until(lambda: all(tail.stage == IDLE for tail in source._follower.catalog.tails))
        watcher = source._follower.discovery.watcher
        assert isinstance(watcher, Inotify)
        watcher.drain()
        lost: list[int] = []
        named = watcher._named
        watcher._named = lambda *event: lost.append(event[1] & watch._Q_OVERFLOW) or named(*event)  # type: ignore[method-assign, func-returns-value]
        for _ in range(queued // 2 + 10):  # the loop gets no turn
            (tmp_path / "other").touch()
            (tmp_path / "other").unlink()
        late = os.open(logs[1], os.O_WRONLY | os.O_APPEND)
        logs[1].rename(tmp_path / "b.log.1")
        os.write(late, b"late\n")
        os.close(late)
        for log in [*logs, tmp_path / "new.log"]:
            _append(str(log))
        await intake.have(10)
    assert any(lost)
    assert sorted(intake.records()) == [b"late", *[b"x"] * 9]


async def test_inotify_is_the_first_choice(hints: Hints, tmp_path: Path) -> None:
    """And watchfiles is not even imported."""
    watcher = best_watcher("auto", hints.on_file, hints.on_tree, Globs([f"{tmp_path}/*"]))
    assert isinstance(watcher, Inotify)
    watcher.close()
    watcher.close()


def _append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"x\n")
