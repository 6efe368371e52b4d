"""What stands in files: half lines, long ones, encodings, rubbish."""

from pathlib import Path
from typing import Any

import pytest
from support.following import NEVER, append, following, source
from support.intake import MemoryIntake

from shipper.errors import SpoolFailed
from shipper.units import ByteSize, Duration


async def test_half_a_line_at_the_end(tmp_path: Path) -> None:
    """It waits for its newline, over a restart too."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nha")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
        with log.open("ab") as file:
            file.write(b"lf")
        append(tmp_path / "other.log", b"other")
        await intake.records_are(b"one", b"other")
    again = intake.restarted()
    append(log, b" and half")
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"other", b"half and half")
    assert not any(span.partial for span in again.ranges())


async def test_very_long_line_is_truncated_and_marked(tmp_path: Path) -> None:
    """Its beginning goes on with its size; the lines around it are whole; what was cut off is counted."""
    log = tmp_path / "app.log"
    append(log, b"before", b"z" * 3_000_000, b"after")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"before", b"z" * intake.max_record, b"after")
    assert [batch.labels.get("truncated") for batch in intake.batches] == [None, 3_000_000, None]
    assert intake.losses == [("too_long", 3_000_000 - intake.max_record, str(log))]
    assert [(s.start, s.end, s.read, s.kept, s.failed) for s in intake.ranges()] == [
        (0, 7, 1, 1, 0),
        (7, 3_000_008, 1, 1, 0),
        (3_000_008, 3_000_014, 1, 1, 0),
    ]


async def test_very_long_line_is_split_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A piece is a record whose range ends inside the line; what was durable of it is not read again."""
    line = bytes(range(48, 123)) * 100
    append(tmp_path / "app.log", b"before", line, b"after")
    options: dict[str, Any] = {"long_lines": "split", "max_line_bytes": ByteSize(1000)}
    intake = MemoryIntake()
    async with following(source(tmp_path, **options), intake):
        await intake.have(10)
    intake = MemoryIntake()
    intake.fail_at = 4
    with pytest.raises(SpoolFailed):
        await source(tmp_path, **options).follow(intake, NEVER, once=False)
    again = intake.restarted()
    again.fail_at = None
    pieces = [line[at : at + 1000] for at in range(0, 7500, 1000)]
    async with following(source(tmp_path, **options), again):
        await again.records_are(b"before", *pieces, b"after")
    assert [span.partial for span in again.ranges()][:3] == [False, True, True]


async def test_half_a_line_at_the_end_goes_on_after_flush_partial_after(tmp_path: Path) -> None:
    """Its range says so, and what follows is a record of its own; a newline alone is none."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nhalf")
    intake = MemoryIntake()
    async with following(source(tmp_path, flush_partial_after=Duration(0.05)), intake):
        await intake.records_are(b"one", b"half")
        append(log, b"")
        append(log, b"three")
        await intake.records_are(b"one", b"half", b"three")
    assert [(s.start, s.end, s.partial) for s in intake.ranges()][:2] == [(0, 4, False), (4, 8, True)]


async def test_half_a_line_longer_than_a_read_goes_on_after_flush_partial_after(tmp_path: Path) -> None:
    """The first read of it, behind whole lines, does not see all of it."""
    log = tmp_path / "app.log"
    half = b"x" * 5000
    log.write_bytes(b"one\n" + half)
    intake = MemoryIntake(max_bytes=100)
    async with following(source(tmp_path, flush_partial_after=Duration(0.05)), intake):
        await intake.records_are(b"one", half)


async def test_encodings_and_nul_holes_are_counted(tmp_path: Path) -> None:
    """What is no text becomes U+FFFD, a line that has some counts once; a hole counts in bytes."""
    log = tmp_path / "app.log"
    log.write_bytes(b"\0" * 5000 + "中文\n".encode("gbk") + b"bad \x81\n" + b"\0\0more\n")
    intake = MemoryIntake()
    async with following(source(tmp_path, encoding="gbk"), intake):
        await intake.records_are("中文".encode(), "bad \ufffd".encode(), b"more")
    assert intake.metrics.counter("shipper_source_holes_bytes_total", source="app").value == 5002
    assert intake.metrics.counter("shipper_text_replaced_total", source="app").value == 1


async def test_crlf_nul_bytes_binary_rubbish(tmp_path: Path) -> None:
    """One carriage return before a newline is cut, NULs at the start of a line too; the rest passes verbatim, and
    ``binary`` cuts nothing.
    """
    log = tmp_path / "app.log"
    rubbish = [b"crlf\r", b"a\rb\0\r\r", b"\0\0\0x", b"\xff\xfe\x80", b"", b"\xc3\x28"]
    append(log, *rubbish)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"crlf", b"a\rb\0\r", b"x", *rubbish[3:])
    intake = MemoryIntake()
    async with following(source(tmp_path, encoding="binary"), intake):
        await intake.records_are(*rubbish)
