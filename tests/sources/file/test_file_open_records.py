"""Records that are open when their file goes away: shipped, handed on, or counted; never neither, never both."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.following import NEVER, QUICK, append, following, source
from support.intake import MemoryIntake, raw_records

from shipper.sources.file import FileSource
from shipper.sources.file.multiline import MultilineConfig
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.tail import Tail
from shipper.units import ByteSize, Duration

LATE = MultilineConfig(preset="java", flush_after=Duration(3600.0))
CRI = "2024-05-01T12:00:00.%09dZ %s %s %s"
FIRST = b"INFO zero\nINFO one\n\tat x\n"
"""A record, and one that is open from byte 10 on."""


def cri(*lines: tuple[str, str, str]) -> list[bytes]:
    return [(CRI % (at, *line)).encode() for at, line in enumerate(lines)]


def said(intake: MemoryIntake, stream: str) -> list[str]:
    """The messages of one stream."""
    records: list[dict[str, Any]] = [orjson.loads(record) for record in intake.records()]
    return [record["message"] for record in records if record["stream"] == stream]


def tails_of(made: FileSource) -> list[Tail]:
    return list(made._follower.catalog.tails)


async def test_deleted_while_behind_with_an_open_record_ships_it_and_counts_the_rest(tmp_path: Path) -> None:
    """``close_deleted_after``: what was read goes out, what was not is given up, in one entry."""
    log = tmp_path / "app.log"
    log.write_bytes(FIRST)
    intake = MemoryIntake()
    made = source(tmp_path, multiline=LATE, close_deleted_after=Duration(0.1))
    async with following(made, intake, NEVER):
        await intake.records_are(b"INFO zero")
        intake.block()
        append(log, b"\tat y", b"INFO two")
        await intake.until(lambda: any(tail.stage == AWAY for tail in tails_of(made)))
        log.unlink()
        await intake.until(lambda: not tails_of(made)[0].linked and tails_of(made)[0].given_up)
        intake.unblock()
        await intake.records_are(b"INFO zero", b"INFO one\n\tat x")
        await intake.until(lambda: not intake.durable_state())
    assert intake.losses == [("given_up", len(b"\tat y\nINFO two\n"), str(log))]
    last = intake.batches[-1]
    assert [loss.start for loss in last.losses] == [len(FIRST)]
    assert list(last.state.values()) == [None]


@pytest.mark.parametrize("durable", [True, False])
async def test_deleted_with_an_open_record_while_it_is_closed(tmp_path: Path, durable: bool) -> None:
    """A file that vanishes between two reads: what was read of it goes out with its end. After a crash before that is
    durable exactly those bytes are lost, and counted.
    """
    log = tmp_path / "app.log"
    log.write_bytes(FIRST)
    intake = MemoryIntake()
    made = source(tmp_path, multiline=LATE)
    async with following(made, intake, QUICK):
        await intake.records_are(b"INFO zero")
        await intake.until(lambda: tails_of(made)[0].stage == IDLE)
        made._follower.discovery.descriptors.close(tails_of(made)[0])
        intake.hold = not durable
        log.unlink()
        await intake.records_are(b"INFO zero", b"INFO one\n\tat x")
    assert intake.losses == []
    again = intake.restarted()
    (old,) = again.durable_state() or ("forgotten",)
    async with following(source(tmp_path, multiline=LATE), again, QUICK):
        for number in range(1000):
            append(tmp_path / "other.log", b"INFO %d" % number)  # its batches carry what is forgotten
            await asyncio.sleep(0.02)
            if old not in again.durable_state():
                break
    assert again.losses == ([] if durable else [("vanished", len(FIRST) - 10, str(log))])
    assert again.records(str(log)) == [b"INFO zero", b"INFO one\n\tat x"][: 2 if durable else 1]


@pytest.mark.parametrize("crash", [False, True])
async def test_copytruncate_without_a_copy_keeps_the_open_record(tmp_path: Path, crash: bool) -> None:
    """Nobody finds a copy, so the old generation is forgotten: with the record that goes on after the truncation, not
    before it. After a crash in between its bytes are lost, and counted.
    """
    log = tmp_path / "app.log"
    log.write_bytes(FIRST)
    intake = MemoryIntake()
    made = source(tmp_path, multiline=LATE)
    async with following(made, intake, QUICK):
        await intake.records_are(b"INFO zero")
        old = tails_of(made)[0].generation
        log.write_bytes(b"\tat y\n")
        await intake.until(lambda: [tail.generation == old for tail in tails_of(made)] == [False])
        assert old.hex() in intake.durable_state()
        if not crash:
            append(log, b"INFO two")
            await intake.records_are(b"INFO zero", b"INFO one\n\tat x\n\tat y")
            assert old.hex() not in intake.durable_state()
    again = intake.restarted()
    append(log, b"INFO three")
    async with following(source(tmp_path, multiline=LATE), again, QUICK):
        await again.have(2 if crash else 3)
        await again.until(lambda: old.hex() not in again.durable_state())
    lost = {(reason, size) for reason, size, _ in again.losses}
    if crash:
        assert again.records() == [b"INFO zero", b"\tat y"]
        assert {size for _, size in lost} == {len(FIRST) - 10}
    else:
        assert again.records() == [b"INFO zero", b"INFO one\n\tat x\n\tat y", b"INFO two"]
        assert not lost


@pytest.mark.parametrize("down", [False, True])
async def test_rotate_then_gzip_with_an_open_record(tmp_path: Path, down: bool) -> None:
    """The record begins in what is an archive by now, and ends in the new file: once, whole."""
    log = tmp_path / "app.log"
    log.write_bytes(FIRST)
    intake = MemoryIntake()
    made = source(tmp_path, multiline=LATE)

    def rotate() -> None:
        (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
        append(log, b"\tat y", b"INFO two", b"INFO three")

    expected = [b"INFO zero", b"INFO one\n\tat x\n\tat y", b"INFO two"]
    async with following(made, intake, QUICK):
        await intake.records_are(b"INFO zero")
        if not down:
            rotate()
            await intake.records_are(*expected)
    if down:
        rotate()
        intake = intake.restarted()
        async with following(source(tmp_path, multiline=LATE), intake, QUICK):
            await intake.records_are(*expected)
    assert intake.losses == []


async def test_cri_a_part_behind_an_open_record_keeps_its_place_over_a_rotation(tmp_path: Path) -> None:
    """The record that was open is closed in the new file, by a message that began behind it in the old one: from there
    a restart goes on, and finds the file to be the one that was read.
    """
    log = tmp_path / "app.log"
    append(log, *cri(("stdout", "F", "one"), ("stdout", "P", "two, ")))
    intake = MemoryIntake()
    options: dict[str, Any] = {"container": "cri", "multiline": LATE}
    async with following(source(tmp_path, "app.log*", **options), intake, QUICK):
        await intake.until(lambda: intake.lags.get(str(log)) == 0)
        log.rename(tmp_path / "app.log.1")
        append(log, *cri(("stdout", "F", "its end")))
        await intake.have(1)
    again = intake.restarted()
    async with following(source(tmp_path, "app.log*", **options), again, QUICK):
        append(log, *cri(("stdout", "F", "three")))
        await again.have(2)
        await asyncio.sleep(0.2)
    assert said(again, "stdout") == ["one", "two, its end"]
    assert again.losses == []


async def test_cri_a_stream_that_goes_on_closes_what_is_open_in_the_other_after_8_mib(tmp_path: Path) -> None:
    """A restart reads from there, so it must not be further back: neither in one file nor over a rotation."""
    log = tmp_path / "app.log"
    line = "x" * 10_000
    intake = MemoryIntake()
    append(log, *cri(("stderr", "F", "one"), ("stderr", "P", "two, ")))
    async with following(source(tmp_path, container="cri", multiline=LATE), intake, NEVER):
        append(log, *cri(*[("stdout", "F", line)] * 800))
        await intake.have(799)
        assert said(intake, "stderr") == []
        log.rename(tmp_path / "app.log.1")
        append(log, *cri(*[("stdout", "F", line)] * 800))
        await intake.have(1598)
        assert said(intake, "stderr") == []
        append(log, *cri(*[("stdout", "F", line)] * 50))
        await intake.until(lambda: said(intake, "stderr"))
        assert said(intake, "stderr") == ["one", "two, "]


@pytest.mark.parametrize("once", [False, True])
async def test_very_long_line_in_a_joined_record_is_marked(tmp_path: Path, once: bool) -> None:
    """The label ``truncated`` is that of the record alone which the line ends; the bytes cut off are counted once."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    append(log, b"one", b"\tat x", b"INFO " + b"y" * 100, b"\tat z", b"two", b"\tat " + b"y" * 100, b"three", b"four")
    made = source(tmp_path, multiline=LATE, max_line_bytes=ByteSize(64))
    if once:
        await made.run(intake, once=True)
    else:
        async with following(made, intake, NEVER):
            await intake.have(5)
    marked = [(record, batch.labels.get("truncated")) for batch in intake.batches for record in raw_records(batch)]
    assert (
        marked
        == [
            (b"one\n\tat x", None),
            (b"INFO " + b"y" * 59, 105),
            (b"\tat z", None),
            (b"two\n\tat " + b"y" * 60, 104),
            (b"three", None),
            (b"four", None),
        ][: 6 if once else 5]
    )
    assert intake.losses == [("too_long", 41, str(log)), ("too_long", 40, str(log))]


