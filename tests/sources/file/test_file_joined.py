"""Multiline and container formats on real files: live, over rotations, restarts and truncations."""

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.batch import Format, Payload
from shipper.sources.file.multiline import MultilineConfig
from shipper.sources.file.schedule import IDLE
from shipper.units import Duration

SOON = MultilineConfig(preset="java", flush_after=Duration(0.05))
LATE = MultilineConfig(preset="java", flush_after=Duration(3600.0))
TRACE = b"java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\nCaused by: x.Y\n\t... 2 more"
CRI = "2024-05-01T12:00:00.%09dZ %s %s %s"


def cri(*lines: tuple[str, str, str]) -> list[bytes]:
    return [(CRI % (at, *line)).encode() for at, line in enumerate(lines)]


def messages(intake: MemoryIntake) -> list[dict[str, Any]]:
    return [orjson.loads(record) for record in intake.records()]


async def test_multiline_an_open_record_goes_out_when_nothing_more_comes(tmp_path: Path) -> None:
    """After flush_after; what comes then is the next record."""
    log = tmp_path / "app.log"
    append(log, b"one", TRACE)
    intake = MemoryIntake()
    async with following(source(tmp_path, multiline=SOON), intake):
        await intake.records_are(b"one\n" + TRACE)
        append(log, b"two")
        await intake.records_are(b"one\n" + TRACE, b"two")
    assert [(span.start, span.end, span.read) for span in intake.ranges()] == [
        (0, len(TRACE) + 5, 1),
        (len(TRACE) + 5, len(TRACE) + 9, 1),
    ]


async def test_multiline_a_record_that_is_open_waits_for_its_end(tmp_path: Path) -> None:
    """Its position stays at its first line: after a restart it is read from there, whole."""
    log = tmp_path / "app.log"
    lines = TRACE.split(b"\n")
    intake = MemoryIntake()
    append(log, b"INFO one", b"INFO two", *lines[:2])
    async with following(source(tmp_path, multiline=LATE), intake):
        await intake.records_are(b"INFO one")
        append(log, lines[2])
        await asyncio.sleep(0.1)
        assert intake.records() == [b"INFO one"]
    again = intake.restarted()
    append(log, *lines[3:], b"INFO three")
    async with following(source(tmp_path, multiline=LATE), again):
        await again.records_are(b"INFO one", b"INFO two\n" + TRACE)
    assert isinstance(again.batches[-1].payload, Payload)
    assert again.batches[-1].payload.format is Format.SIZED


async def test_multiline_once_closes_everything(tmp_path: Path) -> None:
    """``run --once`` waits for nothing; half lines are part of the last record."""
    (tmp_path / "app.log").write_bytes(b"one\n\tat x\n\tat half")
    intake = MemoryIntake()
    await source(tmp_path, multiline=LATE).run(intake, once=True)
    assert intake.records() == [b"one\n\tat x\n\tat half"]


@pytest.mark.parametrize("restart", [False, True])
async def test_multiline_joined_across_rotation(tmp_path: Path, restart: bool) -> None:
    """A trace that begins in the old file and ends in the new one is one record, of two ranges with both positions; so
    it is after a restart in the middle of it.
    """
    log = tmp_path / "app.log"
    lines = TRACE.split(b"\n")
    intake = MemoryIntake()
    made = source(tmp_path, multiline=LATE)
    append(log, b"INFO zero", b"INFO one", *lines[:2])
    async with following(made, intake):
        await intake.records_are(b"INFO zero")
        log.rename(tmp_path / "app.log.1")
        append(log, *lines[2:4])
        await asyncio.sleep(0.2)
        assert intake.records() == [b"INFO zero"]
        if not restart:
            append(log, *lines[4:], b"INFO two")
            await intake.records_are(b"INFO zero", b"INFO one\n" + TRACE)
    if restart:
        intake = intake.restarted()
        append(log, *lines[4:], b"INFO two")
        async with following(made, intake):
            await intake.records_are(b"INFO zero", b"INFO one\n" + TRACE)
    last = intake.batches[-1]
    size = len(b"\n".join([b"INFO zero", b"INFO one", *lines[:2]])) + 1
    rest = len(b"\n".join(lines[2:])) + 1
    assert [(span.start, span.end, span.read) for span in last.ranges] == [(10, size, 1), (0, rest, 0)]
    assert {span.generation.hex() for span in last.ranges} <= set(last.state)
    again = intake.restarted()
    await source(tmp_path, "app.log*", multiline=LATE).run(again, once=True)
    assert again.records() == [b"INFO zero", b"INFO one\n" + TRACE, b"INFO two"]


