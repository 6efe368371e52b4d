"""Copies and compressed rotations of known files: nothing twice, nothing lost, counted where it is."""

import asyncio
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zstandard
from support.following import append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.archives import Archives
from shipper.sources.file.catalog import PATTERNS, Catalog
from shipper.sources.file.globs import Globs, Sighting
from shipper.sources.file.identity import decode_position
from shipper.sources.file.kin import Kin
from shipper.sources.file.likeness import Known
from shipper.sources.file.limits import Timings
from shipper.sources.file.names import derived, root
from shipper.sources.file.tail import Tail

QUICK = Timings(rescan=0.05, linger=0.1, forget=600, settle=0.5)
"""What goes by the clock goes fast, but for what is remembered."""
HEADER = b"# " + b"=" * 2000

Pack = Callable[[Path], Path]


def packed_gzip(path: Path) -> Path:
    """As gzip does: the archive is written first, then its original is deleted."""
    subprocess.run(["gzip", str(path)], check=True)
    return Path(f"{path}.gz")


def packed_zstd(path: Path) -> Path:
    """As ``zstd --rm`` does."""
    subprocess.run(["zstd", "-q", "--rm", str(path)], check=True)
    return Path(f"{path}.zst")


PACKS = pytest.mark.parametrize("pack", [packed_gzip, packed_zstd], ids=["gzip", "zstd"])
NAMES = pytest.mark.parametrize("patterns", [["app.log"], ["app.log*"]], ids=["its own name", "all names"])


def copytruncate(log: Path, copy: Path) -> None:
    """As logrotate does."""
    shutil.copyfile(log, copy)
    os.truncate(log, 0)


def once_each(intake: MemoryIntake, expected: Iterable[bytes]) -> None:
    assert sorted(intake.records()) == sorted(expected)


async def quiet(intake: MemoryIntake, count: int = 12) -> None:
    """Several looks at the directories; whatever would be read wrongly would be read by then."""
    before = len(intake.records())
    await asyncio.sleep(QUICK.rescan * count)
    assert len(intake.records()) == before


