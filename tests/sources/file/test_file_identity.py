"""One identity, one tail: each case in which two files look like one, or one like two."""

import gzip
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file import descriptors
from shipper.sources.file.identity import decode_position, version_of


def reused(path: Path, inode: int, data: bytes) -> bool:
    """Create a file with this inode number, which was just freed; False where the file system gives others."""
    spare: list[Path] = []
    for number in range(200):
        path.write_bytes(data)
        if path.stat().st_ino == inode:
            break
        spare.append(path.rename(path.with_name(f"spare{number}")))
    for other in spare:
        other.unlink()
    return path.exists()


def version(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return version_of(descriptor)
    finally:
        os.close(descriptor)


def by_hand(state: Mapping[str, bytes], path: Path) -> dict[str, bytes]:
    """The state as it would be had the file that stands at ``path`` the inode number of the one that is known."""
    return {key: _with(value, key, inode=path.stat().st_ino) for key, value in state.items()}


def _with(value: bytes, key: str, **changes: int) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(decode_position(key, value)[1], **changes))


@pytest.mark.parametrize(
    "then", [b"another line\n", b"one\nthree and more\n", b"x"], ids=["other", "same start", "less"]
)
@pytest.mark.parametrize("name", ["app.log", "new.log"], ids=["same path", "other path"])
async def test_inode_reuse_while_down(tmp_path: Path, name: str, then: bytes) -> None:
    """A file that was deleted, and another one that got its inode number: read from its first byte."""
    log = tmp_path / "app.log"
    append(log, b"one", b"two")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one", b"two")
    inode = log.stat().st_ino
    log.unlink()
    again = intake.restarted()
    if not reused(tmp_path / name, inode, then):
        (tmp_path / name).write_bytes(then)
        again.state = by_hand(again.state, tmp_path / name)
    async with following(source(tmp_path), again):
        append(tmp_path / name, b" end")
        await again.records_are(b"one", b"two", *(then + b" end").split(b"\n"))


async def test_inode_reuse_by_an_archive_while_down(tmp_path: Path) -> None:
    """It is new, and compressed: read, and not refused as a log that is none."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 50))
    inode = log.stat().st_ino
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.have(50)
    log.unlink()
    packed = tmp_path / "app.log.1.gz"
    again = intake.restarted()
    if not reused(packed, inode, gzip.compress(b"another\n" * 3)):
        packed.write_bytes(gzip.compress(b"another\n" * 3))
        again.state = by_hand(again.state, packed)
    async with following(source(tmp_path, "app.log*"), again, QUICK):
        await again.have(53)
    assert again.records()[50:] == [b"another"] * 3


async def test_inode_reuse_by_a_file_with_the_same_content_while_down(tmp_path: Path) -> None:
    """Where the file system counts the uses of an inode number even that is another file."""
    log = tmp_path / "app.log"
    append(log, b"started")
    before = version(log)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"started")
    inode = log.stat().st_ino
    log.unlink()
    counted = reused(log, inode, b"started\n") and version(log) != before
    if not log.exists():
        log.write_bytes(b"started\n")
    again = intake.restarted()
    async with following(source(tmp_path), again):
        append(log, b"more")
        await again.until(lambda: b"more" in again.records())
    other = counted or log.stat().st_ino != inode
    assert again.records() == [b"started"] * (2 if other else 1) + [b"more"]


async def test_inode_reuse_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that was closed, being one of many; an open one keeps its number from others."""
    monkeypatch.setattr(descriptors, "OPEN_FILES", 1)
    for number in range(20):
        append(tmp_path / f"{number}.log", b"one", b"two")
    intake = MemoryIntake()
    made = source(tmp_path)
    async with following(made, intake, QUICK):
        await intake.have(40)
        await intake.until(lambda: any(tail.descriptor < 0 for tail in made._follower.catalog.tails))
        tail = next(tail for tail in made._follower.catalog.tails if tail.descriptor < 0)
        log = Path(tail.path)
        log.unlink()
        if not reused(log, tail.inode, b"one\ntwo\nthree\n"):
            append(log, b"one", b"two", b"three")
        await intake.have(43)
    assert intake.records(str(log)) == [b"one", b"two", b"one", b"two", b"three"]


