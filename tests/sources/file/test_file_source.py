"""The file source on real files: each case of the design note on tailing that it covers, by its name there."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.files import as_nobody
from support.intake import MemoryIntake, running, stopping

from shipper.errors import SourceError, SpoolFailed
from shipper.sources.file import FileSource, discover
from shipper.sources.file.discover import Timings
from shipper.sources.file.identity import decode_position

QUICK = Timings(rescan=0.05, linger=0.1, forget=0.1)
"""For what happens by the clock alone."""
NEVER = Timings(rescan=3600, linger=3600, forget=3600)
"""For what has to happen by hints alone."""


def source(root: Path, *include: str, **options: Any) -> FileSource:
    made = FileSource(include=[str(root / pattern) for pattern in include or ("*.log",)], **options)
    made.setup()
    return made


@asynccontextmanager
async def following(made: FileSource, intake: MemoryIntake, timings: Timings = NEVER) -> AsyncIterator[None]:
    """The source at work, having looked at the directories once."""
    async with stopping(asyncio.create_task(made.follow(intake, timings, once=False))):
        await intake.until(lambda: not made.describe().startswith("looking"))
        yield


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def numbered(first: int, last: int) -> list[bytes]:
    return [b"line %d" % number for number in range(first, last)]


async def test_what_is_there_and_what_comes_is_read_in_order(tmp_path: Path) -> None:
    """With the path as a label, and ranges that join without gaps."""
    log = tmp_path / "app.log"
    append(log, b"one", b"two")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one", b"two")
        append(log, b"three")
        await intake.records_are(b"one", b"two", b"three")
    assert intake.batches[0].labels == {"host": "edge-1", "source": "app", "file": str(log)}
    assert [(s.source, s.start, s.end, s.read, s.kept) for s in intake.ranges()] == [
        ("app", 0, 8, 2, 2),
        ("app", 8, 14, 1, 1),
    ]
    assert intake.lags == {str(log): 0}
    assert intake.overlaps == 0


async def test_positions_come_back_from_the_spool(tmp_path: Path) -> None:
    """After a restart it goes on where the last durable batch ended; the rest is read again."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
        intake.hold = True
        append(log, b"two")
        await intake.records_are(b"one", b"two")
    append(log, b"three")
    again = intake.restarted()
    assert again.records() == [b"one"]
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"two", b"three")
    assert len({span.generation for span in again.ranges()}) == 1


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


async def test_rotated_siblings_are_found_after_downtime(tmp_path: Path) -> None:
    """By identity, under names that no pattern means; their unread rest is finished."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 3))
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(*numbered(0, 3))
    append(log, *numbered(3, 6))
    log.rename(tmp_path / "app.log-20240101")
    append(log, b"new")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.have(7)
        append(tmp_path / "app.log-20240101", b"late")
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


async def test_copytruncate(tmp_path: Path) -> None:
    """A new generation from its first byte, as soon as the file is smaller than the position."""
    log = tmp_path / "app.log"
    append(log, b"one", b"two")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one", b"two")
        os.truncate(log, 0)
        append(log, b"new")
        await intake.records_are(b"one", b"two", b"new")
    first, second = intake.ranges()
    assert (second.start, second.end) == (0, 4)
    assert first.generation != second.generation
    assert set(intake.durable_state()) == {second.generation.hex()}


async def test_copytruncate_that_grew_past_the_position_again(tmp_path: Path) -> None:
    """It is seen by the hash of the last bytes, also after a restart."""
    log = tmp_path / "app.log"
    append(log, b"one", b"two")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one", b"two")
        log.write_bytes(b"longer than before\n")
        await intake.records_are(b"one", b"two", b"longer than before")
    log.write_bytes(b"yet longer than it was before\n")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"two", b"longer than before", b"yet longer than it was before")


async def test_bytes_truncated_while_behind_are_counted(tmp_path: Path) -> None:
    """As many as were seen and not read."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        with log.open("ab") as file:
            file.write(b"half a li")
        await intake.until(lambda: intake.lags == {str(log): 9})
        log.write_bytes(b"")
        await intake.until(lambda: intake.losses)
    assert intake.losses == [("truncated", 9, str(log))]


