"""The file sink's view of a disk: every system call that changes something goes through here.

A small interface, so that the tests can stop between any two steps and take back what was not synced. OSErrors are
translated here: a full disk or a missing permission is ``SinkUnavailable`` (it goes on once that is mended), something
in the way that is no regular file is a ``SinkError``.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from shipper.errors import SinkError, SinkUnavailable
from shipper.spool.frame import extend_crc32c

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a named pipe in the way must not hold the sink until somebody reads it. It means nothing for files.
_FILE: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FS_IOC_GETVERSION: Final = 0x80087601
_READ_SIZE: Final = 1 << 20
_WRITE_SIZE: Final = 1 << 30
"""Linux writes at most 2 GiB at one go."""

_ADVICE: Final = {
    errno.ENOSPC: "free some space; writing goes on by itself",
    errno.EDQUOT: "raise the quota or free some space; writing goes on by itself",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "let the user that runs shipper write there",
    errno.EPERM: "let the user that runs shipper write there",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the limit of open files",
    errno.EIO: "check the disk",
}


class Identity(NamedTuple):
    """Which file it is, whatever its name; the same after a reboot (the device's number is not)."""

    inode: int
    generation: int
    """Tells a file from a later one with its inode number; 0 where the file system has none (tmpfs)."""


class OpenFile(NamedTuple):
    """A file that is open, and locked against every other sink."""

    descriptor: int
    identity: Identity
    size: int
    created: bool


class Disk:
    """The real one."""

    def make_root(self, root: str) -> None:
        """Make the output directory and those above it, durably. Symbolic links in it are the operator's own.

        :raises SinkUnavailable: it cannot be made.
        """
        missing = []
        while not os.path.isdir(root):
            missing.append(root)
            root = os.path.dirname(root)
        for path in reversed(missing):
            with _translated(path):
                self.make_directory(path, None)
            above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.sync_directory(above, os.path.dirname(path))
            finally:
                os.close(above)

    def find(self, root: str, path: tuple[str, ...]) -> OpenFile | None:
        """As ``open``, but makes nothing; None: there is no such file."""
        with _translated("/".join((root, *path))):
            try:
                return self._walk(root, path, create=False)
            except FileNotFoundError:
                return None

    def open(self, root: str, path: tuple[str, ...]) -> OpenFile:
        """Open and lock a file below ``root``; no symbolic link below it is followed.

        Missing directories and the file are made, and their names are durable when this returns.

        :raises SinkUnavailable: it cannot be opened now, or another process has it.
        :raises SinkError: a symbolic link, or something that is no regular file, is in the way.
        """
        with _translated("/".join((root, *path))):
            return self._walk(root, path, create=True)

    def _walk(self, root: str, path: tuple[str, ...], *, create: bool) -> OpenFile:
        whole = "/".join((root, *path))
        above = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in path[:-1]:
                above = self._step_into(above, name, whole, create=create)
            return self._open_file(above, path[-1], whole, create=create)
        finally:
            os.close(above)

    def _step_into(self, above: int, name: str, whole: str, *, create: bool) -> int:
        """The descriptor of a directory in ``above``, which is closed."""
        try:
            below = os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            if not create:
                raise
            self.make_directory(name, above)
            self.sync_directory(above, whole)
            below = os.open(name, _DIRECTORY, dir_fd=above)
        os.dup2(below, above, inheritable=False)
        os.close(below)
        return above

    def _open_file(self, above: int, name: str, whole: str, *, create: bool) -> OpenFile:
        created = False
        try:
            descriptor = os.open(name, _FILE, dir_fd=above)
        except FileNotFoundError:
            if not create:
                raise
            descriptor = self.create_file(name, above)
            created = True
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SinkUnavailable(
                    f"{whole} is being written by another sink or process; give each sink a path of its own"
                ) from None
            found = os.fstat(descriptor)  # its length counts only under the lock
            _check_regular(found.st_mode, whole)
            if created:
                self.sync(descriptor, whole)
                self.sync_directory(above, whole)
        except BaseException:
            os.close(descriptor)
            raise
        return OpenFile(descriptor, Identity(found.st_ino, _generation(descriptor)), found.st_size, created)

    def is_named(self, descriptor: int, path: str) -> bool:
        """An open file has this name still."""
        try:
            return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
        except OSError:
            return False

    def size(self, descriptor: int) -> int:
        """The length of an open file."""
        return os.fstat(descriptor).st_size

    def ends_line(self, file: OpenFile) -> bool:
        """The file is empty or its last byte is a newline."""
        return file.size == 0 or os.pread(file.descriptor, 1, file.size - 1) == b"\n"

    def checksum(self, descriptor: int, start: int, end: int, path: str) -> int:
        """CRC32C of the bytes between two offsets. :raises SinkUnavailable: they cannot be read."""
        value = 0
        with _translated(path, "read"):
            while start < end and (data := os.pread(descriptor, min(end - start, _READ_SIZE), start)):
                value = extend_crc32c(value, data)
                start += len(data)
        return value

    def close(self, descriptor: int) -> None:
        """Give a descriptor back; never raises."""
        with suppress(OSError):
            os.close(descriptor)

    # The steps that change the disk. The tests override these.

    def make_directory(self, name: str, above: int | None) -> None:
        """``mkdir``; one that is there is fine. Not durable before ``sync_directory`` of the one above."""
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)

    def create_file(self, name: str, above: int) -> int:
        """A new, empty file, open. Its name is not durable before ``sync_directory``."""
        return os.open(name, _FILE | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=above)

    def append(self, descriptor: int, data: bytes, path: str) -> None:
        """Write all of it at the end.

        :raises SinkUnavailable: not all of it was written; cut the file back.
        """
        with _translated(path):
            done = os.write(descriptor, data) if len(data) < _WRITE_SIZE else 0
            rest = memoryview(data)
            while done < len(data):  # a short write is legal; what keeps it from going on shows at the next one
                done += os.write(descriptor, rest[done : done + _WRITE_SIZE])

    def overwrite(self, descriptor: int, data: bytes, path: str) -> None:
        """Write all of it at the beginning. :raises SinkUnavailable: not all of it was written."""
        with _translated(path):
            done = 0
            while done < len(data):
                done += os.pwrite(descriptor, memoryview(data)[done:], done)

    def sync(self, descriptor: int, path: str) -> None:
        """``fdatasync``. :raises SinkUnavailable: what was written may be gone; do not sync this descriptor again."""
        with _translated(path):
            os.fdatasync(descriptor)

    def cut(self, descriptor: int, size: int, path: str) -> None:
        """Shorten a file. :raises SinkUnavailable: it has its old length."""
        with _translated(path):
            os.ftruncate(descriptor, size)

    def sync_directory(self, descriptor: int, path: str) -> None:
        """Make the names in a directory durable. :raises SinkUnavailable: they may not be."""
        with _translated(path):
            os.fsync(descriptor)


def _generation(descriptor: int) -> int:
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, _FS_IOC_GETVERSION, bytes(8))[:4], sys.byteorder)
    except OSError:
        return 0


def _check_regular(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        raise SinkError(f"{path} is no regular file; move it away")


@contextmanager
def _translated(path: str, doing: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}:
            message = f"cannot write {path}: a symbolic link or something that is no file is in its way; move it away"
            raise SinkError(message) from error
        advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
        raise SinkUnavailable(f"cannot {doing} {path}: {text}{advice}") from error
