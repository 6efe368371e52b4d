"""The disk of ``disk.py`` that is one: a directory, by way of system calls."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from shipper.errors import DiskFull, SpoolFailed, SpoolLocked
from shipper.spool.disk import File, Space

_IOV_MAX = 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_UNLIMITED: Final = 1 << 62


class RealFile:
    """A file descriptor."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, parts: Sequence[bytes], offset: int) -> None:
        """See ``File``."""
        try:
            for begin in range(0, len(parts), _IOV_MAX):
                some = parts[begin : begin + _IOV_MAX]
                wanted = sum(map(len, some))
                done = os.pwritev(self._descriptor, some, offset)
                if done < wanted:  # a short write is legal; the rest in one piece, and no progress is a failure
                    rest = memoryview(b"".join(some))
                    while done < wanted:
                        step = os.pwrite(self._descriptor, rest[done:], offset + done)
                        if step == 0:
                            raise SpoolFailed(f"{self._path}: only {done} of {wanted} bytes could be written")
                        done += step
                offset += wanted
        except OSError as error:
            raise _refusal(f"cannot write to {self._path}", error) from error

    def read(self, size: int, offset: int) -> bytes:
        """See ``File``."""
        try:
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise SpoolFailed(f"cannot read {self._path} at {offset}: {error.strerror}; check the disk") from error
        return data

    def sync(self) -> None:
        """See ``File``."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise SpoolFailed(f"cannot sync {self._path}: {error.strerror}; check the disk") from error

    def truncate(self, size: int) -> None:
        """See ``File``."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise SpoolFailed(f"cannot truncate {self._path}: {error.strerror}; check the disk") from error

    def close(self) -> None:
        """See ``File``."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class RealDisk:
    """A directory on a real disk, locked for one process."""

    def __init__(self, root: Path) -> None:
        """:raises SpoolFailed: the directory cannot be made or used."""
        self._root = str(root)
        self._lock = -1
        try:
            missing = [folder for folder in (root.absolute(), *root.absolute().parents) if not folder.exists()]
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in reversed(missing or [root.absolute()]):
                with contextlib.suppress(PermissionError):  # not ours to read, so not ours to sync
                    _sync_directory(str(folder.parent))
        except OSError as error:
            raise SpoolFailed(
                f"cannot make the data directory {root}: {error.strerror}; set data_dir to one that this user may write"
            ) from error

    @property
    def root(self) -> str:
        """The directory."""
        return self._root

    def lock(self) -> None:
        """Keep other processes out until ``unlock`` or the end of this process.

        :raises SpoolLocked: another process holds it.
        """
        path = f"{self._root}/lock"
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolFailed(
                f"cannot write to the data directory {self._root}: {error.strerror}; give it to this user"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = -1
            raise SpoolLocked(
                f"the data directory {self._root} is in use by another process; stop it, or set another data_dir"
            ) from error

    def unlock(self) -> None:
        """Let others in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self, folder: str = "") -> list[str]:
        """See ``Disk``."""
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def create(self, name: str, size: int) -> File:
        """See ``Disk``."""
        path = f"{self._root}/{name}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
                os.fsync(descriptor)
            except OSError:
                os.close(descriptor)
                os.unlink(path)
                raise
        except OSError as error:
            raise _refusal(f"cannot make {path} of {size} bytes", error) from error
        return RealFile(descriptor, path)

    def open(self, name: str, *, write: bool = False) -> File:
        """See ``Disk``."""
        path = f"{self._root}/{name}"
        with _translated(f"cannot open {path}"):
            descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        return RealFile(descriptor, path)

    def size(self, name: str) -> int:
        """See ``Disk``."""
        with _translated(f"cannot look at {self._root}/{name}"):
            return os.stat(f"{self._root}/{name}").st_size

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        with _translated(f"cannot rename {self._root}/{old}"):
            os.rename(f"{self._root}/{old}", f"{self._root}/{new}")

    def unlink(self, name: str) -> None:
        """See ``Disk``."""
        with _translated(f"cannot remove {self._root}/{name}"), contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._root}/{name}")

    def make_folder(self, folder: str) -> None:
        """See ``Disk``."""
        if os.path.isdir(f"{self._root}/{folder}"):
            return
        with _translated(f"cannot make the directory {self._root}/{folder}"):
            os.mkdir(f"{self._root}/{folder}", 0o700)
        self.sync_folder()

    def sync_folder(self, folder: str = "") -> None:
        """See ``Disk``."""
        with _translated(f"cannot sync the directory {self._root}/{folder}"):
            _sync_directory(f"{self._root}/{folder}")

    def space(self) -> Space:
        """See ``Disk``."""
        with _translated(f"cannot look at {self._root}"):
            found = os.statvfs(self._root)
        if not found.f_blocks:  # a file system that keeps no count
            return Space(_UNLIMITED, _UNLIMITED)
        return Space(found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail)


def _refusal(doing: str, error: OSError) -> SpoolFailed:
    if error.errno in _FULL:
        return DiskFull(f"{doing}: {error.strerror}")
    return SpoolFailed(f"{doing}: {error.strerror}; check the disk")


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """A missing file stays FileNotFoundError, every other refusal of the disk becomes SpoolFailed or DiskFull."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refusal(doing, error) from error