@pytest.mark.parametrize("closed", [False, True])
async def test_multiline_late_lines_of_a_rotated_file_do_not_overtake(tmp_path: Path, closed: bool) -> None:
    """What is open is closed before them, and they are read after that: also where the rotated file was closed to save
    descriptors.
    """
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    made = source(tmp_path, "app.log*", multiline=LATE)
    append(log, b"INFO zero", b"INFO one")
    with log.open("ab", buffering=0) as writer:
        async with following(made, intake):
            await intake.records_are(b"INFO zero")
            log.rename(tmp_path / "app.log.1")
            append(log, b"\tat x")
            tails = made.__dict__["_follower"].catalog.tails
            await intake.until(lambda: len(tails) == 2 and all(tail.offset for tail in tails))
            if closed:
                (older,) = (tail for tail in tails if tail.lent is not None)
                await intake.until(lambda: older.stage == IDLE)
                made.__dict__["_follower"].discovery.descriptors.close(older)
            writer.write(b"INFO late\nINFO later\n")
            await intake.have(3)
    assert intake.records() == [b"INFO zero", b"INFO one\n\tat x", b"INFO late"]
    again = intake.restarted()
    await source(tmp_path, "app.log*", multiline=LATE).run(again, once=True)
    assert sorted(again.records()) == [b"INFO late", b"INFO later", b"INFO one\n\tat x", b"INFO zero"]


