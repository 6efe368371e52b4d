"""The bytes of a file, compressed or not, while it is open."""

import errno
import os
from dataclasses import dataclass
from typing import Literal

from shipper.sources.file.durable import sync
from shipper.sources.file.packed import Kind, Packed


@dataclass(slots=True, eq=False, kw_only=True)
class Handle:
    """A file that may be open. All numbers of bytes count what it holds, not what compressed bytes stand for that."""

    descriptor: int = -1
    """-1 while the file is closed."""
    inode: int = 0
    device: int = 0
    version: int = 0
    """Which file of that inode number it is: see ``identity.version_of``."""
    links: int = 1
    modified: int = 0
    """At the last look, like ``links`` and ``size``; in nanoseconds."""
    size: int = 0
    """In bytes."""
    durable: int = 0
    """Up to here it was synced, and was not written anew since: nothing from this byte on is read. -1: it is known
    although nothing of it was synced, as after a truncation."""
    packed: Kind | Literal[""] = ""
    """How its file is compressed: all numbers of bytes count what it holds. Such a file is complete."""
    reader: Packed | None = None
    """Of a compressed file that is open, from the first read on."""

    def close(self) -> None:
        """Give the descriptor back. The tail can be read on: it opens and verifies the file again."""
        descriptor, self.descriptor, self.reader = self.descriptor, -1, None  # first: nobody closes its number twice
        if descriptor >= 0:
            os.close(descriptor)

    def make_durable(self, size: int, label: str) -> None:
        """Sync it. ``size``: so much of it was seen before. ``label``: what it is called in the log."""
        sync(self.descriptor, label)
        self.durable = size

    def pread(self, size: int, at: int) -> bytes:
        """At most ``size`` of its bytes from ``at`` on: the one way to them. The file has to be open.

        :raises OSError: it cannot be read.
        """
        if not self.packed:
            return os.pread(self.descriptor, size, at)
        self.reader = self.reader or Packed(self.descriptor, self.packed)
        return self.reader.pread(size, at)

    def next_data(self, at: int) -> int:
        """The first byte from ``at`` on that may be another than NUL: behind a sparse hole, where the filesystem tells;
        the size of the file if none is.
        """
        if self.packed:
            return at
        try:
            return os.lseek(self.descriptor, at, os.SEEK_DATA)
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else at