async def test_very_long_line_at_the_end_of_a_deleted_file_is_marked_alone(tmp_path: Path) -> None:
    """The read that closes the record before it leaves it open: the label is that of a batch."""
    log = tmp_path / "app.log"
    log.write_bytes(b"INFO zero\nINFO one\nINFO " + b"y" * 100)
    intake = MemoryIntake()
    async with following(source(tmp_path, multiline=LATE, max_line_bytes=ByteSize(64)), intake, QUICK):
        await intake.records_are(b"INFO zero")
        log.unlink()
        await intake.have(3)
    marked = [(record, batch.labels.get("truncated")) for batch in intake.batches for record in raw_records(batch)]
    assert marked == [(b"INFO zero", None), (b"INFO one", None), (b"INFO " + b"y" * 59, 105)]


async def test_cri_invalid_text_is_counted(tmp_path: Path) -> None:
    """As for other lines: U+FFFD stands for it from here on."""
    append(tmp_path / "app.log", *cri(("stdout", "F", "good")), b"2024-05-01T12:00:00Z stdout F bad \xff", b"\xfe")
    intake = MemoryIntake()
    await source(tmp_path, container="cri").run(intake, once=True)
    assert len(intake.records()) == 3
    assert intake.metrics.counter("shipper_text_replaced_total", source="app").value == 2