async def test_tiny_files_a_thousand_with_the_same_header(tmp_path: Path) -> None:
    """All are read, each once, over a restart too; files of one byte, and of the same content, among them."""
    header = b"# date time message"
    for number in range(1000):
        append(tmp_path / f"{number}.log", header, *([b"%d" % number] if number % 2 else []))
        if number % 10 == 0:
            (tmp_path / f"byte{number}.log").write_bytes(b"\n")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(1600)
    assert sorted(intake.records()) == sorted([header] * 1000 + [b"%d" % n for n in range(1, 1000, 2)] + [b""] * 100)
    again = intake.restarted()
    for number in range(0, 1000, 50):
        append(tmp_path / f"{number}.log", b"more")
        append(tmp_path / f"byte{number}.log", b"more")
    async with following(source(tmp_path), again):
        await again.have(1640)
    assert again.records()[1600:] == [b"more"] * 40


async def test_a_device_number_that_changed_does_not_confuse_equal_files(tmp_path: Path) -> None:
    """After a reboot the inode number and the content decide; all positions are found again."""
    logs = [tmp_path / f"{number}.log" for number in range(5)]
    for log in logs:
        append(log, b"the same")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(5)
    again = intake.restarted()
    state = again.durable_state()
    again.state = {key: _with(value, key, device=log.stat().st_dev + 7) for key, value in state.items()}
    for number, log in enumerate(logs):
        append(log, b"%d" % number)
    async with following(source(tmp_path), again):
        await again.have(10)
    assert sorted(again.records()[5:]) == [b"%d" % number for number in range(5)]


