"""What the spool of an ended process holds: the proof where a collector's output would cost more than what is measured.

The collector under measurement has one sink, to which nobody answers (``Rig.nowhere``): its spool keeps every frame.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.processes import BenchError
from benchmarks.verify import Verdict
from shipper.sinks.base import Item
from shipper.spool.frame import Frame
from shipper.spool.spool import Spool

ROOM: Final = 64 << 30
"""``max_bytes`` of spools that keep everything."""
SINK: Final = "out"
_GROUP: Final = 4 << 20
_DEAD_LETTERS: Final = 1 << 20


def frames(data_dir: Path, visit: Callable[[Frame], None]) -> None:
    """Show every frame in the order of the spool, payloads verified.

    :raises BenchError: a gap stands in place of frames.
    """

    async def walk() -> None:
        async for frame in _frames(data_dir / "spool"):
            frame.verify()
            visit(frame)

    asyncio.run(walk())


async def _frames(root: Path) -> AsyncIterator[Frame]:
    spool = Spool(root, ROOM, _DEAD_LETTERS, [SINK])
    spool.start()
    feed = spool.subscribe(SINK)
    following, end = feed.cursor, spool.next_seq
    try:
        while following < end:
            items: list[Item] = await feed.read(_GROUP)
            for item in items:
                following = item.next
                if not isinstance(item.body, Frame):
                    raise BenchError(f"{root} has lost {item.body}")
                yield item.body
    finally:
        await spool.close()


class Streams:
    """Judges frames of many streams, each numbered 1, 2, 3 ...: every one must be there once, in order, unaltered."""

    def __init__(self, check: Callable[[Frame], bool]) -> None:
        """``check``: whether a frame holds what was sent under its number."""
        self._check = check
        self._next: dict[bytes, int] = {}
        self.verdict = Verdict()

    def visit(self, frame: Frame) -> None:
        """Look at the next one."""
        verdict, following = self.verdict, self._next.get(frame.stream, 1)
        verdict.received += frame.records
        verdict.altered += 0 if self._check(frame) else frame.records
        if frame.seq < following:
            verdict.doubled += frame.records
        else:
            self._next[frame.stream] = frame.seq + 1
            verdict.lost += (frame.seq - following) * frame.records

    def judge(self, sent: Iterator[tuple[bytes, int, int]]) -> Verdict:
        """The verdict, given every stream with its frames and the records of one frame."""
        for stream, count, records in sent:
            self.verdict.expected += count * records
            self.verdict.lost += (count + 1 - self._next.pop(stream, 1)) * records
        self.verdict.altered += len(self._next)  # streams that nobody sent
        return self.verdict