async def test_cri_a_part_that_ends_in_the_next_file_counts_where_it_began(tmp_path: Path) -> None:
    """Ranges say how many records begin in them."""
    log = tmp_path / "app.log"
    append(log, *cri(("stdout", "F", "one"), ("stdout", "P", "two, ")))
    intake = MemoryIntake()
    async with following(source(tmp_path, container="cri"), intake, NEVER):
        await intake.have(1)
        log.rename(tmp_path / "app.log.1")
        append(log, *cri(("stdout", "F", "its end"), ("stdout", "F", "three")))
        await intake.have(3)
        append(log, *cri(("stdout", "F", "four")))
        await intake.have(4)
    counts: dict[bytes, list[int]] = {}
    for span in intake.ranges():
        counts.setdefault(span.generation, []).append(span.read)
    assert [sum(reads) for reads in counts.values()] == [2, 2]
    assert min(read for reads in counts.values() for read in reads) >= 0


async def test_cri_what_is_lost_after_a_crash_begins_where_the_first_open_record_does(tmp_path: Path) -> None:
    """Two streams are open when the file is truncated; one goes on and is closed. Its bytes were shipped."""
    log = tmp_path / "app.log"
    before = cri(("stdout", "P", "one, "), ("stderr", "P", "two, "))
    append(log, *before)
    intake = MemoryIntake()
    options: dict[str, Any] = {"container": "cri", "multiline": LATE}
    made = source(tmp_path, **options)
    async with following(made, intake, QUICK):
        await intake.until(lambda: intake.lags.get(str(log)) == 0 and tails_of(made)[0].offset)
        old = tails_of(made)[0].generation
        log.write_bytes(b"".join(line + b"\n" for line in cri(("stdout", "F", "its end"), ("stdout", "F", "three"))))
        await intake.until(lambda: [tail.generation == old for tail in tails_of(made)] == [False])
        append(log, *cri(("stdout", "F", "four")))
        await intake.have(2)
    again = intake.restarted()
    async with following(source(tmp_path, **options), again, QUICK):
        append(log, *cri(("stdout", "F", "five")))
        await again.until(lambda: again.losses)
    assert [size for _, size, _ in again.losses] == [len(before[1]) + 1]
    assert said(again, "stdout")[:2] == ["one, its end", "three"]
