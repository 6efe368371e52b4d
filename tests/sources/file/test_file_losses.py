"""What can never be read is counted once, with the file's name: as a metric, in /status, and as a GAP that travels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from support.engine import engine, frames
from support.following import QUICK, append, following, source
from support.intake import MemoryIntake, stopping
from support.until import until

from shipper.intake import SourceIntake
from shipper.sources.file import descriptors
from shipper.sources.file.identity import decode_position


@asynccontextmanager
async def reading(root: Path, spool: Path) -> AsyncIterator[SourceIntake]:
    """A source for ``*.log`` below ``root`` at work on a real spool."""
    made = source(root)
    async with engine(spool) as intake, stopping(asyncio.create_task(made.follow(intake, QUICK, once=False))):
        await until(lambda: not made.describe().startswith("looking"))
        yield intake


def lost(intake: SourceIntake, reason: str, file: str | None = None) -> float:
    """What a metric says."""
    if file is None:
        return intake.metrics.value("shipper_lost_bytes_total", reason=reason)
    return intake.metrics.value("shipper_source_lost_bytes_total", source="app", file=file, reason=reason)


async def test_truncation_while_behind_is_counted_with_the_name_and_is_a_gap(tmp_path: Path) -> None:
    """The ranges of the generation join: what was read, then what was lost. Copytruncate, as tailing.md has it."""
    log, spool = tmp_path / "app.log", tmp_path / "spool"
    log.write_bytes(b"one\nunread")
    async with reading(tmp_path, spool) as intake:
        await until(lambda: intake.files == {str(log): 6})
        log.write_bytes(b"")
        await until(lambda: lost(intake, "truncated"))
        assert (lost(intake, "truncated"), lost(intake, "truncated", str(log))) == (6, 6)
        (shown,) = intake.lost.recent()
        assert (shown["file"], shown["bytes"], shown["first"], shown["reason"]) == (str(log), 6, 4, "truncated")
        append(log, b"two")
        await until(lambda: lost(intake, "truncated") and sum(frame.records for frame in frames(spool)) == 2)
    spans = [(frame, span) for frame in frames(spool) for span in frame.meta.ranges]
    (gap,) = [(frame, span) for frame, span in spans if span.lost]
    assert (gap[0].labels, gap[0].records) == ({"host": "edge-1", "file": str(log)}, 0)
    assert (gap[1].start, gap[1].end, gap[1].lost) == (4, 10, "truncated")
    assert gap[1].generation == spans[0][1].generation != spans[-1][1].generation
    assert (spans[0][1].start, spans[0][1].end) == (0, 4)
    async with reading(tmp_path, spool) as again:
        append(log, b"three")
        await until(lambda: sum(frame.records for frame in frames(spool)) == 3)
        assert lost(again, "truncated") == 0, "it is known once and for all"
    assert sum(bool(span.lost) for frame in frames(spool) for span in frame.meta.ranges) == 1


def open_files(folder: Path) -> list[str]:
    """The logs in a folder that this process holds open."""
    paths = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            paths.append(str(descriptor.readlink()))
    return [path for path in paths if path.startswith(str(folder)) and path.endswith(".log")]


async def test_deletion_while_behind_with_the_file_closed_is_counted_with_the_name_and_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of open files nobody holds what is deleted. Of each file every byte was read, or is lost."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 1)
    logs, spool = [tmp_path / f"{number}.log" for number in range(20)], tmp_path / "spool"
    for log in logs:
        log.write_bytes(b"one\nunread")

    def ends() -> list[tuple[str, int, int, str]]:
        spans = [(str(frame.labels.get("file")), span) for frame in frames(spool) for span in frame.meta.ranges]
        return sorted((file, span.start, span.end, span.lost) for file, span in spans if span.start)

    async with reading(tmp_path, spool) as intake:
        await until(lambda: intake.files == {str(log): 6 for log in logs})
        await until(lambda: sum(frame.records for frame in frames(spool)) == len(logs))
        await until(lambda: len(open_files(tmp_path)) <= 1)
        for log in logs:
            log.unlink()
        await until(lambda: len(ends()) == len(logs))
        # Counted a moment after it is durable.
        await until(lambda: lost(intake, "vanished") == 6 * sum(reason == "vanished" for *_, reason in ends()) > 0)
        counted = {str(log): lost(intake, "vanished", str(log)) for log in logs}
        assert lost(intake, "vanished") == sum(counted.values())
        assert sorted({shown["file"] for shown in intake.lost.recent()}) == sorted(f for f, n in counted.items() if n)
    assert ends() == sorted((file, 4, 10, "vanished" if size else "") for file, size in counted.items())
    assert set(counted.values()) <= {0, 6}


async def test_a_loss_and_the_end_of_its_generation_are_durable_together_or_not_at_all(tmp_path: Path) -> None:
    """Killed before it is durable, it is met again after the start, and counted then."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nunread")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
        await intake.records_are(b"one")
        intake.hold = True
        log.write_bytes(b"two\n")
        await intake.until(lambda: intake.losses)
    assert intake.losses == [("truncated", 6, str(log))]
    (carrier,) = [batch for batch in intake.batches if batch.losses]
    assert carrier.state[carrier.losses[0].generation.hex()] is None
    again = intake.restarted()
    assert again.losses == []
    async with following(source(tmp_path), again, QUICK):
        await again.until(lambda: again.losses)
        append(log, b"three")
        await again.records_are(b"one", b"two", b"three")
    assert [size for _, size, _ in again.losses] == [6]
    after = again.restarted()
    async with following(source(tmp_path), after, QUICK):
        append(log, b"four")
        await after.records_are(b"one", b"two", b"three", b"four")
    assert [size for _, size, _ in after.losses] == [6]


async def test_a_mass_of_files_that_vanish_unread_is_counted_to_the_byte(tmp_path: Path) -> None:
    """More than one batch carries; each loss goes with the entry that forgets its file."""
    files = 400
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(files):
        (logs / f"{number}.log").write_bytes(b"one\n" + b"x" * (number + 1))
    intake = MemoryIntake()
    async with following(source(logs), intake, QUICK):
        await intake.have(files)
    for log in logs.iterdir():
        log.unlink()
    again = intake.restarted()
    async with following(source(logs), again, QUICK):
        await again.until(lambda: len(again.losses) >= files)
    assert sorted(again.losses) == sorted(("vanished", n + 1, str(logs / f"{n}.log")) for n in range(files))
    for batch in again.batches:
        assert all(batch.state[loss.generation.hex()] is None for loss in batch.losses)
    assert not any(decode_position(*item) for item in again.durable_state().items())
