"""The spool's view of a disk: every system call that it makes goes through here.

One small interface, two implementations: the real disk (``real_disk.py``), and a simulated one in the tests that loses
and tears what was not synced. Names are relative to the spool's directory. The rules that callers may rely on:

- ``File.write`` writes all parts or raises; nothing is durable before ``File.sync`` returned.
- A created, renamed or unlinked name is durable only after ``Disk.sync_folder``.
- A failed ``sync`` says nothing about what reached the disk, and must not be repeated on that file.
- No room is ``DiskFull``, a SpoolFailed that passes by itself; but from ``sync``, which lost what it could not place.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from shipper.errors import SpoolFailed

TRIES: Final = 3
"""So many failures in a row end the spool."""


class Space(NamedTuple):
    """The room of a file system, in bytes."""

    total: int
    free: int
    """What this user may still take of it."""


class File(Protocol):
    """An open file."""

    def write(self, parts: Sequence[bytes], offset: int) -> None:
        """:raises SpoolFailed: not all of it was written. :raises DiskFull: the same, for want of room."""
        ...

    def read(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end of the file. :raises SpoolFailed: the disk cannot read them."""
        ...

    def sync(self) -> None:
        """``fdatasync``. :raises SpoolFailed: what was written since the last one may be gone."""
        ...

    def truncate(self, size: int) -> None:
        """:raises SpoolFailed: the size stays as it was."""
        ...

    def close(self) -> None:
        """Give the descriptor back; never raises."""
        ...


class Disk(Protocol):
    """A directory of files."""

    def names(self, folder: str = "") -> list[str]:
        """The names of the files in a folder, sorted; none when it does not exist."""
        ...

    def create(self, name: str, size: int) -> File:
        """A new file with ``size`` bytes allocated, all zero, synced (the name is not).

        :raises SpoolFailed: the name exists, or the disk refused; nothing is left of it.
        :raises DiskFull: there is no room; nothing is left of it.
        """
        ...

    def open(self, name: str, *, write: bool = False) -> File:
        """:raises FileNotFoundError: no such file. :raises SpoolFailed: it cannot be opened."""
        ...

    def size(self, name: str) -> int:
        """Length of a file in bytes. :raises FileNotFoundError: no such file."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomically; replaces ``new``."""
        ...

    def unlink(self, name: str) -> None:
        """Remove a file; none there is fine."""
        ...

    def make_folder(self, folder: str) -> None:
        """Make a folder and sync its name; one there is fine."""
        ...

    def sync_folder(self, folder: str = "") -> None:
        """Make names created, renamed or unlinked in a folder durable."""
        ...

    def space(self) -> Space:
        """The room there is now."""
        ...


class OwnDisk(Disk, Protocol):
    """A directory that one process at a time has for itself."""

    @property
    def root(self) -> str:
        """The directory, for people."""
        ...

    def lock(self) -> None:
        """Keep other processes out until ``unlock`` or the end of this process.

        :raises SpoolLocked: another process holds it. :raises SpoolFailed: the disk refused.
        """
        ...

    def unlock(self) -> None:
        """Let others in."""
        ...


def read_again(file: File, size: int, offset: int) -> bytes:
    """``File.read``, three times at most. :raises SpoolFailed: the third time."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(SpoolFailed):
            return file.read(size, offset)
    return file.read(size, offset)
