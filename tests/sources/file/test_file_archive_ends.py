"""The ends of archives: an archive is complete, so its last line needs no newline."""

import gzip
from pathlib import Path

import pytest
import zstandard
from support.following import NEVER, QUICK, following, source
from support.intake import MemoryIntake

from shipper.sources.file.schedule import IDLE

PACKED = {"gz": gzip.compress, "zst": lambda data: zstandard.ZstdCompressor().compress(data)}


@pytest.mark.parametrize("max_bytes", [8, 256 * 1024])
@pytest.mark.parametrize("suffix", PACKED)
async def test_the_last_line_of_an_archive_is_read_without_a_newline(
    tmp_path: Path, suffix: str, max_bytes: int
) -> None:
    """At once, and by itself: nothing newer waits for it. Then the archive is closed."""
    (tmp_path / f"m.log.{suffix}").write_bytes(PACKED[suffix](b"m1\nm2\nm3 no newline"))
    intake = MemoryIntake(max_bytes=max_bytes)
    made = source(tmp_path, "*.log.*")
    async with following(made, intake, NEVER):
        await intake.records_are(b"m1", b"m2", b"m3 no newline")
        (tail,) = made._follower.catalog.tails
        await intake.until(lambda: tail.stage == IDLE and tail.descriptor < 0)
    assert intake.ranges()[-1].end == 19
    assert intake.losses == []


async def test_the_rest_of_a_known_log_is_read_from_its_archive_to_the_last_byte(tmp_path: Path) -> None:
    """It was compressed while shipper was down, and no new log stands in its place."""
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo\nhal")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
        await intake.records_are(b"one", b"two")
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(b"one\ntwo\nhalf\nthree\nlast"))
    log.unlink()
    again = intake.restarted()
    async with following(source(tmp_path), again, QUICK):
        await again.records_are(b"one", b"two", b"half", b"three", b"last")
    assert again.losses == []


async def test_archives_whose_ends_cannot_be_read_do_not_hold_up_the_next(tmp_path: Path) -> None:
    """Half a character is no line: what comes after it is read all the same."""
    for name in ("a", "b"):
        text = f"{name}1\n{name}2\n".encode("utf-16-le") + b"x"
        (tmp_path / f"{name}.log.gz").write_bytes(gzip.compress(text))
    intake = MemoryIntake()
    async with following(source(tmp_path, "*.gz", encoding="utf-16-le"), intake, NEVER):
        await intake.have(4)
    assert sorted(intake.records()) == [b"a1", b"a2", b"b1", b"b2"]
