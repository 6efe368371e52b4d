"""Files that were rotated while shipper was down, or unseen: which are read, which are not, and in what order."""

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.globs import Globs
from shipper.sources.file.identity import decode_position, encode_position
from shipper.sources.file.limits import Timings
from shipper.sources.file.rotated import Away, Siblings, base_of

PATTERNS = pytest.mark.parametrize("include", [["app.log"], ["app.log*"]], ids=["unmeant", "meant"])
"""Whether the names that rotated files get are under a pattern."""


def by_gzip(path: Path) -> None:
    """The archive gets the times of its original."""
    subprocess.run(["gzip", str(path)], check=True)


def by_zstd(path: Path) -> None:
    """The same with zstd."""
    subprocess.run(["zstd", "-q", "--rm", str(path)], check=True)


def by_python(path: Path) -> None:
    """The time of the archive is when it was made."""
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    path.unlink()


PACKS = pytest.mark.parametrize("pack", [by_gzip, by_zstd, by_python])
KEPT = Timings(rescan=0.05, linger=0.1, forget=600, settle=0.5)
"""What goes by the clock goes fast, but for what is remembered."""


def rotate(log: Path, *, keep: int = 9) -> None:
    """As logrotate does: app.log.1 is always the one that was rotated last."""
    for number in range(keep, 0, -1):
        older = Path(f"{log}.{number}")
        if older.exists():
            older.rename(f"{log}.{number + 1}") if number < keep else older.unlink()
    log.rename(f"{log}.1")


def at(path: Path | str, seconds: int) -> None:
    """Set when a file was modified: so many seconds after some moment in the future."""
    os.utime(path, (4 * 10**9 + seconds,) * 2)


async def known(log: Path, *include: str, **options: object) -> MemoryIntake:
    """A file of 10 lines that was read; shipper is down since."""
    append(log, *numbered(0, 10))
    intake = MemoryIntake()
    async with following(source(log.parent, *include, **options), intake):
        await intake.records_are(*numbered(0, 10))
    return intake.restarted(max_bytes=64)


@PATTERNS
async def test_rename_rotation_several_in_a_row_while_down(tmp_path: Path, include: list[str]) -> None:
    """Files that were created and renamed meanwhile are read, after the rest of what was known and in their order."""
    log = tmp_path / "app.log"
    again = await known(log, *include)
    append(log, *numbered(10, 20))
    for number in range(2, 8):
        rotate(log)
        append(log, *numbered(10 * number, 10 * number + 10))
    async with following(source(tmp_path, *include), again):
        await again.records_are(*numbered(0, 80))
    assert again.losses == []
    once_more = again.restarted()
    append(log, b"new")
    async with following(source(tmp_path, *include), once_more):
        await once_more.records_are(*numbered(0, 80), b"new")


async def test_rename_rotation_again_and_again_while_down(tmp_path: Path) -> None:
    """What was found so is known from then on, and found again by identity."""
    log = tmp_path / "app.log"
    intake = await known(log, "app.log")
    written = 10
    for _ in range(5):
        for _ in range(3):
            rotate(log, keep=30)
            append(log, *numbered(written, written + 10))
            written += 10
        async with following(source(tmp_path, "app.log"), intake):
            await intake.records_are(*numbered(0, written))
        intake = intake.restarted()
    assert intake.losses == []


def test_rename_rotation_while_down_of_many_logs_lists_their_directory_as_often_as_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of logs in one directory cost no square of that."""
    listings: list[str] = []
    real = os.scandir

    def counted(path: str) -> "os._ScandirIterator[str]":
        listings.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", counted)
    counts = []
    for logs in (1, 40):
        away = [Away(f"{tmp_path}/{number}.log", 0) for number in range(logs)]
        for path, _ in away:
            Path(f"{path}.1").touch()
        listings.clear()
        found = Siblings(Globs([f"{tmp_path}/*.log"])).find(away, frozenset(), frozenset())
        assert [(sibling.line, sibling.where) for sibling in found] == [(path, f"{path}.1") for path, _ in away]
        counts.append(len(listings))
    assert counts[0] == counts[1]


async def test_rename_rotation_while_down_by_date(tmp_path: Path) -> None:
    """Equal times of modification: the earliest date first."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    for day in (1, 2, 3):
        log.rename(f"{log}-2026010{day}")
        at(f"{log}-2026010{day}", 0)
        append(log, b"%d" % day)
    async with following(source(tmp_path, "app.log"), again):
        await again.records_are(*numbered(0, 10), b"1", b"2", b"3")


