"""Turns and frames: many files at a time, and how soon a line goes."""

import os
from pathlib import Path

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake

from shipper.sources.file import descriptors
from shipper.sources.file.turns import FRAMES


async def test_thousands_of_files_with_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those read longest ago are closed, woken all the same, and go on where they were."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 16)
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


async def test_one_hot_file_does_not_starve_the_others(tmp_path: Path) -> None:
    """A quiet file gets its turn after four frames of the hot one."""
    append(tmp_path / "hot.log", *[b"x" * 99] * 20_000)
    append(tmp_path / "quiet.log", b"here")
    intake = MemoryIntake(max_bytes=16 * 1024)
    async with following(source(tmp_path), intake):
        await intake.until(lambda: b"here" in intake.records())
        place = next(n for n, batch in enumerate(intake.batches) if batch.labels["file"].endswith("quiet.log"))
        assert place <= FRAMES
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
