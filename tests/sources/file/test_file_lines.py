"""Which files are one log: under several names of it, and when nothing is known of it yet."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from support.following import append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.limits import Timings

KEPT = Timings(rescan=0.05, linger=0.1, forget=600, settle=0.5)
"""What goes by the clock goes fast, but for what is remembered."""
BOTH = pytest.mark.parametrize(
    "include",
    [["containers/*.log", "pods/*.log*"], ["pods/*.log*", "containers/*.log"]],
    ids=["link first", "link last"],
)


def container(root: Path) -> tuple[Path, Path]:
    """The log of a container with 50 lines, as kubelet lays it out: where it is written, and where its link is."""
    log, link = root / "pods" / "0.log", root / "containers" / "web.log"
    log.parent.mkdir()
    link.parent.mkdir()
    append(log, *numbered(0, 50))
    return log, link


def linked(root: Path) -> Path:
    """The same with the link."""
    log, link = container(root)
    link.symlink_to(log)
    return log


def rotated(log: Path, numbers: range, line: int) -> None:
    """Rotated so many times; behind each, 50 more lines from this one on."""
    for at, number in enumerate(numbers):
        rotate(log, number)
        append(log, *numbered(line + 50 * at, line + 50 + 50 * at))


async def shipped(root: Path, include: list[str], intake: MemoryIntake, end: int) -> None:
    """Read until the lines before ``end`` are there, in their order."""
    async with following(source(root, *include), intake, KEPT):
        await intake.records_are(*numbered(0, end))


def rotate(log: Path, number: int) -> None:
    """As kubelet does: a date behind the name, and the one before is compressed."""
    before = Path(f"{log}.20260101-00000{number - 1}")
    if before.exists():
        info = before.stat()
        Path(f"{before}.gz").write_bytes(gzip.compress(before.read_bytes()))
        os.utime(f"{before}.gz", ns=(info.st_mtime_ns, info.st_mtime_ns))
        before.unlink()
    log.rename(f"{log}.20260101-00000{number}")


@BOTH
async def test_symlinks_and_their_targets_under_two_patterns_keep_their_order_while_down(
    tmp_path: Path, include: list[str]
) -> None:
    """Their files are one line, whichever name a file has: known ones, archives and those that nobody saw."""
    log = linked(tmp_path)
    intake = MemoryIntake(max_bytes=64)
    await shipped(tmp_path, include, intake, 50)
    again = intake.restarted(max_bytes=64)
    append(log, *numbered(50, 100))
    rotated(log, range(1, 5), 100)
    await shipped(tmp_path, include, again, 300)
    assert again.losses == []


@BOTH
async def test_symlinks_that_appear_after_their_targets_keep_their_order_while_down(
    tmp_path: Path, include: list[str]
) -> None:
    """The runtime makes the file, kubelet the link a moment later: known by one name, it goes on under the other."""
    log, link = container(tmp_path)
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, *include), intake, KEPT):
        await intake.records_are(*numbered(0, 50))
        link.symlink_to(log)
        rotate(log, 1)
        append(log, *numbered(50, 100))
        await intake.records_are(*numbered(0, 100))
    again = intake.restarted(max_bytes=64)
    rotated(log, range(2, 5), 100)
    await shipped(tmp_path, include, again, 250)
    assert again.losses == []


@BOTH
async def test_symlinks_and_their_targets_under_two_patterns_keep_their_order_while_running(
    tmp_path: Path, include: list[str]
) -> None:
    """Four rotations while the spool is full: the system tells of the target's name, the link is what is followed."""
    log = linked(tmp_path)
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, *include), intake, KEPT):
        await intake.records_are(*numbered(0, 50))
        intake.block()
        for number in range(1, 5):
            append(log, *numbered(50 * number, 25 + 50 * number))
            rotate(log, number)
            append(log, *numbered(25 + 50 * number, 50 + 50 * number))
        intake.unblock()
        await intake.records_are(*numbered(0, 250))
    assert intake.losses == []


async def test_a_link_that_leads_nowhere_keeps_its_meaning(tmp_path: Path) -> None:
    """Started again in the middle of a rotation: what was rotated unseen belongs to the line of the link."""
    log = linked(tmp_path)
    intake = MemoryIntake(max_bytes=64)
    include = ["containers/*.log", "pods/*.log*"]
    await shipped(tmp_path, include, intake, 50)
    again = intake.restarted(max_bytes=64)
    append(log, *numbered(50, 100))
    rotated(log, range(1, 3), 100)
    rotate(log, 3)
    async with following(source(tmp_path, *include), again, KEPT):
        await again.have(1)
        append(log, *numbered(200, 250))
        await again.records_are(*numbered(0, 250))
    assert again.losses == []


