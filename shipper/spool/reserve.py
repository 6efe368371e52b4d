"""The reserve: room on the disk that is kept for what must be written even when there is none left.

That is: cursors, dead letters, notes about what was lost, and a start. The file ``reserve`` is allocated when there is
plenty; a piece of it is given back to the file system when one of these finds no room.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from shipper.errors import DiskFull
from shipper.spool.disk import Disk

NAME: Final = "reserve"
_PIECE: Final = 64 * 1024
T = TypeVar("T")


class Reserve:
    """Owned by the spool's writer."""

    def __init__(self, disk: Disk, size: int) -> None:
        """:raises SpoolFailed: the disk refused."""
        self._disk = disk
        self._size = size
        try:
            self._left = disk.size(NAME)
        except FileNotFoundError:
            self._left = 0

    @property
    def whole(self) -> bool:
        """All of it is there."""
        return self._left == self._size

    def use(self, work: Callable[[], T]) -> T:
        """Do what must be done; for want of room in the place of the reserve, a piece at a time.

        :raises DiskFull: the reserve is used up, too. :raises SpoolFailed: the disk refused.
        """
        while True:
            try:
                return work()
            except DiskFull:
                if not self._left:
                    raise
                self._give_up()

    def _give_up(self) -> None:
        left = max(0, self._left - _PIECE)
        if left:
            file = self._disk.open(NAME, write=True)
            file.truncate(left)
            file.close()
        else:
            self._disk.unlink(NAME)
        self._left = left

    def restore(self, min_free: int) -> None:
        """Have it whole again if that leaves ``min_free`` bytes to others. :raises SpoolFailed: the disk refused."""
        if self._left == self._size or self._disk.space().free < min_free + self._size - self._left:
            return
        self._disk.unlink(NAME)
        self._left = 0
        try:
            self._disk.create(NAME, self._size).close()
        except DiskFull:
            return
        self._left = self._size
