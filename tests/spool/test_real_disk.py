"""The real disk: each promise of its interface, and the system calls behind it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.synced import Calls

from shipper.errors import DiskFull, SpoolFailed, SpoolLocked
from shipper.spool.real_disk import RealDisk


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    """An empty one."""
    return RealDisk(tmp_path)


def test_a_new_directory_and_all_above_it_that_were_made_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch, tmp_path)
    RealDisk(tmp_path / "a" / "b" / "c")
    assert calls.made == [("fsync", "."), ("fsync", "a"), ("fsync", "a/b")]
    calls.made.clear()
    RealDisk(tmp_path / "a" / "b" / "c")
    assert calls.made == [("fsync", "a/b")], "a killed process may have made it and not synced it"


def test_a_created_file_has_its_size_is_zero_and_synced(
    disk: RealDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch, tmp_path)
    file = disk.create("x", 5000)
    assert calls.made == [("fsync", "x")]
    assert file.read(9999, 0) == bytes(5000)
    assert (tmp_path / "x").stat().st_blocks * 512 >= 5000
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SpoolFailed, match="cannot make"):
        disk.create("x", 1)
    assert disk.size("x") == 5000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_finds_no_room_leaves_nothing_and_the_disk_is_full(
    number: int, disk: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "No space left on device")

    file = disk.create("y", 5000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="No space left"):
        disk.create("x", 5000)
    assert disk.names() == ["y"]
    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(DiskFull, match="No space left"):
        file.write([b"a"], 0)


def test_what_is_written_is_read_and_each_sync_is_one(
    disk: RealDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = disk.create("x", 10)
    calls = Calls(monkeypatch, tmp_path)
    file.write([b"ab", b"", b"cd"], 3)
    file.sync()
    assert calls.made == [("fdatasync", "x")]
    assert file.read(10, 0) == b"\0\0\0abcd\0\0\0"
    assert file.read(10, 8) == b"\0\0"
    file.truncate(5)
    assert disk.size("x") == 5
    file.close()
    file.close()


def test_many_parts_and_short_writes_are_written_whole(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [bytes([number % 251]) * (number % 7) for number in range(3000)]
    file = disk.create("x", 10)
    file.write(parts, 2)
    assert file.read(1 << 20, 2) == b"".join(parts)
    real_write, real_writev = os.pwrite, os.pwritev

    def short_writev(descriptor: int, some: Sequence[bytes], offset: int) -> int:
        return real_writev(descriptor, [b"".join(some)[:5]], offset)

    def short_write(descriptor: int, data: bytes, offset: int) -> int:
        return real_write(descriptor, data[:7], offset)

    monkeypatch.setattr(os, "pwritev", short_writev)
    monkeypatch.setattr(os, "pwrite", short_write)
    file.write(parts, 3)
    assert file.read(1 << 20, 3) == b"".join(parts)
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(SpoolFailed, match="only 5 of"):
        file.write([b"longer than five"], 0)


def test_short_reads_go_on_until_the_end(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.create("x", 10)
    file.write([b"0123456789"], 0)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: real(fd, min(size, 3), offset))
    assert file.read(8, 1) == b"12345678"
    assert file.read(100, 0) == b"0123456789"


@pytest.mark.parametrize("call", ["pwritev", "pread", "fdatasync", "ftruncate"])
def test_a_refusal_of_the_disk_is_a_spool_failed_with_the_file_and_the_reason(
    call: str, disk: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = disk.create("x", 10)

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, refuse)
    work: dict[str, Callable[[], object]] = {
        "pwritev": lambda: file.write([b"a"], 0),
        "pread": lambda: file.read(1, 0),
        "fdatasync": file.sync,
        "ftruncate": lambda: file.truncate(1),
    }
    with pytest.raises(SpoolFailed, match=r"/x.*Input/output error") as refused:
        work[call]()
    assert refused.type is SpoolFailed, "the disk is broken and not full"


def test_names_change_and_their_folder_is_synced(
    disk: RealDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch, tmp_path)
    disk.make_folder("sub")
    assert calls.made == [("fsync", ".")]
    disk.make_folder("sub")
    assert calls.made == [("fsync", ".")]
    disk.create("sub/b", 1).close()
    disk.create("sub/a", 1).close()
    assert disk.names("sub") == ["a", "b"]
    assert disk.names() == []
    assert disk.names("none") == []
    disk.rename("sub/a", "b")
    disk.unlink("sub/b")
    disk.unlink("sub/b")
    assert (disk.names(), disk.names("sub")) == (["b"], [])
    calls.made.clear()
    disk.sync_folder("sub")
    disk.sync_folder()
    assert calls.made == [("fsync", "sub"), ("fsync", ".")]


def test_a_file_that_is_not_there_is_a_file_not_found(disk: RealDisk) -> None:
    for work in (lambda: disk.open("x"), lambda: disk.size("x"), lambda: disk.rename("x", "y")):
        with pytest.raises(FileNotFoundError):
            work()


def test_a_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolFailed, match="set data_dir to one that this user may write"):
        RealDisk(tmp_path / "file" / "spool")


def test_two_processes_cannot_have_one_directory(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    disk.lock()
    with pytest.raises(SpoolLocked, match="in use by another process"):
        RealDisk(tmp_path).lock()
    code = (
        "import pathlib, sys\nfrom shipper.errors import SpoolLocked\nfrom shipper.spool.real_disk import RealDisk\n"
        "try:\n    RealDisk(pathlib.Path(sys.argv[1])).lock()\nexcept SpoolLocked:\n    sys.exit(7)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(run, check=False).returncode == 7
    disk.unlock()
    assert subprocess.run(run, check=False).returncode == 0


def test_nothing_is_written_through_a_memory_map() -> None:
    """A page that the disk refuses is a signal there, and a file that shrinks as well; a write gives an error. What
    a process that runs a processor shares with the agent is on no disk, nor is what a batch of Kafka is unpacked into.
    """
    files = list((Path(__file__).parents[2] / "shipper").rglob("*.py"))
    assert len(files) > 100
    assert [path.name for path in sorted(files) if "import mmap" in path.read_text("utf-8")] == [
        "child.py",
        "child_main.py",
        "codecs.py",
    ]