async def test_rename_rotation_while_down_that_deleted_what_was_known(tmp_path: Path) -> None:
    """The unread rest of it is lost, and counted; files that were written after it are read."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    with log.open("ab") as file:
        file.write(b"half a line")
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log"), intake):
        await intake.records_are(*numbered(0, 10))
    for number in range(1, 5):
        rotate(log, keep=3)
        append(log, b"%d" % number)
    again = intake.restarted()
    async with following(source(tmp_path, "app.log"), again, QUICK):
        await again.records_are(*numbered(0, 10), b"1", b"2", b"3", b"4")
        await again.until(lambda: again.losses)
    assert again.losses == [("vanished", 11, str(log))]


async def test_rename_rotation_while_down_in_order_where_a_file_has_the_inode_number_of_a_deleted_one(
    tmp_path: Path,
) -> None:
    """What is looked at because it may be known, and is not, keeps its place among the others."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    read = again.records()
    for number in range(1, 5):
        rotate(log, keep=3)
        append(log, b"%d" % number)
    ((key, value),) = again.state.items()
    position = msgspec.structs.replace(decode_position(key, value)[1], inode=Path(f"{log}.1").stat().st_ino)
    again.state = {key: encode_position(position)}
    async with following(source(tmp_path, "app.log"), again, QUICK):
        await again.records_are(*read, b"1", b"2", b"3", b"4")


async def test_files_that_were_rotated_before_the_first_start_are_left_alone(tmp_path: Path) -> None:
    """Nobody asked for them: they were written to before what is known."""
    log = tmp_path / "app.log"
    for number in (3, 2, 1):
        append(tmp_path / f"app.log.{number}", b"old")
        os.utime(f"{log}.{number}", (10**9 - number,) * 2)
    again = await known(log, "app.log")
    rotate(log)
    append(log, b"new")
    async with following(source(tmp_path, "app.log"), again):
        await again.records_are(*numbered(0, 10), b"new")
        append(tmp_path / "app.log.1", b"late")
        await again.records_are(*numbered(0, 10), b"new", b"late")


async def test_what_is_excluded_is_not_read_though_it_was_rotated_while_down(tmp_path: Path) -> None:
    """An exclusion holds for every way in which a file may be found."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log", exclude=["app.log.1"])
    for number in range(3):
        rotate(log)
        append(log, b"%d" % number)
    async with following(source(tmp_path, "app.log", exclude=["app.log.1"]), again):
        await again.records_are(*numbered(0, 10), b"0", b"2")


@pytest.mark.parametrize(
    "name",
    ["app.log.old", "app.log~", "app.log.txt", "app.log-2", "app.log_1", "app-1.log", "app.logs.1", "xapp.log.1"],
)
async def test_files_with_other_names_are_not_taken_for_rotated_ones(tmp_path: Path, name: str) -> None:
    """Nor directories, nor links."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    log.rename(f"{log}.5")
    append(tmp_path / name, b"not asked for")
    at(tmp_path / name, 0)
    (tmp_path / "app.log.3").mkdir()
    (tmp_path / "app.log.4").symlink_to(tmp_path / name)
    append(log, b"new")
    async with following(source(tmp_path, "app.log"), again, QUICK):
        await again.records_are(*numbered(0, 10), b"new")
        append(log, b"more")
        await again.records_are(*numbered(0, 10), b"new", b"more")


