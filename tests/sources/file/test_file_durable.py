"""Logs are synced before they are read: a power cut takes nothing from them that was shipped."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file import durable, handle, worker
from shipper.sources.file.examine import examine
from shipper.sources.file.globs import Sighting
from shipper.sources.file.identity import digest, open_regular
from shipper.sources.file.reading import read
from shipper.sources.file.tail import Gone, Tail

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "reserve", "fill", "truncate", "shorten", "replace", "reopen", "look"]),
        st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\0"]), max_size=20).map(b"".join),
        st.integers(0, 4),
    ),
    max_size=25,
)
"""What happens, with which bytes, and how many reads come after it."""
LONG = b"x" * 1100 + b"\n"
"""More than what a file is recognised by."""


class Synced:
    """What a file held when it was synced last; the syncs are real."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.content = b""
        self.count = 0
        monkeypatch.setattr(handle, "sync", self._sync)

    def _sync(self, descriptor: int, label: str) -> None:
        durable.sync(descriptor, label)
        self.content = self.path.read_bytes()
        self.count += 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(1, 60), st.sampled_from([b"", LONG]))
@example([("append", b"a\n", 3), ("reserve", b"bcd", 2), ("fill", b"b\n", 2), ("append", b"c\n", 2)], 1, b"")
@example([("append", b"a\na\na\n", 2), ("append", b"\n\n", 1)], 3, LONG)
@example([("append", b"a", 1), ("reserve", b"abc", 2), ("fill", b"\n\n\n\n\n", 2)], 60, LONG)
@example([("append", b"a", 1), ("reserve", b"abc", 2), ("fill", b"\n\n", 2)], 60, LONG)
@example([("append", b"a\na\na\na\n", 1), ("shorten", b"abc", 1), ("append", b"b\nb\nb\nb\n", 4)], 3, LONG)
@example([("append", b"a\n", 3), ("replace", b"\n", 0), ("look", b"", 0)], 3, LONG)
@example([("append", b"\n", 1), ("replace", b"\n", 1), ("append", b"\n", 1)], 1, b"")
def test_nothing_is_read_that_is_not_on_the_disk(
    tmp_path: Path, steps: list[tuple[str, bytes, int]], window: int, before: bytes
) -> None:
    """Appended, written in place into room made before, truncated, written anew."""
    path = tmp_path / "app.log"
    path.write_bytes(before)
    with pytest.MonkeyPatch.context() as patch:
        synced = Synced(path, patch)
        tail = opened(path)
        tail.sync()
        read(tail, len(LONG), len(LONG))
        for number, (step, data, reads) in enumerate(steps):
            change(path, step, data, number)
            if step == "reopen":
                tail.close()
            if step == "look":
                tail.look()
            for _ in range(reads):
                try:
                    chunk = read(tail, window, 120)
                except Gone:
                    tail = opened(path)
                    continue
                if chunk is not None:
                    assert synced.content[chunk.start : chunk.end] == path.read_bytes()[chunk.start : chunk.end]
            assert digest(synced.content[: tail.prefix_size]) == tail.prefix
        tail.close()


def change(path: Path, step: str, data: bytes, number: int) -> None:
    """One thing that a program does to its log."""
    there = path.read_bytes()
    match step:
        case "append":
            path.write_bytes(there + data)
        case "reserve":
            path.write_bytes(there + bytes(len(data)))
        case "fill":
            with path.open("r+b") as file:
                file.seek(len(there.rstrip(b"\0")))
                file.write(data)
        case "truncate":
            os.truncate(path, len(there) // 2)
        case "shorten":
            os.truncate(path, max(0, len(there) - len(data)))
        case "replace":
            path.write_bytes(b"%d:" % number + data)
    os.utime(path, ns=(number, 10**18 + number))  # the clock of files has a tick of milliseconds


def opened(path: Path) -> Tail:
    """A tail of what is there."""
    tail = Tail(str(path), {})
    descriptor, info = open_regular(str(path))
    tail.adopt(descriptor, info, str(path))
    return tail


def test_a_file_that_nobody_writes_to_is_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog costs one sync, whatever its size."""
    path = tmp_path / "app.log"
    append(path, *numbered(0, 5000))
    synced = Synced(path, monkeypatch)
    tail = opened(path)
    reads = 0
    while read(tail, 256, 256) is not None:
        reads += 1
    tail.close()
    assert (synced.count, reads > 50) == (1, True)


class Together:
    """How often file systems were synced; it is really done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._really = durable.sync_file_system
        monkeypatch.setattr(durable, "sync_file_system", self._sync)

    def _sync(self, descriptor: int) -> bool:
        self.count += 1
        return self._really(descriptor)


@pytest.mark.parametrize("long", [False, True])
async def test_files_that_are_read_together_are_synced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """By their file system: one by one a hundred files would keep a disk busy. Not again where that takes long."""
    together = Together(monkeypatch)
    if long:
        monkeypatch.setattr(worker, "_LONG", 0.0)
    logs = [tmp_path / f"{number}.log" for number in range(10)]
    synced = Synced(logs[0], monkeypatch)
    for log in logs:
        append(log, b"line")
    intake = MemoryIntake()
    async with following(source(tmp_path, "*.log"), intake, QUICK):
        for turn in range(1, 5):
            await intake.have(10 * turn)
            for log in logs:
                append(log, b"line")
    assert together.count + synced.count < 40 if not long else together.count == 1


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_files_are_on_the_disk_before_they_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, ends: bool
) -> None:
    """Else a power cut makes another file of one that is known and not read, and nobody reads it: it is too old."""
    together = Together(monkeypatch)
    logs = [tmp_path / f"{number}.log" for number in range(count)]
    for log in logs:
        append(log, b"line")
    synced = Synced(logs[0], monkeypatch)
    sightings = [Sighting(str(log), str(log), log.stat()) for log in logs]
    for found in examine(sightings, {}, [str(log) for log in logs if ends], {}):
        assert found.tail is not None
        assert found.tail.durable >= found.tail.prefix_size == 5
        found.tail.close()
    assert (synced.count, together.count) == ((1, 0) if count == 1 else (0, 1))


def test_a_disk_that_refuses_to_sync_is_named_and_keeps_nobody_from_reading(lines: io.StringIO) -> None:
    """As a descriptor that was closed does. What cannot be synced at all, like a pipe or a proc file, is no news."""
    reading, writing = os.pipe()
    durable.sync(reading, "pipe")
    assert lines.getvalue() == ""
    os.close(reading)
    durable.sync(reading, "app.log")
    assert "app.log" in lines.getvalue()
    assert not durable.sync_file_system(reading)
    os.close(writing)
