"""Which file is which: inode numbers that are used again, other names, files that look alike."""

from pathlib import Path

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake

from shipper.sources.file.identity import decode_position


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"one\ntwo\n", b"another file, longer\n"),
        (b"#" * 1200 + b"\none\n", b"#" * 1200 + b"\nanother\n"),
        (b"one\n" + b"-" * 1200 + b"\n", b"two\n" + b"-" * 1200 + b"\nthree\n"),
    ],
    ids=["all differs", "same first bytes", "same last bytes"],
)
async def test_inode_reuse(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Another file under the inode number of a known one is new: its first bytes differ, or the last before the
    position.
    """
    log = tmp_path / "app.log"
    log.write_bytes(before)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(*before.splitlines())
    inode = log.stat().st_ino
    log.write_bytes(after)  # same inode, as after unlink and create
    assert log.stat().st_ino == inode
    again = intake.restarted()
    async with following(source(tmp_path), again):
        await again.records_are(*before.splitlines(), *after.splitlines())


async def test_a_device_number_that_changed_is_the_same_file(tmp_path: Path) -> None:
    """It may change over a reboot."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
    again = intake.restarted()
    again.state = {key: _on_another_device(key, value) for key, value in again.state.items()}
    append(log, b"two")
    async with following(source(tmp_path), again):
        await again.records_are(b"one", b"two")


def _on_another_device(key: str, value: bytes) -> bytes:
    import msgspec

    _, position = decode_position(key, value)
    return msgspec.msgpack.encode(msgspec.structs.replace(position, device=position.device + 1))


async def test_tiny_files_and_files_with_the_same_header(tmp_path: Path) -> None:
    """Equal beginnings, one byte or 2 KiB of them, are told apart by inode."""
    header = b"# " + b"=" * 2000
    for number in range(3):
        append(tmp_path / f"same{number}.log", header, b"%d" % number)
        append(tmp_path / f"tiny{number}.log", b"")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(9)
    again = intake.restarted()
    for number in range(3):
        append(tmp_path / f"same{number}.log", b"more")
    async with following(source(tmp_path), again):
        await again.have(12)
    assert again.records(str(tmp_path / "same1.log")) == [header, b"1", b"more"]


async def test_symlinks_hard_links_one_file_under_two_globs(tmp_path: Path) -> None:
    """One identity, one tail."""
    log = tmp_path / "a.log"
    append(log, b"one")
    (tmp_path / "b.log").symlink_to(log)
    (tmp_path / "c.log").hardlink_to(log)
    intake = MemoryIntake()
    made = source(tmp_path, "*.log", "a.*")
    async with following(made, intake):
        append(log, b"two")
        await intake.have(2)
        assert made.describe() == "watching 1 file (0 B unread)"
    assert intake.records() == [b"one", b"two"]


async def test_a_symlinked_file_is_followed_through_its_rotation(tmp_path: Path) -> None:
    """The directory of the target is watched too."""
    (tmp_path / "pods").mkdir()
    target = tmp_path / "pods" / "0"
    append(target, b"one")
    (tmp_path / "app.log").symlink_to(target)
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.records_are(b"one")
        append(target, b"two")
        target.rename(tmp_path / "pods" / "0.1")
        append(target, b"three")
        await intake.have(3)
    assert sorted(intake.records()) == [b"one", b"three", b"two"]
    again = intake.restarted()
    append(tmp_path / "pods" / "0.1", b"four")
    async with following(source(tmp_path), again):
        await again.until(lambda: b"four" in again.records())
