"""The file source as a whole: what it reads, where it begins, and what it says of itself."""

from pathlib import Path
from typing import Any

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake, running

from shipper.errors import SourceError, SpoolFailed
from shipper.sources.file import FileSource


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

    async def writing(read: Any, most: int = 1) -> Any:
        append(log, b"more")
        return await take(read, most)

    again.take = writing  # type: ignore[method-assign]
    await source(tmp_path).run(again, once=True)
    assert sorted(again.records()) == [b"one", b"three", b"two"]


async def test_once_with_nothing_there_returns(tmp_path: Path) -> None:
    """Also when a pattern names nothing."""
    intake = MemoryIntake()
    await source(tmp_path, "nothing/*.log").run(intake, once=True)
    assert intake.batches == []


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
    """In one phrase: what is unread now, and for the start-up line what was there at the start."""
    made = source(tmp_path)
    assert made.describe() == f"looking for {tmp_path}/*.log"
    assert made.greeting() is None
    append(tmp_path / "a.log", *[b"x" * 1023] * 1536)
    append(tmp_path / "b.log", b"y")
    intake = MemoryIntake()
    intake.block()
    async with following(made, intake):
        assert made.describe() == made.greeting() == "watching 2 files (1.5 MiB unread)"
        intake.unblock()
        await intake.have(1537)
        await intake.until(lambda: made.describe() == "watching 2 files (0 B unread)")
        assert made.greeting() == "watching 2 files (1.5 MiB unread)"


async def test_reading_once_says_which_patterns_mean_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is no failure: there may be nothing to read today."""
    append(tmp_path / "app.log", b"one")
    intake = MemoryIntake()
    made = source(tmp_path, "*.log", "*.txt")
    await made.run(intake, once=True)
    assert intake.records() == [b"one"]
    assert made.problems() == []
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "no file matches" in line]
    assert f"{tmp_path}/*.txt" in said
