"""Finding files: directories that come later, what cannot be read, events that are lost."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.files import as_nobody
from support.following import QUICK, append, following, source
from support.intake import MemoryIntake

from shipper.sources.file import FileSource


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


async def test_permission_denied_then_granted(open_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A warning once, with a hint; a retry at every rescan."""
    log = open_path / "app.log"
    append(log, b"one")
    log.chmod(0o000)
    intake = MemoryIntake()
    made = source(open_path)
    with as_nobody(open_path):
        async with following(made, intake, QUICK):
            assert made.describe().startswith(f"permission denied: {log}: it has mode 0000 and group ")
            assert made.problems() == [made.describe()]
            scans = _count_scans(made)
            await intake.until(lambda: scans() >= 3)
            await asyncio.to_thread(_as_root, lambda: log.chmod(0o644))
            await intake.records_are(b"one")
            await intake.until(lambda: made.problems() == [])  # the scan that found it goes on after that
            assert made.describe().startswith("watching 1 file")
    assert capfd.readouterr().err.count("permission denied") == 1


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


async def test_events_lost_in_an_overflow_lead_to_a_rescan(tmp_path: Path) -> None:
    """When the queue overflows what it forgot is looked for; of what it holds nothing concerns the source."""
    limit = _queue_limit()
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        for number in range(limit // 2 + 1):  # the loop does not read meanwhile
            name = tmp_path / f"{number % 7}.txt"
            os.close(os.open(name, os.O_CREAT))
            name.unlink()
        append(tmp_path / "app.log", b"found")
        await intake.records_are(b"found")
