"""Few open files, however many there are."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.following import append, following, numbered, source
from support.intake import MemoryIntake, raw_records

from shipper.sources.file import descriptors
from shipper.sources.file.descriptors import Descriptors, changed
from shipper.sources.file.identity import open_regular
from shipper.sources.file.schedule import AWAY, IDLE, READY
from shipper.sources.file.tail import Tail


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str, int], Tail]]:
    """Opens files of a name, in a stage."""
    tails = []

    def make(name: str, stage: int) -> Tail:
        path = str(tmp_path / name)
        append(Path(path), name.encode())
        tail = Tail(path, {}, linked=True)
        tail.adopt(*open_regular(path), path)
        tail.stage = stage
        tails.append(tail)
        return tail

    yield make
    for tail in tails:
        tail.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets the process open so many files more than it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(more: int) -> None:
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))

    monkeypatch.setattr(descriptors, "_SHARE", 1)  # as if nobody else needed any
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_those_are_closed_first_that_are_read_last(opened: Callable[[str, int], Tail]) -> None:
    """Idle ones, the one read longest ago first; then those whose turn comes last; what lost its path after all others,
    and never what is being read.
    """
    unlinked = opened("unlinked", IDLE)
    unlinked.linked = False
    away = opened("away", AWAY)
    first, second = opened("first", IDLE), opened("second", IDLE)
    next_one, last_one = opened("next", READY), opened("last", READY)
    held = Descriptors()
    for tail in (away, unlinked, second, first, next_one, last_one):
        held.used(tail)
    held.used(second)
    closed = []
    for most in (5, 4, 3, 2, 1, 1):
        held.most = most
        held.trim()
        closed += [tail for tail in (away, unlinked, first, second, next_one, last_one) if tail.descriptor < 0]
    assert list(dict.fromkeys(closed)) == [first, second, last_one, next_one, unlinked]
    assert len(held) == 1


def test_a_shortage_halves_what_stays_open_and_many_errors_are_one(opened: Callable[[str, int], Tail]) -> None:
    """Other errors are none; with one file open there is nothing to be had by closing."""
    held = Descriptors()
    for number in range(8):
        held.used(opened(f"{number}", IDLE))
    assert not held.short(None)
    assert not held.short(OSError(errno.EACCES, "no"))
    assert held.short(OSError(errno.EMFILE, "Too many open files"))
    assert held.short(OSError(errno.EMFILE, "Too many open files"))
    assert (len(held), held.most) == (4, 4)
    held.most, held._lowered = 1, 0.0
    assert not held.short(OSError(errno.ENFILE, "Too many open files in system"))


def test_what_changed_is_seen_without_events(opened: Callable[[str, int], Tail]) -> None:
    """Whatever the file is called by now."""
    same, grown = opened("same", IDLE), opened("grown", IDLE)
    os.unlink(same.path)
    assert changed([grown]) == []
    append(Path(grown.path), b"more")
    os.rename(grown.path, f"{grown.path}.1")
    same.look()
    assert changed([same, grown]) == [grown]
    number, grown.descriptor = grown.descriptor, 1 << 20
    assert changed([grown]) == [grown]
    grown.descriptor = number


async def test_a_thousand_files_are_read_round_and_round_with_few_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in pieces, closed and opened in between: every line once and in order."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 16)
    paths = [tmp_path / f"{number:04}.log" for number in range(1000)]
    for path in paths:
        append(path, *numbered(0, 12))
    intake = MemoryIntake(max_bytes=48, max_delay=0.0)
    read: dict[str, list[bytes]] = {str(path): [] for path in paths}

    def all_read(lines: int) -> bool:
        for batch in intake.batches:
            read[str(batch.labels["file"])] += raw_records(batch)
        intake.batches.clear()
        return sum(map(len, read.values())) >= lines

    before = len(os.listdir("/proc/self/fd"))
    async with following(source(tmp_path), intake):
        await intake.until(lambda: all_read(12_000))
        assert len(os.listdir("/proc/self/fd")) <= before + 16 + 8
        for path in paths:
            append(path, *numbered(12, 16))
        await intake.until(lambda: all_read(16_000))
    assert read == {str(path): numbered(0, 16) for path in paths}
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_a_file_that_was_written_anew_while_it_was_closed_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified at every reopen: with the same inode number, and more bytes than before, it is another generation."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 1)
    names = ["a.log", "b.log", "c.log", "d.log"]
    for name in names:
        append(tmp_path / name, b"old", b"lines")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake):
        await intake.have(8)
        closed = next(tail for tail in made._follower.catalog.tails if tail.descriptor < 0)
        Path(closed.path).write_bytes(b"another content, longer than the old one\n")
        await intake.until(lambda: len(intake.records()) == 9)
    assert intake.records()[-1] == b"another content, longer than the old one"
    assert len({span.generation for span in intake.ranges()}) == 5


@pytest.mark.parametrize("once", [True, False])
async def test_where_no_more_files_can_be_opened_it_goes_on_with_fewer(
    tmp_path: Path, few: Callable[[int], None], capfd: pytest.CaptureFixture[str], *, once: bool
) -> None:
    """EMFILE, for real: nothing is lost, and the log says once what to do."""
    paths = [tmp_path / f"{number:03}.log" for number in range(200)]
    for path in paths:
        append(path, *numbered(0, 3))
    intake = MemoryIntake()
    made = source(tmp_path)
    few(24)
    if once:
        await made.run(intake, once=True)
    else:
        async with following(made, intake):
            await intake.have(600)
            for path in paths:
                append(path, b"more")
            await intake.have(800)
    assert all(intake.records(str(path))[:3] == numbered(0, 3) for path in paths)
    assert len(intake.records()) == (600 if once else 800)
    assert not made.problems()
    said = capfd.readouterr().err
    assert said.count("no more files can be opened") == 1
    assert "LimitNOFILE" in said