async def test_nothing_is_looked_for_while_the_file_known_stands_at_its_path(tmp_path: Path) -> None:
    """Whoever put a file beside it did not rotate it."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    append(tmp_path / "app.log.1", b"not asked for")
    append(log, b"more")
    async with following(source(tmp_path, "app.log"), again, QUICK):
        await again.records_are(*numbered(0, 10), b"more")


async def test_a_path_that_is_meant_no_longer_is_not_looked_for(tmp_path: Path) -> None:
    """The positions of its files are kept, and its rotated ones left alone."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    rotate(log)
    append(log, b"1")
    rotate(log)
    append(tmp_path / "other.log", b"other")
    async with following(source(tmp_path, "other.log"), again, QUICK):
        await again.records_are(*numbered(0, 10), b"other")


async def test_files_that_a_pattern_means_at_the_first_start_are_read_in_their_order(tmp_path: Path) -> None:
    """Rotated ones first, the one written to first at the beginning; their names say whose they are."""
    log = tmp_path / "app.log"
    for second, name in enumerate(["app.log.2", "app.log.3", "app.log.1", "app.log"]):
        append(tmp_path / name, *numbered(50 * second, 50 * second + 50))
        at(tmp_path / name, second)
    at(log, -1000)  # it stands under the path, so it is the last, whatever the times say
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, "app.log*"), intake):
        await intake.records_are(*numbered(0, 200))


async def test_rename_rotation_that_no_event_told_of(tmp_path: Path) -> None:
    """Several between two looks at a file system without events: found as after downtime."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    made = source(tmp_path, "app.log")
    async with following(made, intake, QUICK):
        await intake.records_are(*numbered(0, 10))
        watcher = made._follower.discovery.watcher
        assert watcher is not None
        watcher.drain = lambda: None  # type: ignore[method-assign]
        for number in range(1, 5):
            rotate(log)
            append(log, *numbered(10 * number, 10 * number + 10))
        await intake.records_are(*numbered(0, 50))


@PACKS
@PATTERNS
async def test_rotate_then_gzip_several_in_a_row_while_down(
    tmp_path: Path, include: list[str], pack: Callable[[Path], None]
) -> None:
    """Archives of files that nobody saw are read once, in their order; the rest of what was known comes first."""
    log = tmp_path / "app.log"
    again = await known(log, *include)
    append(log, *numbered(10, 20))
    for number in range(2, 8):
        log.rename(f"{log}-{20260100 + number}")
        append(log, *numbered(10 * number, 10 * number + 10))
        if number < 6:
            pack(Path(f"{log}-{20260100 + number}"))
    async with following(source(tmp_path, *include), again, KEPT):
        await again.records_are(*numbered(0, 80))
    assert again.losses == []
    if include == ["app.log"]:
        assert {batch.labels["file"] for batch in again.batches} == {str(log)}
    once_more = again.restarted()
    append(log, b"new")
    async with following(source(tmp_path, *include), once_more, KEPT):
        await once_more.records_are(*numbered(0, 80), b"new")


@PACKS
@pytest.mark.parametrize("told", [True, False], ids=["events", "no events"])
async def test_rotate_then_gzip_between_two_looks(tmp_path: Path, pack: Callable[[Path], None], told: bool) -> None:
    """Files that were created, renamed and compressed before anybody saw them, and one that was open all the time."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    made = source(tmp_path, "app.log", watch="auto" if told else "poll")
    async with following(made, intake, KEPT):
        await intake.records_are(*numbered(0, 10))
        append(log, *numbered(10, 20))
        for number in range(2, 20):
            log.rename(f"{log}-{20260100 + number}")
            append(log, *numbered(10 * number, 10 * number + 10))
            pack(Path(f"{log}-{20260100 + number}"))
        await intake.records_are(*numbered(0, 200))
        for number in range(20, 24):
            log.rename(f"{log}-{20260100 + number}")
            append(log, *numbered(10 * number, 10 * number + 10))
            pack(Path(f"{log}-{20260100 + number}"))
        await intake.records_are(*numbered(0, 240))
    assert intake.losses == []
    again = intake.restarted()
    append(log, b"new")
    async with following(source(tmp_path, "app.log"), again, KEPT):
        await again.records_are(*numbered(0, 240), b"new")


