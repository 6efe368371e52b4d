"""Which files of a source are open: few at a time, and fewer where the system gives no more.

A closed file is opened again when it is its turn, and verified then, which costs about as much as reading 100 KiB. So
of the files that wait for their turn those are closed whose turn comes last, not those read longest ago: when more take
turns than may be open, the ones read longest ago come next.
"""

import errno
import math
import os
import resource
import time
from collections.abc import Iterable
from typing import Final

from shipper.log import get_logger
from shipper.sources.file.schedule import AWAY, READY
from shipper.sources.file.tail import Tail

OPEN_FILES: Final = 1024
"""So many files stay open."""
_SHARE: Final = 4
"""A source takes this part of the descriptors that the process may have: others need some too."""
_LEAST: Final = 4
_AHEAD: Final = 16
"""At most so many more are closed than have to be: looking for them costs more than one is worth."""
_MOMENT: Final = 0.5
"""Seconds within which errors have the same shortage as their cause."""
_REMIND: Final = 600.0

log = get_logger("file")


class Descriptors:
    """The open tails of a source. All methods run on the loop."""

    def __init__(self) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.most = OPEN_FILES if soft < 0 else min(OPEN_FILES, max(_LEAST, soft // _SHARE))
        """How many may be open."""
        self._open: dict[Tail, None] = {}
        self._lowered = -math.inf

    def __len__(self) -> int:
        return len(self._open)

    @property
    def room(self) -> int:
        """How many more may be opened; one always."""
        return max(1, self.most - len(self._open))

    def used(self, tail: Tail) -> None:
        """It was opened, or read."""
        self._open.pop(tail, None)
        self._open[tail] = None

    def close(self, tail: Tail) -> None:
        """Give its descriptor back; it is opened and verified again when it is read."""
        self._open.pop(tail, None)
        tail.close()

    def trim(self) -> None:
        """Close files while too many are open; not those that are being read. Those that lost their paths come last:
        once closed they may be gone for good.
        """
        excess = len(self._open) - self.most
        if excess <= 0:
            return
        free = [tail for tail in self._open if tail.stage != AWAY]
        order = [tail for tail in free if tail.stage != READY]
        order += reversed([tail for tail in free if tail.stage == READY])
        order.sort(key=lambda tail: not tail.linked)
        for tail in order[: excess + min(_AHEAD, self.most // _AHEAD)]:
            self.close(tail)

    def short(self, error: BaseException | None) -> bool:
        """Whether an error says that the system opens no more files, and fewer stay open from now on: try again."""
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            return False
        now = time.monotonic()
        if now - self._lowered < _MOMENT:
            return True  # one shortage makes many errors
        if self.most == 1:
            return False
        self._lowered = now
        self.most = max(1, min(self.most, len(self._open)) // 2)
        self.trim()
        log.warning(
            "no more files can be opened: going on with fewer at a time, at more CPU; raise LimitNOFILE of the "
            "service, or ulimit -n",
            why=error.strerror,
            key=id(self),
            open_at_a_time=self.most,
            every=_REMIND,
        )
        return True


def changed(tails: Iterable[Tail]) -> list[Tail]:
    """On a worker thread: which open files are not as they were at the last look. A hint, no more: a file may be closed
    meanwhile, and another one opened under its number.
    """
    found = []
    for tail in tails:
        try:
            info = os.fstat(tail.descriptor)
        except OSError:  # reading it says what is wrong
            found.append(tail)
            continue
        if (info.st_size, info.st_mtime_ns) != (tail.size, tail.modified):
            found.append(tail)
    return found