@PACKS
@NAMES
async def test_rotate_then_gzip_with_the_agent_in_the_middle(tmp_path: Path, patterns: list[str], pack: Pack) -> None:
    """Its archive appears while it was down: reading goes on in the middle, as the same generation, exactly once."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 20_000))
    intake = MemoryIntake(max_bytes=4096)
    made = source(tmp_path, *patterns)
    async with following(made, intake, QUICK):
        await intake.have(1)
        intake.block()
    read = len(intake.records())
    assert 0 < read < 20_000
    log.rename(tmp_path / "app.log.1")
    append(log, b"new")
    pack(tmp_path / "app.log.1")
    again = intake.restarted(max_bytes=4096)
    async with following(source(tmp_path, *patterns), again, QUICK):
        await again.have(20_001)
        await quiet(again)
    assert again.records() == [*numbered(0, 20_000), b"new"]
    assert len({span.generation for span in again.ranges()}) == 2
    assert all(a.end == b.start for a, b in zip(again.ranges()[:-2], again.ranges()[1:-1], strict=True))
    assert again.losses == []


@asynccontextmanager
async def read_and_renamed(log: Path) -> AsyncIterator[MemoryIntake]:
    """A source under whose pattern is what a log of fifty lines is called now; all was read."""
    append(log, *numbered(0, 50))
    intake = MemoryIntake()
    async with following(source(log.parent, f"{log.name}*"), intake, QUICK):
        await intake.have(50)
        log.rename(log.with_name(f"{log.name}.1"))
        yield intake


@PACKS
async def test_rotate_then_gzip_is_not_sent_again(tmp_path: Path, pack: Pack) -> None:
    """Not while it runs, not after restarts, not when the archive is renamed."""
    log = tmp_path / "app.log"
    async with read_and_renamed(log) as intake:
        append(log, b"new")
        await intake.have(51)
        archive = pack(tmp_path / "app.log.1")
        await intake.until(lambda: packed_positions(intake) == [len(b"line 0\n") * 10 + len(b"line 10\n") * 40])
        archive = archive.rename(tmp_path / f"app.log.2{archive.suffix}")
        await quiet(intake)
    archive = archive.rename(tmp_path / f"app.log.3{archive.suffix}")
    again = intake.restarted()
    async with following(source(tmp_path, "app.log*"), again, QUICK):
        append(log, b"more")
        await again.have(52)
        await quiet(again)
        assert packed_positions(again)
        archive.unlink()
        shutil.copyfile(log, tmp_path / "unrelated")
    assert again.records() == [*numbered(0, 50), b"new", b"more"]


def packed_positions(intake: MemoryIntake) -> list[int]:
    """Where reading stands in the archives that are known."""
    found = [decode_position(key, value)[1] for key, value in intake.durable_state().items() if key != PATTERNS]
    return [position.offset for position in found if position.packed]


@PACKS
async def test_rotate_then_gzip_of_a_finished_file_while_down_is_skipped(tmp_path: Path, pack: Pack) -> None:
    """Also when the original was deleted long before the archive is seen: its position was kept."""
    log = tmp_path / "app.log"
    async with read_and_renamed(log) as intake:
        archive = pack(tmp_path / "app.log.1").rename(tmp_path / "elsewhere")
        await asyncio.sleep(0.5)  # let go, and forgotten if nobody took care
    archive.rename(tmp_path / ("app.log.1.gz" if pack is packed_gzip else "app.log.1.zst"))
    again = intake.restarted()
    async with following(source(tmp_path, "app.log*"), again, QUICK):
        append(log, b"new")
        await again.have(51)
        await quiet(again)
    assert again.records() == [*numbered(0, 50), b"new"]


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> int:
    """So many generations are kept that were read and deleted: fewer than usual."""
    monkeypatch.setattr("shipper.sources.file.kin._KEPT", 3)
    return 3


async def test_of_archives_that_were_read_and_deleted_while_it_was_down_a_bounded_number_is_remembered(
    tmp_path: Path, few_kept: int
) -> None:
    """Each of them is compared with every archive that comes: thousands would keep a core busy."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log"), intake, QUICK):
        for number in range(1, 9):
            append(log, b"line %d" % number)
            await intake.have(number)
            packed_gzip(log.rename(tmp_path / f"app.log.{number}"))
            await intake.until(lambda n=number: len(packed_positions(intake)) == n)  # type: ignore[misc]
        append(log, b"line 9")
        await intake.have(9)
    for archive in tmp_path.glob("*.gz"):
        archive.unlink()
    again = intake.restarted()
    async with following(source(tmp_path, "app.log"), again, QUICK):
        append(log, b"last")
        await again.have(10)
        await again.until(lambda: len(again.durable_state()) == few_kept + 1)
    assert again.losses == []


@NAMES
@pytest.mark.usefixtures("few_kept")
async def test_logs_that_were_compressed_and_deleted_while_it_was_down_are_not_sent_again(
    tmp_path: Path, patterns: list[str]
) -> None:
    """However many: they are remembered until their archives were compared with them."""
    logs = [tmp_path / f"app.log.{number}" for number in range(1, 31)]
    intake = MemoryIntake()
    append(tmp_path / "app.log", b"now")
    for number, log in enumerate(logs):
        append(log, b"line %d" % number)
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.have(31)
    for log in logs:
        Path(f"{log}.gz").write_bytes(gzip.compress(log.read_bytes()))
    for log in logs:
        log.unlink()
    again = intake.restarted()
    async with following(source(tmp_path, *patterns), again, QUICK):
        append(tmp_path / "app.log", b"then")
        await again.have(32)
        await quiet(again)
    assert len(again.records()) == 32


@pytest.mark.usefixtures("few_kept")
async def test_files_that_are_only_out_of_reach_are_remembered_whatever_is_deleted(tmp_path: Path) -> None:
    """Their disk may be mounted late: what was read of them does not come twice."""
    away = tmp_path / "away"
    away.mkdir()
    for number in range(1, 9):
        compressed(away / f"old.log.{number}", number)
    here = [tmp_path / f"app{number}.log" for number in range(5)]
    for number, log in enumerate(here):
        append(log, b"here %d" % number)
    intake = MemoryIntake()
    async with following(source(tmp_path, "app*.log", "away/*"), intake, QUICK):
        await intake.have(13)
        await intake.until(lambda: len(intake.durable_state()) == 13)
    away.rename(tmp_path / "unmounted")
    again = intake.restarted()
    async with following(source(tmp_path, "app*.log", "away/*"), again, QUICK):
        for log in here:
            log.unlink()
        await quiet(again)
        (tmp_path / "unmounted").rename(away)
        await quiet(again)
    assert len(again.records()) == 13