@BOTH
async def test_symlinks_and_their_targets_at_the_first_start_are_read_in_their_order(
    tmp_path: Path, include: list[str]
) -> None:
    """Archives first, then the plain one, then what is written now."""
    log = linked(tmp_path)
    rotated(log, range(1, 5), 50)
    intake = MemoryIntake(max_bytes=64)
    await shipped(tmp_path, include, intake, 250)
    assert intake.losses == []


def old(log: Path) -> None:
    """What a log of 250 lines looks like that was rotated four times: the older ones are compressed, in two ways."""
    for number in range(5):
        if log.exists():
            for other in range(number, 1, -1):
                Path(f"{log}.{other - 1}").rename(f"{log}.{other}")
            log.rename(f"{log}.1")
        append(log, *numbered(50 * number, 50 * number + 50))
    for number in range(5):
        path = Path(f"{log}.{number}") if number else log
        os.utime(path, (10**9 - 100 * number,) * 2)
    for number, command in ((4, ["zstd", "-q", "--rm"]), (3, ["gzip"]), (2, ["gzip"])):
        subprocess.run([*command, f"{log}.{number}"], check=True)


async def test_the_first_start_on_a_directory_with_archives_is_in_order(tmp_path: Path) -> None:
    """Each file once, the oldest first, compressed or not; and so after a restart in the middle."""
    log = tmp_path / "app.log"
    old(log)
    other = tmp_path / "other.log"
    append(other, b"of another log")
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, "*.log*"), intake, KEPT):
        await intake.have(30)
    again = intake.restarted(max_bytes=64)
    async with following(source(tmp_path, "*.log*"), again, KEPT):
        await again.have(251)
        assert [line for line in again.records() if line != b"of another log"] == numbered(0, 250)
        rotate_by_number(log)
        append(log, b"new")
        await again.have(252)
        await again.until(lambda: again.lags and not any(again.lags.values()))
    assert again.records(str(log))[-1:] == [b"new"]
    assert len(again.records()) == 252
    assert again.losses == []


def rotate_by_number(log: Path) -> None:
    """As logrotate does."""
    for path in sorted(log.parent.glob("app.log.*"), reverse=True):
        number, suffix = int(path.name.split(".")[2]), path.suffix if path.suffix in (".gz", ".zst") else ""
        path.rename(f"{log}.{number + 1}{suffix}")
    log.rename(f"{log}.1")


async def test_the_first_start_once_is_in_order(tmp_path: Path) -> None:
    """As for those who ship what is there and go."""
    log = tmp_path / "app.log"
    old(log)
    intake = MemoryIntake(max_bytes=64)
    await source(tmp_path, "app.log*").run(intake, once=True)
    assert intake.records() == numbered(0, 250)


async def test_the_first_start_reads_no_file_that_no_pattern_means(tmp_path: Path) -> None:
    """An archive that is meant does not lead to plain files beside it that are not."""
    log = tmp_path / "app.log"
    old(log)
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, "app.log", "*.gz", "*.zst"), intake, KEPT):
        await intake.records_are(*numbered(0, 150), *numbered(200, 250))
        append(log, b"new")
        await intake.records_are(*numbered(0, 150), *numbered(200, 250), b"new")


async def test_the_first_start_does_not_wait_for_ever_for_an_archive_that_is_not_complete(tmp_path: Path) -> None:
    """What stands at the path is read when the archive was the same for a while; it is read itself when it is done."""
    log = tmp_path / "app.log"
    append(log, b"now")
    whole = gzip.compress(b"old\n" * 50)
    Path(f"{log}.1.gz").write_bytes(whole[:-4])
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, "app.log*"), intake, KEPT):
        await intake.records_are(b"now")
        Path(f"{log}.1.gz").write_bytes(whole)
        await intake.records_are(b"now", *[b"old"] * 50)


async def test_archives_of_a_log_that_is_followed_do_not_hold_it_up(tmp_path: Path) -> None:
    """Somebody puts old ones beside it: they are read beside it."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, KEPT._replace(settle=600)):
        await intake.records_are(b"one")
        Path(f"{log}.7.gz").write_bytes(gzip.compress(b"old\n")[:-4])
        append(log, b"two")
        await intake.records_are(b"one", b"two")
