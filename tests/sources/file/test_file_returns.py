"""Carriage returns: one before a newline is part of it, also where the line ends at some limit."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from support.following import QUICK, append, following, source
from support.intake import MemoryIntake

from shipper.units import ByteSize, Duration


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
async def test_a_line_of_the_greatest_length_is_not_cut_for_its_carriage_return(tmp_path: Path, encoding: str) -> None:
    """Nothing of it is missing, so nothing is said to be lost."""
    line = "x" * (64 // len("x".encode(encoding)))
    data = f"{line}\r\n{line}\n{line}y\r\n".encode(encoding)
    (tmp_path / "a.log").write_bytes(data)
    intake = MemoryIntake()
    await source(tmp_path, encoding=encoding, max_line_bytes=ByteSize(64)).run(intake, once=True)
    assert intake.records() == [line.encode()] * 3
    assert ["truncated" in batch.labels for batch in intake.batches].count(True) == 1
    (loss,) = [loss for batch in intake.batches for loss in batch.losses]
    assert (loss.start, loss.end) == (len(data) - len("y\r\n".encode(encoding)), len(data) - len("\n".encode(encoding)))


async def test_a_binary_line_keeps_its_carriage_return_and_is_cut(tmp_path: Path) -> None:
    """Nothing is looked at but newlines."""
    (tmp_path / "a.log").write_bytes(b"x" * 63 + b"\r\n" + b"x" * 64 + b"\r\n")
    intake = MemoryIntake()
    await source(tmp_path, encoding="binary", max_line_bytes=ByteSize(64)).run(intake, once=True)
    assert intake.records() == [b"x" * 63 + b"\r", b"x" * 64]
    assert [loss.start for batch in intake.batches for loss in batch.losses] == [65 + 64]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("size", [3, 64])
async def test_half_a_line_does_not_end_with_half_a_newline(tmp_path: Path, encoding: str, size: int) -> None:
    """The carriage return waits for what follows it."""
    log = tmp_path / "a.log"
    line = "x" * (size // len("x".encode(encoding)))
    log.write_bytes(f"one\r\n{line}\r".encode(encoding))
    intake = MemoryIntake()
    options: dict[str, Any] = {"flush_partial_after": Duration(0.05), "max_line_bytes": ByteSize(64)}
    async with following(source(tmp_path, encoding=encoding, **options), intake):
        await intake.records_are(b"one", line.encode())
        with log.open("ab") as file:
            file.write("\nthree\r\n".encode(encoding))
        await intake.records_are(b"one", line.encode(), b"three")
    assert [loss for batch in intake.batches for loss in batch.losses] == []


async def test_a_carriage_return_that_nothing_follows_is_no_record(tmp_path: Path) -> None:
    """When the file goes, it was the end of the half line."""
    log = tmp_path / "a.log"
    log.write_bytes(b"half\r")
    intake = MemoryIntake()
    async with following(source(tmp_path, flush_partial_after=Duration(0.05)), intake, QUICK):
        await intake.records_are(b"half")
        log.rename(tmp_path / "a.log.1")
        append(log, b"next")
        await intake.records_are(b"half", b"next")


async def test_the_lines_of_a_terminal_lose_their_carriage_returns(tmp_path: Path) -> None:
    """``docker run -t`` writes them into its JSON; a runtime may cut a line between the two characters."""
    lines: list[tuple[str, str]] = [("a\r\n", "1"), ("b\r", "2"), ("\n", "3"), ("c\rd\r", "4"), ("e\r\n", "5")]
    docker = [orjson.dumps({"log": log, "stream": "stdout", "time": time}) for log, time in lines]
    append(tmp_path / "docker.log", *docker)
    cri = [("F", "a\r"), ("P", "b\r"), ("F", ""), ("P", "c\rd"), ("F", "\re\r")]
    append(tmp_path / "cri.log", *[f"2026-01-01T00:00:00Z stdout {tag} {text}".encode() for tag, text in cri])
    for name in ("docker", "cri"):
        intake = MemoryIntake()
        await source(tmp_path, f"{name}.log", container="auto").run(intake, once=True)
        assert [orjson.loads(record)["message"] for record in intake.records()] == ["a", "b", "c\rd\re"]
