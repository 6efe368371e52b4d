"""Is a file that has the inode number of a known one that one? File systems give the numbers of deleted files to new
ones, on ext4 at once. No I/O; ``examine.look_at`` looks.

It certainly is while the known one is open. Else the file system's count of the number's uses tells. Where there is
none (overlay, NFS) the first bytes do, as far as they are known. They do not tell two logs apart that begin alike, so
whoever opens the file verifies it again (``identity.reopen``).
"""

import os
from typing import NamedTuple

from shipper.sources.file.identity import digest
from shipper.sources.file.schedule import AWAY, IDLE
from shipper.sources.file.tail import Tail


class Looked(NamedTuple):
    """What stands at a place."""

    info: os.stat_result
    version: int = 0
    """See ``identity.version_of``."""
    head: bytes | None = None
    """Its first bytes, ``PREFIX_SIZE`` or all there are; None: it could not be opened."""


def is_another(tail: Tail, looked: Looked) -> bool:
    """Whether a file that has the inode number of a tail is certainly not the tail's, which was deleted then. The tail
    need not be idle: during a long scan, as the first one is, files come and go that nobody has looked at.
    """
    if tail.descriptor >= 0:
        return False
    if tail.version and looked.version:
        return tail.version != looked.version
    if looked.head is None or tail.packed or tail.stage == AWAY:  # then its attributes are a worker thread's
        return False
    return digest(looked.head[: tail.prefix_size]) != tail.prefix


def changed(tail: Tail, info: os.stat_result) -> bool:
    """Whether the file of a closed tail that has nothing to do is not what it was: it has to be verified."""
    if tail.descriptor >= 0 or tail.packed or tail.stage != IDLE:
        return False
    return (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified)
