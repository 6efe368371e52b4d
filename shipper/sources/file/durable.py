"""Syncing logs before they are read: what is shipped of a file is on its disk. docs/decisions/192."""

import ctypes
import errno
import os
from functools import cache
from typing import TYPE_CHECKING, Final

from shipper.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shipper.sources.file.tail import Tail

log = get_logger("file")

_CANNOT: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS})
"""File systems without a disk of this machine, or that nobody writes to."""


def sync(descriptor: int, label: str) -> None:
    """Have all that an open file holds on its disk. A disk that refuses is no reason to leave a log unread."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            log.warning(
                "the disk of a log refused to sync it: it is read all the same, but lines of it may be sent twice when "
                "the power fails: look at the disk",
                file=label,
                error=error.strerror,
                every=3600.0,
                key=("sync", label),
            )


def sync_together(tails: "Iterable[Tail]") -> None:
    """Sync those of several open files that have to be, by their file systems: one by one, hundreds of files that get a
    line each now and then would keep a disk busy. The only one of a file system is left to ``Tail.sync``.
    """
    systems: dict[int, list[Tail]] = {}
    for tail in tails:
        if tail.descriptor >= 0 and tail.unsynced:
            systems.setdefault(tail.device, []).append(tail)
    for files in systems.values():
        if len(files) > 1 and sync_file_system(files[0].descriptor):
            for tail in files:
                tail.durable = tail.seen


def sync_file_system(descriptor: int) -> bool:
    """Have all that the file system of an open file holds on its disk; False: that was not done."""
    syncfs = _syncfs()
    return syncfs is not None and syncfs(descriptor) == 0


@cache
def _syncfs() -> "Callable[[int], int] | None":
    return getattr(ctypes.CDLL(None), "syncfs", None)