async def test_multiline_an_open_record_outlives_copytruncate(tmp_path: Path) -> None:
    """What was read of it is in memory; it goes on in what is written after the truncation."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    append(log, b"INFO zero", b"INFO one", b"\tat x")
    async with following(source(tmp_path, multiline=LATE), intake, QUICK):
        await intake.records_are(b"INFO zero")
        (tmp_path / "copy").write_bytes(log.read_bytes())
        log.write_bytes(b"")
        append(log, b"\tat y", b"INFO two")
        await intake.records_are(b"INFO zero", b"INFO one\n\tat x\n\tat y")
    assert intake.losses == []


async def test_multiline_a_deleted_file_is_closed_with_its_record(tmp_path: Path) -> None:
    """Nothing is going to be added."""
    log = tmp_path / "app.log"
    intake = MemoryIntake()
    append(log, b"INFO zero", b"INFO one", b"\tat x")
    async with following(source(tmp_path, multiline=LATE), intake, QUICK):
        await intake.records_are(b"INFO zero")
        log.unlink()
        await intake.records_are(b"INFO zero", b"INFO one\n\tat x")
    assert intake.losses == []


async def test_cri_partial_lines_are_joined_by_stream_across_rotation(tmp_path: Path) -> None:
    """As kubelet rotates: fluent-bit makes two broken records of such a line."""
    folder = tmp_path / "pods" / "shop_web-7d9_0f3c-11" / "nginx"
    folder.mkdir(parents=True)
    log = folder / "0.log"
    first = cri(("stdout", "F", "whole"), ("stdout", "P", "be"), ("stderr", "P", "er"), ("stdout", "P", "gin"))
    append(log, *first)
    intake = MemoryIntake()
    made = source(tmp_path, "pods/*/*/*.log", container="cri")
    async with following(made, intake):
        await intake.have(1)
        log.rename(folder / "0.log.20240501-120000")
        append(log, *cri(("stderr", "F", "ror"), ("stdout", "P", "ning, "), ("stdout", "F", "end")))
        await intake.have(3)
    assert messages(intake) == [
        {"message": "whole", "stream": "stdout", "timestamp": "2024-05-01T12:00:00.000000000Z"},
        {"message": "error", "stream": "stderr", "timestamp": "2024-05-01T12:00:00.000000002Z"},
        {"message": "beginning, end", "stream": "stdout", "timestamp": "2024-05-01T12:00:00.000000001Z"},
    ]
    assert intake.batches[0].labels == {
        "host": "edge-1",
        "source": "app",
        "file": str(log),
        "namespace": "shop",
        "pod": "web-7d9",
        "pod_uid": "0f3c-11",
        "container": "nginx",
        "restart": "0",
    }


async def test_cri_lines_that_are_none_are_kept(tmp_path: Path) -> None:
    """With parse_error."""
    append(tmp_path / "a.log", b"no such line", *cri(("stdout", "F", "yes")))
    intake = MemoryIntake()
    await source(tmp_path, container="cri").run(intake, once=True)
    odd, good = messages(intake)
    assert odd["message"] == "no such line"
    assert odd["parse_error"] == "container: the line is not of the runtime's format"
    assert good["message"] == "yes"


async def test_docker_json_file_lines_and_the_container_id_of_the_path(tmp_path: Path) -> None:
    """Partial lines have no newline in ``log``; attributes are left out."""
    name = "ab" * 32
    folder = tmp_path / "containers" / name
    folder.mkdir(parents=True)
    lines = [
        {"log": "a \u003cb\u003e\n", "stream": "stdout", "time": "2024-05-01T12:00:00.1Z"},
        {"log": "be", "stream": "stderr", "attrs": {"tag": "x"}, "time": "2024-05-01T12:00:00.2Z"},
        {"log": "gin\n", "stream": "stderr", "time": "2024-05-01T12:00:00.3Z"},
    ]
    append(folder / f"{name}-json.log", *map(orjson.dumps, lines), b'{"log":"x\\n","stream":"odd","time":""}')
    intake = MemoryIntake()
    await source(tmp_path, "containers/*/*.log", container="docker").run(intake, once=True)
    assert messages(intake) == [
        {"message": "a <b>", "stream": "stdout", "timestamp": "2024-05-01T12:00:00.1Z"},
        {"message": "begin", "stream": "stderr", "timestamp": "2024-05-01T12:00:00.2Z"},
        {
            "message": '{"log":"x\\n","stream":"odd","time":""}',
            "parse_error": "container: the line is not of the runtime's format",
        },
    ]
    assert intake.batches[0].labels["container_id"] == name


async def test_container_streams_have_multiline_records_of_their_own(tmp_path: Path) -> None:
    """Interleaved; a record has the time of its first line. A stream that goes on holds the other one back no longer
    than flush_after.
    """
    log = tmp_path / "a.log"
    lines = cri(
        ("stderr", "F", "java.lang.E: x"),
        ("stdout", "F", "INFO 1"),
        ("stderr", "P", "\tat "),
        ("stdout", "F", "INFO 2"),
        ("stderr", "F", "y"),
        ("stdout", "F", "INFO 3"),
    )
    append(log, *lines)
    intake = MemoryIntake()
    made = source(tmp_path, container="auto", multiline=MultilineConfig(preset="java", flush_after=Duration(0.2)))
    async with following(made, intake):
        for line in numbered(4, 200):
            append(log, *cri(("stdout", "F", line.decode())))
            await asyncio.sleep(0.01)
            if any(record["stream"] == "stderr" for record in messages(intake)):
                break
        else:
            pytest.fail("stderr was held back")
    by_stream = [record for record in messages(intake) if record["stream"] == "stderr"]
    assert by_stream == [
        {"message": "java.lang.E: x\n\tat y", "stream": "stderr", "timestamp": "2024-05-01T12:00:00.000000000Z"}
    ]


async def test_own_patterns_are_a_setting_of_the_source(tmp_path: Path) -> None:
    """``multiline: {start: ...}``."""
    append(tmp_path / "a.log", b"2024 a", b"b", b"2025 c")
    intake = MemoryIntake()
    config = MultilineConfig(start=re.compile(r"^\d{4} "))
    await source(tmp_path, multiline=config).run(intake, once=True)
    assert intake.records() == [b"2024 a\nb", b"2025 c"]