async def test_inode_reuse(tmp_path: Path) -> None:
    """Another file under the inode number of a known one is new."""
    log = tmp_path / "app.log"
    append(log, b"one", b"two")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one", b"two")
    inode = log.stat().st_ino
    log.write_bytes(b"another file, longer\n")  # same inode, as after unlink and create
    assert log.stat().st_ino == inode
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"two", b"another file, longer")


async def test_a_device_number_that_changed_is_the_same_file(tmp_path: Path) -> None:
    """It may change over a reboot."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
    again = intake.restarted()
    again.state = {key: _on_another_device(key, value) for key, value in again.state.items()}
    append(log, b"two")
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"two")


def _on_another_device(key: str, value: bytes) -> bytes:
    import msgspec

    _, position = decode_position(key, value)
    return msgspec.msgpack.encode(msgspec.structs.replace(position, device=position.device + 1))


async def test_tiny_files_and_files_with_the_same_header(tmp_path: Path) -> None:
    """Equal beginnings, one byte or 2 KiB of them, are told apart by inode."""
    header = b"# " + b"=" * 2000
    for number in range(3):
        append(tmp_path / f"same{number}.log", header, b"%d" % number)
        append(tmp_path / f"tiny{number}.log", b"")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(9)
    again = intake.restarted()
    for number in range(3):
        append(tmp_path / f"same{number}.log", b"more")
    async with following(source(tmp_path), again):
        await again.have(12)
    assert again.records(str(tmp_path / "same1.log")) == [header, b"1", b"more"]


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
    """Over many rotations it holds what is there, not what was."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
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
    assert len(intake.durable_state()) <= 2


async def test_symlinks_hard_links_one_file_under_two_globs(tmp_path: Path) -> None:
    """One identity, one tail."""
    log = tmp_path / "a.log"
    append(log, b"one")
    (tmp_path / "b.log").symlink_to(log)
    (tmp_path / "c.log").hardlink_to(log)
    intake = MemoryIntake()
    made = source(tmp_path, "*.log", "a.*")
    async with following(made, intake):
        append(log, b"two")
        await intake.have(2)
        assert made.describe() == "watching 1 file (0 B unread)"
    assert intake.records() == [b"one", b"two"]


async def test_a_symlinked_file_is_followed_through_its_rotation(tmp_path: Path) -> None:
    """The directory of the target is watched too."""
    (tmp_path / "pods").mkdir()
    target = tmp_path / "pods" / "0"
    append(target, b"one")
    (tmp_path / "app.log").symlink_to(target)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
        append(target, b"two")
        target.rename(tmp_path / "pods" / "0.1")
        append(target, b"three")
        await intake.have(3)
    assert sorted(intake.records()) == [b"one", b"three", b"two"]
    again = intake.restarted()
    append(tmp_path / "pods" / "0.1", b"four")
    async with following(source(tmp_path), again):
        await again.until(lambda: b"four" in again.records())


