"""The follower: whose turn it is, and when."""

import gzip
import math
import os
import time
from pathlib import Path

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake

from shipper.sources.file.follow import Follower
from shipper.sources.file.globs import Globs, Sighting
from shipper.sources.file.identity import open_regular, seal_of
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.tail import Tail


async def test_a_half_line_is_read_when_its_time_comes_and_nothing_more_came(tmp_path: Path) -> None:
    """The tail is followed on; what comes later is read as usual."""
    log = tmp_path / "app.log"
    log.write_bytes(b"whole\nhalf")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake):
        await intake.records_are(b"whole")
        (tail,) = made._follower.catalog.tails
        await intake.until(lambda: tail.stage == IDLE)
        tail.flush_at = tail.half_due = time.monotonic()
        made._follower.schedule.idle(tail)
        made._follower._work.set()
        await intake.records_are(b"whole", b"half")
        assert intake.ranges()[-1].partial
        assert tail.flush_at == math.inf
        append(log, b" done", b"more")
        await intake.records_are(b"whole", b"half", b" done", b"more")


async def test_one_hot_file_does_not_starve_a_thousand_quiet_ones(tmp_path: Path) -> None:
    """Fairness, in turns and not in seconds: however much waits in the hot file, and with most files closed, all quiet
    ones have their lines on the way after a few frames of it, as many as two visits take.
    """
    hot, quiet = tmp_path / "hot.log", [tmp_path / f"quiet-{number:04}.log" for number in range(1000)]
    for path in [hot, *quiet]:
        append(path, b"first")
    intake = MemoryIntake(max_bytes=4096)
    async with following(source(tmp_path), intake):
        await intake.have(1001)
        intake.block()
        append(hot, *[b"x" * 63] * 64 * 300)
        for path in quiet:
            append(path, b"second")
        began = len(intake.batches)
        intake.unblock()
        await intake.until(lambda: len(intake.batches) >= began + 1000 + 300)
    files = [str(batch.labels["file"]) for batch in intake.batches[began:]]
    last = max(at for at, file in enumerate(files) if file != str(hot))
    assert files.count(str(hot)) == 300
    assert len(set(files)) == 1001
    assert 1 <= files[:last].count(str(hot)) <= 8


async def test_thousands_of_files_that_are_idle_are_not_polled(tmp_path: Path) -> None:
    """Nothing is due for any of them until an event or the rescan comes; then one file is looked at."""
    for number in range(1000):
        append(tmp_path / f"{number:04}.log", b"first")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake):
        await intake.have(1000)
        schedule, tails = made._follower.schedule, made._follower.catalog.tails
        await intake.until(lambda: all(tail.stage == IDLE for tail in tails))
        assert not schedule.has_ready
        assert schedule.next_due == math.inf
        append(tmp_path / "0500.log", b"second")
        await intake.have(1001)
        assert [tail.label for tail in tails if tail.stage != IDLE] in ([], [str(tmp_path / "0500.log")])


def renamed(tmp_path: Path, *, packed: bool) -> tuple[Follower, Tail, Path]:
    """A follower with one file, which is closed and was renamed to where no pattern leads."""
    log, place = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    log.write_bytes(gzip.compress(b"one\n") if packed else b"one\n")
    follower = Follower(MemoryIntake(), Globs([str(log)], []))
    sighting = Sighting(str(log), str(log), log.stat(), str(log))
    tail = follower.catalog.fresh(sighting)
    descriptor, info = open_regular(str(log))
    if packed:
        tail.pack("gzip", seal_of(descriptor, info.st_size), 4)
        tail.offset = tail.searched = 4
    follower.catalog.embody(tail, sighting, info, descriptor)
    tail.fix()
    tail.close()
    log.rename(place)
    follower.catalog.link(follower.catalog.globs.scan(), {})
    return follower, tail, place


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_the_reader_has_opened_again_meanwhile_is_left_to_it(
    tmp_path: Path, packed: bool, claimed: bool
) -> None:
    """A scan looked for a closed file that was renamed while a worker thread opened it: its descriptor is not closed
    under the thread (the number would be another file's soon), and nobody else gives it its next turn.
    """
    follower, tail, place = renamed(tmp_path, packed=packed)
    if not claimed:
        follower.catalog.unclaim(tail)
    search = follower.catalog.search()
    assert search is not None
    sought = search()
    os.utime(place, (1, 1))  # it changed meanwhile
    follower.schedule.away(tail)
    tail.refresh()
    opened = tail.descriptor
    for found in sought:
        follower.discovery._sought(found, [])
    assert (tail.descriptor, tail.stage) == (opened, AWAY)
    assert os.fstat(opened).st_ino == tail.inode
    tail.close()


def test_an_archive_that_was_read_is_not_opened_again_by_every_scan(tmp_path: Path) -> None:
    """It is as it was, whatever it holds."""
    follower, tail, place = renamed(tmp_path, packed=True)
    follower.schedule.idle(tail)
    search = follower.catalog.search()
    assert search is not None
    for found in search():
        follower.discovery._sought(found, [])
    assert (tail.stage, tail.where) == (IDLE, str(place))
