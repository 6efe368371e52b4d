"""Whether there is room for another segment, and how large it may be."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from shipper.errors import SpoolFailed
from shipper.spool.disk import Disk
from shipper.spool.files import Segment
from shipper.units import Share

SMALLEST_SEGMENT: Final = 128 * 1024
LARGEST_SEGMENT: Final = 64 * 1024 * 1024
RESERVE: Final = 1024 * 1024
THE_DISK: Final = "the disk is full"


class Room:
    """The limits of one spool: its own, and what is to be left to others on the disk."""

    def __init__(self, disk: Disk, max_bytes: int, min_free: Share) -> None:
        """``max_bytes`` may be more than the disk has. :raises SpoolFailed: the disk refused."""
        self._disk = disk
        self._min_free = min_free
        total = disk.space().total
        self.max_bytes = max_bytes
        self.bounded: Final = min(max_bytes, total)
        self.segment_size: Final = min(max(self.bounded // 16, SMALLEST_SEGMENT), LARGEST_SEGMENT)
        self.reserve: Final = min(RESERVE, max_bytes // 4, total // 8)

    @property
    def min_free(self) -> int:
        """Bytes that are left to others."""
        return self._min_free.of(self._disk.space().total)

    def facts(self, used: int) -> dict[str, int]:
        """In bytes, for people who ask why there is none; without what the disk does not say."""
        facts = {"used_bytes": used, "max_bytes": int(self.max_bytes)}
        with suppress(SpoolFailed):
            facts |= {"free_bytes": self._disk.space().free, "min_free_bytes": self.min_free}
        return facts

    def small(self, needed: int) -> int:
        """The size of a segment that is begun for one entry."""
        return max(SMALLEST_SEGMENT, 4 * needed)

    def segment(self, needed: int, segments: Mapping[int, Segment]) -> int | str:
        """The size of a segment for data whose first entry has ``needed`` bytes; else what is in its way, in words.

        Two segments may always have a successor, whatever ``max_bytes`` says: the one being written and its
        predecessor are all that is left once every sink has read everything. On a disk that is nearly full segments
        are small.
        """
        size = max(self.segment_size, 2 * needed)
        used = sum(segment.size for segment in segments.values())
        if len(segments) > 2 and used + size > self.max_bytes - min(RESERVE, self.max_bytes // 4):
            return "max_bytes"
        space = self._disk.space()
        for wanted in (size, self.small(needed)):
            if wanted <= space.free - self._min_free.of(space.total):
                return wanted
        return "min_free" if self.small(needed) <= space.free else THE_DISK
