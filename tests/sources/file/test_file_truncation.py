"""Files that are truncated in place: nothing twice, and what is lost is counted."""

import os
from pathlib import Path

import pytest
from support.following import QUICK, append, following, source
from support.intake import MemoryIntake


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


@pytest.mark.parametrize("header", [b"", b"#" * 2000 + b"\n"], ids=["no header", "same header"])
async def test_copytruncate_that_grew_past_the_position_again(tmp_path: Path, header: bytes) -> None:
    """It is seen by the hash of the last bytes, also after a restart, and whatever the first ones are."""
    log = tmp_path / "app.log"
    log.write_bytes(header + b"one\ntwo\n")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        read = [*header.splitlines(), b"one", b"two"]
        await intake.records_are(*read)
        log.write_bytes(header + b"longer than before\n")
        read += [*header.splitlines(), b"longer than before"]
        await intake.records_are(*read)
    log.write_bytes(header + b"yet longer than it was before\n")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.records_are(*read, *header.splitlines(), b"yet longer than it was before")


async def test_copytruncate_while_behind_is_counted(tmp_path: Path) -> None:
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