def compressed(path: Path, number: int) -> Path:
    """An archive of one line."""
    append(path, b"packed %d" % number)
    return packed_gzip(path)


@PACKS
async def test_new_archives_are_read_once(tmp_path: Path, pack: Pack) -> None:
    """From their start to their end, and never again; two with the same first KiB are two."""
    for number in (1, 2):
        append(tmp_path / f"app.log.{number}", HEADER, *numbered(number * 100, number * 100 + 50))
        pack(tmp_path / f"app.log.{number}")
    append(tmp_path / "app.log", HEADER, b"now")
    intake = MemoryIntake(max_bytes=1024)
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.have(104)
        await quiet(intake)
    expected = [HEADER, *numbered(100, 150), HEADER, *numbered(200, 250), HEADER, b"now"]
    once_each(intake, expected)
    again = intake.restarted()
    async with following(source(tmp_path, "app.log*"), again, QUICK):
        append(tmp_path / "app.log", b"then")
        await again.have(105)
        await quiet(again)
    once_each(again, [*expected, b"then"])


async def test_an_archive_with_the_same_first_kib_is_not_taken_for_another(tmp_path: Path) -> None:
    """The bytes before the position decide: the archive of the unfinished file is gone, the other one is new."""
    log = tmp_path / "app.log"
    append(log, HEADER, *numbered(0, 50))
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.have(51)
    log.unlink()
    append(tmp_path / "app.log.1", HEADER, *numbered(100, 200))
    packed_gzip(tmp_path / "app.log.1")
    again = intake.restarted()
    async with following(source(tmp_path, "app.log*"), again, QUICK):
        await again.have(152)
    assert again.records()[51:] == [HEADER, *numbered(100, 200)]


async def test_archives_are_not_read_while_they_are_written(tmp_path: Path) -> None:
    """Neither one that is new, nor one whose original is still there (gzip deletes it at the end)."""
    log, half = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    append(log, *numbered(0, 50))
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.have(50)
        log.rename(tmp_path / "app.log.1")
        whole = gzip.compress((tmp_path / "app.log.1").read_bytes())
        other = gzip.compress(b"other\n" * 3)
        (tmp_path / "app.log.7.gz").write_bytes(b"")
        for cut in (0, 20, len(whole) - 1, len(whole)):
            half.write_bytes(whole[:cut])
            (tmp_path / "app.log.7.gz").write_bytes(other[: min(cut, len(other) - 1)])
            await quiet(intake, 4)
        (tmp_path / "app.log.1").unlink()
        (tmp_path / "app.log.7.gz").write_bytes(other)
        await intake.have(53)
        await quiet(intake)
    assert intake.records() == [*numbered(0, 50), b"other", b"other", b"other"]