async def test_half_a_line_at_the_end(tmp_path: Path) -> None:
    """It waits for its newline, over a restart too."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nha")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
        with log.open("ab") as file:
            file.write(b"lf")
        append(tmp_path / "other.log", b"other")
        await intake.records_are(b"one", b"other")
    again = intake.restarted()
    append(log, b" and half")
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"other", b"half and half")
    assert not any(span.partial for span in again.ranges())


async def test_very_long_line_goes_to_the_dead_letters(tmp_path: Path) -> None:
    """With its beginning and its size; the lines around it are shipped."""
    log = tmp_path / "app.log"
    append(log, b"before", b"z" * 3_000_000, b"after")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"before", b"after")
    (letter,) = intake.dead_letters()
    assert (letter.raw, letter.size, letter.processor) == (b"z" * 65536, 3_000_000, "source")
    assert letter.labels["file"] == str(log)
    assert [(s.start, s.end, s.read, s.kept, s.failed) for s in intake.ranges()] == [
        (0, 7, 1, 1, 0),
        (7, 3_000_008, 1, 0, 1),
        (3_000_008, 3_000_014, 1, 1, 0),
    ]


async def test_crlf_nul_bytes_binary_rubbish(tmp_path: Path) -> None:
    """They pass verbatim."""
    log = tmp_path / "app.log"
    rubbish = [b"crlf\r", b"\0\0\0", b"\xff\xfe\x80", b"", b"\xc3\x28"]
    append(log, *rubbish)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(*rubbish)


async def test_thousands_of_files_with_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those read longest ago are closed, woken all the same, and go on where they were."""
    monkeypatch.setattr(discover, "OPEN_FILES", 16)
    for number in range(200):
        append(tmp_path / f"{number:03}.log", b"first")
    intake = MemoryIntake()
    made = source(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    async with following(made, intake):
        await intake.have(200)
        assert len(os.listdir("/proc/self/fd")) <= before + 16 + 8
        for number in range(200):
            append(tmp_path / f"{number:03}.log", b"second")
        await intake.have(400)
    assert intake.records(str(tmp_path / "007.log")) == [b"first", b"second"]
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # nothing leaks


async def test_a_closed_file_that_is_rotated_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by identity, as after a restart."""
    monkeypatch.setattr(discover, "OPEN_FILES", 1)
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


async def test_one_hot_file_does_not_starve_the_others(tmp_path: Path) -> None:
    """A quiet file gets its turn after one frame of the hot one."""
    append(tmp_path / "hot.log", *[b"x" * 99] * 20_000)
    append(tmp_path / "quiet.log", b"here")
    intake = MemoryIntake(max_bytes=16 * 1024)
    async with following(source(tmp_path), intake):
        await intake.until(lambda: b"here" in intake.records())
        place = next(n for n, batch in enumerate(intake.batches) if batch.labels["file"].endswith("quiet.log"))
        assert place <= 1
        await intake.have(20_001)


async def test_the_first_line_after_quiet_goes_at_once_and_then_frames_fill(tmp_path: Path) -> None:
    """Within max_delay the next frame goes when max_bytes are there, not before."""
    log = tmp_path / "app.log"
    append(log, b"first")
    intake = MemoryIntake(max_delay=3600, max_bytes=10_000)
    async with following(source(tmp_path), intake):
        await intake.records_are(b"first")
        append(log, b"second")
        append(tmp_path / "other.log", b"quiet until now")
        await intake.records_are(b"first", b"quiet until now")
        append(log, *[b"x" * 99] * 100)
        await intake.until(lambda: len(intake.batches) == 3)
    assert intake.ranges()[-1].start == 6
    assert intake.ranges()[-1].end > 9_900


async def test_many_lines_are_few_frames(tmp_path: Path) -> None:
    """A frame holds max_bytes where there are so many."""
    append(tmp_path / "app.log", *[b"x" * 99] * 10_000)
    intake = MemoryIntake(max_bytes=100_000)
    async with following(source(tmp_path), intake):
        await intake.have(10_000)
    assert len(intake.batches) == 10


@pytest.mark.parametrize("deep", ["app", "app/logs", "a/b/c"])
async def test_directories_that_appear_later(tmp_path: Path, deep: str) -> None:
    """The nearest directory that exists is watched, then the next."""
    intake = MemoryIntake()
    made = source(tmp_path, f"{deep}/*.log")
    async with following(made, intake):
        assert made.describe() == f"no file matches {tmp_path}/{deep}/*.log yet; watching {tmp_path}"
        (tmp_path / deep).mkdir(parents=True)
        append(tmp_path / deep / "app.log", b"one")
        await intake.records_are(b"one")
        (tmp_path / deep).rename(tmp_path / "moved")
        (tmp_path / deep).mkdir(parents=True)
        append(tmp_path / deep / "app.log", b"two")
        await intake.records_are(b"one", b"two")


async def test_files_below_two_stars_appear_later(tmp_path: Path) -> None:
    """At any depth."""
    intake = MemoryIntake()
    async with following(source(tmp_path, "**/*.log"), intake):
        for path in ("a.log", "x/b.log", "x/y/z/c.log"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            append(tmp_path / path, path.encode())
            await intake.until(lambda p=path: p.encode() in intake.records())  # type: ignore[misc]


async def test_permission_denied_then_granted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A warning once, with a hint; a retry at every rescan."""
    log = tmp_path / "app.log"
    append(log, b"one")
    log.chmod(0o000)
    intake = MemoryIntake()
    made = source(tmp_path)
    with as_nobody(tmp_path):
        async with following(made, intake, QUICK):
            assert made.describe() == f"permission denied: {log}: add the user to group adm"
            assert made.problems() == [made.describe()]
            scans = _count_scans(made)
            await intake.until(lambda: scans() >= 3)
            await asyncio.to_thread(_as_root, lambda: log.chmod(0o644))
            await intake.records_are(b"one")
            assert made.describe().startswith("watching 1 file")
            assert made.problems() == []
    assert capfd.readouterr().err.count("add the user to group adm") == 1


def _queue_limit() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def _as_root(action: Callable[[], None]) -> None:
    if os.getuid() != 0:
        action()
        return
    before = os.geteuid()
    os.seteuid(0)
    try:
        action()
    finally:
        os.seteuid(before)


def _count_scans(made: FileSource) -> Callable[[], int]:
    count = 0
    discovery = made._follower.discovery
    report = discovery._report

    def counted(problems: dict[str, str]) -> None:
        nonlocal count
        count += 1
        report(problems)

    discovery._report = counted  # type: ignore[method-assign]
    return lambda: count


async def test_a_fifo_a_directory_a_device_in_the_glob(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Refused with a warning each; never blocks; the files beside them are read."""
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "dir.log").mkdir()
    (tmp_path / "null.log").symlink_to("/dev/null")
    append(tmp_path / "app.log", b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
    said = capfd.readouterr().err
    for name, what in (("fifo", "a FIFO"), ("dir", "a directory"), ("null", "a device")):
        assert f"{tmp_path}/{name}.log is {what}, not a file: left alone" in said


async def test_events_lost_are_made_up_by_the_rescan(tmp_path: Path) -> None:
    """Without any event files are found and read on all the same."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        watcher = made._follower.discovery.watcher
        assert watcher is not None
        asyncio.get_running_loop().remove_reader(watcher._queue)  # type: ignore[attr-defined]
        watcher.drain = lambda: None  # type: ignore[method-assign]
        append(log, b"two")
        await intake.records_are(b"one", b"two")
        append(tmp_path / "new.log", b"three")
        await intake.records_are(b"one", b"two", b"three")


async def test_inotify_overflow_leads_to_a_rescan(tmp_path: Path) -> None:
    """When the queue overflows what it forgot is looked for."""
    limit = _queue_limit()
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        for number in range(limit // 2 + 1):  # the loop does not read meanwhile
            name = tmp_path / f"{number % 7}.log"
            os.close(os.open(name, os.O_CREAT))
            name.unlink()
        append(tmp_path / "app.log", b"found")
        await intake.records_are(b"found")


async def test_start_at_end_skips_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    """Not what comes while it runs or while it is down, not even in new files."""
    log = tmp_path / "app.log"
    append(log, b"old")
    intake = MemoryIntake()
    made = source(tmp_path, start_at="end")
    async with following(made, intake):
        await intake.until(lambda: len(intake.durable_state()) == 2)
        append(log, b"one")
        await intake.records_are(b"one")
        append(tmp_path / "new.log", b"two")
        await intake.records_are(b"one", b"two")
    again = intake.restarted()
    append(log, b"three")
    append(tmp_path / "newer.log", b"four")
    async with following(source(tmp_path, start_at="end"), again):
        await again.have(4)
    assert again.records()[:2] == [b"one", b"two"]
    assert sorted(again.records()[2:]) == [b"four", b"three"]


async def test_start_at_end_is_remembered_before_the_first_line(tmp_path: Path) -> None:
    """What is written while shipper is down after a start that read nothing is read."""
    log = tmp_path / "app.log"
    append(log, b"old")
    intake = MemoryIntake()
    async with following(source(tmp_path, start_at="end"), intake):
        await intake.until(lambda: len(intake.durable_state()) == 2)
    again = intake.restarted()
    append(log, b"new")
    async with following(source(tmp_path, start_at="end"), again):
        await again.records_are(b"new")


async def test_once_reads_what_was_there_with_the_half_line(tmp_path: Path) -> None:
    """The range says that it ends inside a line; the next run goes on from there."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\ntwo\nhal")
    append(tmp_path / "other.log", b"other")
    intake = MemoryIntake(max_bytes=5)
    await source(tmp_path).run(intake, once=True)
    assert sorted(intake.records()) == [b"hal", b"one", b"other", b"two"]
    assert [span.partial for span in intake.ranges()].count(True) == 1
    append(log, b"f")
    again = intake.restarted()
    await source(tmp_path).run(again, once=True)
    assert again.records()[4:] == [b"f"]


async def test_once_finishes_rotated_files_and_stops_at_the_size_it_saw(tmp_path: Path) -> None:
    """A writer that goes on does not keep it from ending."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    await source(tmp_path).run(intake, once=True)
    append(log, b"two")
    log.rename(tmp_path / "app.log.1")
    append(log, b"three")
    again = intake.restarted()
    take = again.take

    async def writing(read: Any) -> Any:
        append(log, b"more")
        return await take(read)

    again.take = writing  # type: ignore[method-assign]
    await source(tmp_path).run(again, once=True)
    assert sorted(again.records()) == [b"one", b"three", b"two"]


async def test_once_with_nothing_there_returns(tmp_path: Path) -> None:
    """Also when a pattern names nothing."""
    intake = MemoryIntake()
    await source(tmp_path, "nothing/*.log").run(intake, once=True)
    assert intake.batches == []


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


async def test_an_error_of_the_intake_ends_the_source(tmp_path: Path) -> None:
    """The engine starts it again from what is durable."""
    append(tmp_path / "app.log", b"one")
    intake = MemoryIntake(fail_at=0)
    with pytest.raises(SpoolFailed):
        await source(tmp_path).run(intake, once=False)
    again = intake.restarted()
    async with running(source(tmp_path), again):
        await again.records_are(b"one")


async def test_a_state_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Not a reason to read everything again."""
    with pytest.raises(SourceError, match="cannot be read"):
        await source(tmp_path).run(MemoryIntake(state={"00": b"\xc1"}), once=True)


@pytest.mark.parametrize("include", [[], [""], ["/"]])
def test_patterns_that_name_nothing_are_config_errors(include: list[str]) -> None:
    """With an example of one that names something."""
    with pytest.raises(ValueError, match=r"/var/log/app/\*\.log"):
        FileSource(include=include).setup()


async def test_it_says_what_it_sees(tmp_path: Path) -> None:
    """In one phrase, for the start-up line."""
    made = source(tmp_path)
    assert made.describe() == f"looking for {tmp_path}/*.log"
    append(tmp_path / "a.log", *[b"x" * 1023] * 1536)
    append(tmp_path / "b.log", b"y")
    intake = MemoryIntake()
    intake.block()
    async with following(made, intake):
        assert made.describe() == "watching 2 files (1.5 MiB unread)"