async def test_inode_reuse_on_two_devices_is_settled_by_the_device_number(tmp_path: Path) -> None:
    """Of two equal positions with the same inode number the one on the file's device is gone on with."""
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    append(first, b"the same")
    append(second, b"the same")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(2)
    inode, device = second.stat().st_ino, second.stat().st_dev
    again = intake.restarted()
    state = again.durable_state()
    again.state = {
        key: _with(value, key, inode=inode, version=0, device=device + (str(first).encode() in value))
        for key, value in state.items()
    }
    first.unlink()
    append(second.rename(tmp_path / "3.log"), b"more")
    async with following(source(tmp_path), again):
        await again.have(3)
    generations = {str(batch.labels["file"]): batch.ranges[0].generation for batch in again.batches}
    assert generations[str(tmp_path / "3.log")] == generations[str(second)] != generations[str(first)]


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
async def test_one_identity_for_a_file_that_moves_to_another_directory(tmp_path: Path, down: bool) -> None:
    """Both are under the patterns: it is gone on with."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    log = tmp_path / "a" / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path, "*/*.log")
    async with following(made, intake):
        await intake.records_are(b"one")
        if not down:
            log.rename(tmp_path / "b" / "app.log")
            append(tmp_path / "b" / "app.log", b"two")
            await intake.records_are(b"one", b"two")
    if down:
        log.rename(tmp_path / "b" / "app.log")
        append(tmp_path / "b" / "app.log", b"two")
        intake = intake.restarted()
        async with following(source(tmp_path, "*/*.log"), intake):
            await intake.records_are(b"one", b"two")
    assert len({span.generation for span in intake.ranges()}) == 1


@pytest.mark.parametrize("include", [["current.log"], ["*.log"], ["app-*.log", "current.log"]], ids=str)
async def test_symlinks_that_are_retargeted_and_whose_targets_are_meant_too(tmp_path: Path, include: list[str]) -> None:
    """``current.log`` leads to the newest of several files: each is read once, by the name under which it was seen."""
    link = tmp_path / "current.log"
    intake = MemoryIntake()
    made = source(tmp_path, *include)
    append(tmp_path / "app-1.log", *numbered(0, 5))
    link.symlink_to("app-1.log")
    async with following(made, intake):
        await intake.have(5)
        for number in range(2, 5):
            append(tmp_path / f"app-{number}.log", *numbered(5 * number - 5, 5 * number))
            new = tmp_path / "new"
            new.symlink_to(f"app-{number}.log")
            new.rename(link)
            await intake.have(5 * number)
        append(tmp_path / "app-3.log", b"late")
        await intake.have(21)
    assert sorted(intake.records()) == sorted([*numbered(0, 20), b"late"])


async def test_hard_links_one_file_under_two_globs_over_restarts(tmp_path: Path) -> None:
    """One tail, whichever of the names goes away."""
    log = tmp_path / "a.log"
    append(log, b"one")
    (tmp_path / "z.txt").hardlink_to(log)
    intake = MemoryIntake()
    include = ["*.log", "a*", "z.*"]
    async with following(source(tmp_path, *include), intake):
        await intake.records_are(b"one")
    log.unlink()
    append(tmp_path / "z.txt", b"two")
    again = intake.restarted()
    made = source(tmp_path, *include)
    async with following(made, again):
        await again.records_are(b"one", b"two")
        log.hardlink_to(tmp_path / "z.txt")
        append(log, b"three")
        await again.records_are(b"one", b"two", b"three")
        assert len(made._follower.catalog.tails) == 1


async def test_dangling_links_and_loops_of_links_are_no_files(tmp_path: Path) -> None:
    """They are passed over until they lead somewhere; loops of directories are walked once."""
    (tmp_path / "nowhere.log").symlink_to(tmp_path / "later")
    (tmp_path / "loop1.log").symlink_to("loop2.log")
    (tmp_path / "loop2.log").symlink_to("loop1.log")
    (tmp_path / "again").symlink_to(tmp_path)
    append(tmp_path / "app.log", b"one")
    intake = MemoryIntake()
    made = source(tmp_path, "**/*.log", "again/*.log")
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        append(tmp_path / "later", b"two")
        await intake.records_are(b"one", b"two")
        assert len(made._follower.catalog.tails) == 2


async def test_a_fifo_a_socket_a_device_in_the_glob_never_block(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO that nobody writes to, /dev/zero, /dev/tty and a socket, also one that takes the place of a file."""
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "zero.log").symlink_to("/dev/zero")
    (tmp_path / "tty.log").symlink_to("/dev/tty")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        listener.bind("socket.log")
        append(tmp_path / "app.log", b"one")
        intake = MemoryIntake()
        made = source(tmp_path)
        async with following(made, intake, QUICK):
            await intake.records_are(b"one")
            assert len(made.problems()) == 4
            (tmp_path / "app.log").rename(tmp_path / "old")
            os.mkfifo(tmp_path / "app.log")
            append(tmp_path / "new.log", b"two")
            await intake.records_are(b"one", b"two")
            await intake.until(lambda: len(made.problems()) == 5)
    said = capfd.readouterr().err
    for name, what in (("fifo", "a FIFO"), ("zero", "a device"), ("tty", "a device"), ("socket", "a socket")):
        assert said.count(f"{tmp_path}/{name}.log is {what}, not a file: left alone") == 1


async def test_room_that_a_writer_made_in_advance_is_no_part_of_what_a_file_is_known_by(tmp_path: Path) -> None:
    """It is filled in later, while shipper is down too."""
    log = tmp_path / "app.log"
    log.write_bytes(bytes(600))
    intake = MemoryIntake()
    with log.open("r+b", buffering=0) as file:
        async with following(source(tmp_path), intake, QUICK):
            file.write(b"line 0\nline 1\n")
            await intake.records_are(*numbered(0, 2))
        intake = intake.restarted()
        file.write(b"line 2\n")
        async with following(source(tmp_path), intake, QUICK):
            await intake.have(3)
            file.write(b"line 3\n")
            await intake.records_are(*numbered(0, 4))
    assert intake.losses == []
