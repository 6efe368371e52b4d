"""Fills the spool of an agent that does not run: ``python -m benchmarks.fill DATA_DIR SINK BYTES``.

Frames as a busy agent writes them: 256 KiB of JSON lines, compressed. There are few different ones (``VARIANTS``), each
stamped with its own number; so ten gigabytes take seconds, and a frame's number says what it must hold.
"""

import asyncio
import os
import sys
from collections import deque
from pathlib import Path
from typing import Final

from benchmarks import kept
from benchmarks.fleet import drafts
from benchmarks.processes import BenchError
from shipper.spool.draft import EntryDraft
from shipper.spool.spool import Spool

LINES: Final = 1226
"""Of a frame: 256 KiB."""
_IN_FLIGHT: Final = 16
_DEAD_LETTERS: Final = 1 << 20


async def fill(root: Path, sink: str, size: int) -> int:
    """Append frames of so many bytes; returns how many. The spool is sealed, as after a stop."""
    spool = Spool(root, kept.ROOM, _DEAD_LETTERS, [sink])
    spool.subscribe(sink)
    spool.start()
    if spool.next_seq != 1:
        raise BenchError(f"{root} is not empty")
    entries = drafts(LINES)
    under_way: deque[asyncio.Future[int]] = deque()
    written = count = 0
    while written < size:
        if len(under_way) == _IN_FLIGHT:
            await under_way.popleft()
        count += 1
        frame = entries[count % len(entries)]
        written += frame.size
        under_way.append(spool.append(EntryDraft([frame])))
    while under_way:
        await under_way.popleft()
    await spool.close()
    return count


def forget_cached(root: Path) -> None:
    """Take the segments out of the page cache: a backlog of yesterday is not in it."""
    for path in root.glob("*.seg"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def main() -> None:
    """Fill and print the number of frames."""
    if len(sys.argv) != 4:
        raise BenchError("usage: python -m benchmarks.fill DATA_DIR SINK BYTES")
    root = Path(sys.argv[1]) / "spool"
    print(asyncio.run(fill(root, sys.argv[2], int(sys.argv[3]))))
    forget_cached(root)


if __name__ == "__main__":
    main()