async def test_an_archive_that_is_written_just_now_is_read_when_it_is_done(tmp_path: Path) -> None:
    """What came after it waits for it. If it is never done, that is read after a while, and the archive is not."""
    log = tmp_path / "app.log"
    again = await known(log, "app.log")
    log.rename(f"{log}.1")
    archive = gzip.compress(b"".join(line + b"\n" for line in numbered(10, 5000)))
    packing = Path(f"{log}.2.gz")
    packing.write_bytes(archive[:5000])
    append(log, *numbered(5000, 5010))
    async with following(source(tmp_path, "app.log"), again, KEPT._replace(settle=600)):
        await again.records_are(*numbered(0, 10))
        with packing.open("ab") as file:
            file.write(archive[5000:])
        await again.records_are(*numbered(0, 5010))
        Path(f"{log}.3.gz").write_bytes(archive[:5000])
    once_more = again.restarted()
    log.rename(f"{log}.4")
    append(log, b"new")
    async with following(source(tmp_path, "app.log"), once_more, KEPT):
        await once_more.records_are(*numbered(0, 5010), b"new")


async def test_archives_from_before_the_first_start_are_left_alone(tmp_path: Path) -> None:
    """They were made before what is known was written."""
    log = tmp_path / "app.log"
    append(Path(f"{log}.0"), b"old")
    by_gzip(Path(f"{log}.0"))
    os.utime(f"{log}.0.gz", (10**9,) * 2)
    again = await known(log, "app.log")
    log.rename(f"{log}.1")
    by_gzip(Path(f"{log}.1"))
    append(log, b"new")
    async with following(source(tmp_path, "app.log"), again, KEPT):
        await again.records_are(*numbered(0, 10), b"new")


async def test_archives_of_files_with_the_same_header_are_told_apart(tmp_path: Path) -> None:
    """Each is compared up to its end with what was read, not by its first bytes."""
    log, header = tmp_path / "app.log", b"# " + b"=" * 2000
    append(log, header, b"0")
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log"), intake):
        await intake.records_are(header, b"0")
    for number in range(1, 4):
        log.rename(f"{log}.{number}")
        by_gzip(Path(f"{log}.{number}"))
        append(log, header, b"%d" % number)
    again = intake.restarted()
    async with following(source(tmp_path, "app.log"), again, KEPT):
        await again.records_are(*[line for number in range(4) for line in (header, b"%d" % number)])


async def test_siblings_behind_a_link_are_found_where_it_leads(tmp_path: Path) -> None:
    """As for the logs of containers: the link has one name, the file that is rotated another."""
    pods = tmp_path / "pods"
    pods.mkdir()
    append(pods / "0.log", b"one")
    (tmp_path / "app.log").symlink_to(pods / "0.log")
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log"), intake):
        await intake.records_are(b"one")
    for second in (1, 2, 3):
        (pods / "0.log").rename(pods / f"0.log.20260101-00000{second}")
        append(pods / "0.log", b"%d" % second)
    again = intake.restarted()
    async with following(source(tmp_path, "app.log"), again):
        await again.records_are(b"one", b"1", b"2", b"3")
    assert {batch.labels["file"] for batch in again.batches} == {str(tmp_path / "app.log")}


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/d/app.log.1", "/d/app.log"),
        ("/d/app.log.12", "/d/app.log"),
        ("/d/app.log-20260101", "/d/app.log"),
        ("/d/app.log-20260101-1234567890", "/d/app.log"),
        ("/d/app.log.2026-01-01T10:00:00Z", "/d/app.log"),
        ("/d/app.log.2026-01-01.1", "/d/app.log"),
        ("/d/0.log.20260101-120000", "/d/0.log"),
        ("/d/app-1.log.1", "/d/app-1.log"),
        ("/d/app.log", None),
        ("/d/app-1", None),
        ("/d/.1", None),
        ("/d/app.log.1.gz", None),
        ("/d/app.log.x1", None),
        ("/d.1/app.log", None),
    ],
)
def test_names_of_rotated_files(path: str, base: str | None) -> None:
    """A number or a date stands behind the name that they had."""
    assert base_of(path) == base


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_every_name_has_an_answer(name: str) -> None:
    """And what is left of it is the beginning of it."""
    base = base_of(f"/d/{name}")
    assert base is None or (f"/d/{name}".startswith(base) and len("/d/") < len(base) < len(f"/d/{name}"))