@PACKS
async def test_archives_are_not_read_while_they_are_written_under_a_name_of_their_own(
    tmp_path: Path, pack: Pack
) -> None:
    """As kubelet does: ``0.log.DATE.tmp`` is written, renamed to ``0.log.DATE.gz`` when it is whole, then the original
    is deleted. A plain file of that name is a plain file.
    """
    log, old = tmp_path / "0.log", tmp_path / "0.log.20261121-101010"
    append(log, *numbered(0, 5000))
    twin = tmp_path / "elsewhere"
    twin.mkdir()
    shutil.copy(log, twin)
    packed = pack(twin / "0.log")
    whole, temporary = packed.read_bytes(), Path(f"{old}.tmp")
    intake = MemoryIntake()
    async with following(source(tmp_path, "*.log*"), intake, QUICK):
        await intake.have(5000)
        log.rename(old)
        for cut in (0, 20, len(whole) // 2, len(whole)):
            temporary.write_bytes(whole[:cut])
            await quiet(intake, 4)
        temporary.rename(f"{old}{packed.suffix}")
        await quiet(intake, 4)
        old.unlink()
        await quiet(intake)
        append(tmp_path / "other.log.tmp", b"plain")
        await intake.records_are(*numbered(0, 5000), b"plain")


async def test_a_damaged_archive_is_read_up_to_the_damage_and_the_rest_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In compressed bytes, once, also over a restart."""
    raw = zstandard.ZstdCompressor().compress(b"one\ntwo\n")
    (tmp_path / "a.log.zst").write_bytes(raw + b"rubbish behind it")
    intake = MemoryIntake()
    async with following(source(tmp_path, "*.zst"), intake, QUICK):
        await intake.records_are(b"one", b"two")
        await intake.until(lambda: intake.losses)
    again = intake.restarted()
    async with following(source(tmp_path, "*.zst"), again, QUICK):
        await quiet(again)
    assert again.losses == [("corrupt", 17, str(tmp_path / "a.log.zst"))]
    assert "a compressed file is damaged: what stands before that is read" in capfd.readouterr().err


@PACKS
async def test_once_reads_archives_too(tmp_path: Path, pack: Pack) -> None:
    """With the half line at their end; what is not complete is left alone, and said."""
    (tmp_path / "a.log").write_bytes(b"one\ntwo")
    pack(tmp_path / "a.log")
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"three\n" * 1000)[:-1])
    made, intake = source(tmp_path, "*"), MemoryIntake()
    await made.run(intake, once=True)
    assert intake.records() == [b"one", b"two"]
    assert made.problems() == [f"{tmp_path}/b.log.gz is not complete: left alone"]
    again = intake.restarted()
    await source(tmp_path, "*").run(again, once=True)
    assert again.records() == [b"one", b"two"]


async def test_start_at_end_skips_archives_that_are_there(tmp_path: Path) -> None:
    """Those that appear later are read."""
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"old\n"))
    intake = MemoryIntake()
    async with following(source(tmp_path, "*", start_at="end"), intake, QUICK):
        await intake.until(lambda: packed_positions(intake) == [4])
        (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"new\n"))
        await intake.records_are(b"new")


async def test_a_plain_file_that_is_called_like_an_archive_is_a_plain_file(tmp_path: Path) -> None:
    """Names do not decide."""
    append(tmp_path / "a.gz", b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path, "*"), intake, QUICK):
        await intake.records_are(b"one")
        append(tmp_path / "a.gz", b"two")
        await intake.records_are(b"one", b"two")


class Looking:
    """A host that counts how often it is asked to scan."""

    hints = 0

    def found(self, tail: Tail) -> None:
        raise AssertionError(f"{tail.path} was not asked for")

    def forget(self, tail: Tail) -> None:
        raise AssertionError(f"{tail.path} was not given")

    def hint(self) -> None:
        self.hints += 1


async def test_an_archive_that_was_replaced_before_it_was_looked_into_is_not_taken_for_the_one_seen(
    tmp_path: Path,
) -> None:
    """Its number may be that of a file that is followed: the next scan says what stands there."""
    path = tmp_path / "app.log.1.gz"
    path.write_bytes(gzip.compress(b"one\n"))
    seen = Sighting(str(path), str(path), path.stat(), str(tmp_path / "*"))
    (tmp_path / "other").write_bytes(gzip.compress(b"two\n"))
    (tmp_path / "other").replace(path)
    host = Looking()
    catalog = Catalog(Globs([str(tmp_path / "*")]), {}, {}, "beginning")
    archives = Archives(catalog, host, list, lambda _: [], settle=1, forget=1)
    archives.offer(seen, [])
    await archives.all()
    assert not catalog.tails
    assert host.hints


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns far more often than usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("busy_threads")
async def test_files_that_come_and_go_while_others_are_compared_disturb_nobody(tmp_path: Path) -> None:
    """Comparing is a worker thread's, the list of tails the loop's: archives are found meanwhile."""
    catalog = Catalog(Globs([str(tmp_path / "app.log*")]), {}, {}, "beginning")
    for number in range(2000):
        catalog.tails[Tail(str(tmp_path / f"other{number}.log"), {})] = None
    kindred = []
    for number in range(1, 200):
        path = tmp_path / f"app.log.{number}"
        append(path, b"line %d" % number)
        kindred.append(Sighting(str(path), str(path), path.stat(), "app.log*"))
    kin = Kin(
        catalog, catalog.globs, Looking(), lambda tails: [Known(t, t.position()) for t in tails], settle=1, forget=1
    )
    judging = asyncio.create_task(kin.judge(kindred, once=False))
    while not judging.done():
        catalog.tails[tail := Tail("new", {})] = None
        await asyncio.sleep(0)
        del catalog.tails[tail]
    assert len(await judging) == len(kindred)


async def test_killed_in_the_middle_of_an_archive(tmp_path: Path) -> None:
    """Whatever was not durable is read again, from its place in the decompressed bytes."""
    append(tmp_path / "a.log", *numbered(0, 5000))
    packed_gzip(tmp_path / "a.log")
    intake = MemoryIntake(max_bytes=2048)
    for durable in (3, 7, 11):
        async with following(source(tmp_path, "*"), intake, QUICK):
            await intake.until(lambda n=durable, i=intake: len(i.batches) >= n + 2)  # type: ignore[misc]
            intake.hold = True
            await intake.until(lambda i=intake: len(i.batches) > i._durable)  # type: ignore[misc]
        intake = intake.restarted(hold=False, max_bytes=2048)
    async with following(source(tmp_path, "*"), intake, QUICK):
        await intake.have(5000)
    assert intake.records() == numbered(0, 5000)
    assert len({span.generation for span in intake.ranges()}) == 1


@NAMES
async def test_copytruncate_is_not_sent_twice(tmp_path: Path, patterns: list[str]) -> None:
    """Under patterns that mean the copies too; with renames of older copies, and compression of them."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    expected = []
    async with following(source(tmp_path, *patterns), intake, QUICK):
        for turn in range(4):
            lines = numbered(turn * 10, turn * 10 + 10)
            expected += lines
            append(log, *lines)
            await intake.have(len(expected))
            for old in range(turn, 1, -1):
                (tmp_path / f"app.log.{old - 1}.gz").rename(tmp_path / f"app.log.{old}.gz")
            if turn:
                packed_gzip(tmp_path / "app.log.1")
            copytruncate(log, tmp_path / "app.log.1")
            await quiet(intake, 8)
        append(log, b"last")
        await intake.have(41)
        await quiet(intake)
    assert intake.records() == [*expected, b"last"]
    assert intake.losses == []
    again = intake.restarted()
    async with following(source(tmp_path, *patterns), again, QUICK):
        await quiet(again)


@NAMES
async def test_copytruncate_while_behind_is_read_from_the_copy(tmp_path: Path, patterns: list[str]) -> None:
    """Bytes that were unread when the file was truncated, seen or not, before what came after it."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 1000))
    intake = MemoryIntake(max_bytes=1024)
    made = source(tmp_path, *patterns)
    async with following(made, intake, QUICK):
        await intake.have(1)
        intake.block()
        append(log, *numbered(1000, 1100))
        await asyncio.sleep(0.1)
        copytruncate(log, tmp_path / "app.log.1")
        append(log, b"after")
        intake.unblock()
        await intake.have(1101)
        await quiet(intake)
    assert intake.records() == [*numbered(0, 1100), b"after"]
    assert len({span.generation for span in intake.ranges()}) == 2
    assert intake.losses == []


@NAMES
@PACKS
async def test_copytruncate_while_behind_is_read_from_a_compressed_copy(
    tmp_path: Path, patterns: list[str], pack: Pack
) -> None:
    """Which appears whole, and long before the reader looks at the file again: it waits for that, and what was
    truncated is not given up before it was looked into.
    """
    log, logs = tmp_path / "logs" / "app.log", tmp_path / "logs"
    logs.mkdir()
    append(log, *numbered(0, 1000))
    intake = MemoryIntake(max_bytes=1024)
    async with following(source(logs, *patterns), intake, QUICK):
        await intake.have(1)
        intake.block()
        await intake.until(lambda: intake._running)
        copy = tmp_path / "app.log.1"
        copytruncate(log, copy)
        packed = pack(copy)
        packed.rename(logs / packed.name)
        append(log, b"after")
        await asyncio.sleep(QUICK.settle * 3)
        intake.unblock()
        await intake.have(1001)
        await quiet(intake)
    assert intake.records() == [*numbered(0, 1000), b"after"]
    assert intake.losses == []


async def test_copytruncate_is_not_sent_twice_while_the_truncation_is_not_noticed(tmp_path: Path) -> None:
    """A full spool keeps the reader from looking: however long that takes, the copy waits."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake()
    timings = QUICK._replace(settle=0.0)
    async with following(source(tmp_path, "app.log*"), intake, timings):
        await intake.have(10)
        intake.block()
        append(log, b"more")
        await intake.until(lambda: intake._running)
        copytruncate(log, tmp_path / "app.log.1")
        append(log, b"after")
        await asyncio.sleep(QUICK.rescan * 6)
        intake.unblock()
        await intake.have(12)
        await quiet(intake)
    once_each(intake, [*numbered(0, 10), b"more", b"after"])


@NAMES
@pytest.mark.parametrize("pack", [None, packed_gzip, packed_zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("again_longer", [False, True], ids=["shorter", "grown past the position again"])
async def test_copytruncate_while_down(
    tmp_path: Path, patterns: list[str], pack: Pack | None, again_longer: bool
) -> None:
    """What was unread is read from the copy, also a compressed one; nothing twice."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 100))
    intake = MemoryIntake()
    async with following(source(tmp_path, *patterns), intake, QUICK):
        await intake.have(100)
    append(log, *numbered(100, 150))
    copytruncate(log, tmp_path / "app.log.1")
    if pack is not None:
        pack(tmp_path / "app.log.1")
    after = [b"after %d" % n for n in range(300 if again_longer else 1)]
    append(log, *after)
    again = intake.restarted()
    async with following(source(tmp_path, *patterns), again, QUICK):
        await again.have(150 + len(after))
        await quiet(again)
    once_each(again, [*numbered(0, 150), *after])
    assert again.losses == []


async def test_copytruncate_what_is_in_no_copy_is_counted(tmp_path: Path) -> None:
    """Written after the copy and before the truncation: its bytes are known as far as they were seen."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
        await intake.have(10)
        intake.block()
        shutil.copyfile(log, tmp_path / "app.log.1")
        append(log, b"lost")
        await intake.until(lambda: intake.lags == {str(log): 5})
        os.truncate(log, 0)
        append(log, b"new")
        intake.unblock()
        await intake.have(11)
        await intake.until(lambda: intake.losses)
    assert intake.records() == [*numbered(0, 10), b"new"]
    assert intake.losses == [("truncated", 5, str(log))]
    (loss,) = [loss for batch in intake.batches for loss in batch.losses]
    assert (loss.start, loss.end, loss.generation) == (70, 75, intake.ranges()[0].generation)


@pytest.mark.parametrize("header", [b"x", b"# header", HEADER], ids=["tiny", "short", "long"])
async def test_tiny_files_and_files_with_the_same_header_are_all_read(tmp_path: Path, header: bytes) -> None:
    """Files that are called like copies and begin like them, or are equal, but of files that nobody truncates."""
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        append(tmp_path / "app.log", header)
        await intake.have(1)
        append(tmp_path / "app.log.1", header)  # equal: it could become a copy
        append(tmp_path / "app.log.2", header, b"two")
        await intake.have(4)
        append(tmp_path / "app.log.1", b"one")
        append(tmp_path / "app.log", b"zero")
        await intake.have(6)
        await quiet(intake)
    once_each(intake, [header, header, header, b"zero", b"one", b"two"])


def test_names_of_one_family() -> None:
    """Numbers, dates and the usual words; a date may stand before the extension."""
    for name in (
        "app.log",
        "app.log.1",
        "app.log.10.gz",
        "app.log-20240101",
        "app.log.2024-01-01T10:00:00Z.zst",
        "app.log.1.old",
        "app-20240101.log",
        "app.2024-01-01.3.log.gz",
        "app.log~1",
        "app.log.1.tmp",
        "app.log.1.gz.tmp",
    ):
        assert root("/var/log/" + name) == "app.log", name
    assert root("/var/log/20240101") == "20240101"
    assert derived("/var/log/app.log.1", "/var/log/app.log")
    assert not derived("/var/log/app.log", "/var/log/app.log.1")
    assert not derived("/var/log/other.log.1", "/var/log/app.log")
