"""What of each stream all sinks of this collector have: what ``ack: delivered`` acknowledges. Without gRPC.

Frames become durable under numbers of this spool's own, and the sinks acknowledge by those. So each stream remembers
which number here stands behind which number there, until the sinks are past it. It outlives the stream's connections,
but not the process: what a restart finds in the spool counts as delivered once the sinks have everything that was
in the spool when the stream first came back. That is little: a sender sends no more than its window ahead of it.
"""

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from typing import Final

from shipper.sinks.base import Claimed
from shipper.sinks.sharing import NOBODY, Sharing
from shipper.spool.upstream import STREAMS_KEPT
from shipper.wire.hop import Hop


def _nobody() -> None:
    """Whom a stream without a connection tells."""


class Progress:
    """One stream: how far it was delivered."""

    __slots__ = ("_kept", "held", "next", "wake")

    def __init__(self) -> None:
        self.next = 0
        """Everything before this number of the stream was delivered, here or elsewhere, or passed over."""
        self.held: Callable[[], int] | None = None
        """Where the stream is shared with other collectors: everything before this is at the far side."""
        self.wake: Callable[[], object] = _nobody
        """Called when ``next`` moved."""
        self._kept: deque[tuple[int, int]] | None = None
        """What was not: the stream's number after it, this spool's number after it."""

    @property
    def known(self) -> int:
        """The number after the last one that it knows of."""
        return self._kept[-1][0] if self._kept else self.next

    @property
    def safe(self) -> int:
        """Everything before this number may be acknowledged."""
        return self.next if self.held is None else min(self.next, self.held())

    @property
    def passed_over(self) -> bool:
        """The sinks are past something that is not at the far side."""
        return self.safe < self.next

    @property
    def settled(self) -> bool:
        """It waits for nothing, and nobody for it."""
        return not self._kept and self.wake is _nobody

    def keep(self, after: int, hop: int) -> None:
        """Everything before ``after`` stands before ``hop`` in this spool."""
        if self._kept is None:  # most streams of a large fleet are quiet: a deque takes 600 bytes
            self._kept = deque()
        self._kept.append((after, hop))

    def reach(self, floor: int) -> None:
        """All sinks have everything before ``floor``."""
        kept, before = self._kept, self.next
        while kept and kept[0][1] <= floor:
            self.next = max(self.next, kept.popleft()[0])
        if not kept:
            self._kept = None
        if self.next > before:
            self.wake()

    def back_to(self, number: int) -> None:
        """What this spool has of the stream from ``number`` on was passed over by a sink: it comes again."""
        while self._kept and self._kept[-1][0] > number:
            self._kept.pop()
        self._kept = self._kept or None
        self.next = min(self.next, number)

    def leave(self) -> None:
        """Its connection is gone."""
        self.wake = _nobody


class Delivered:
    """All streams of one source. Called on the event loop only."""

    def __init__(self, hop: Hop, sharing: Sharing = NOBODY) -> None:
        self._hop: Final = hop
        self._sharing: Final = sharing
        self._streams: dict[bytes, Progress] = {}
        self._waiting: list[tuple[int, int, Progress]] = []
        """A heap: what is delivered next comes first."""
        self._numbers: Final = count()

    def follow(
        self, stream: bytes, held: int, floor: int, wake: Callable[[], object], claimed: Claimed | None = None
    ) -> Progress:
        """A new connection of a stream, of which this spool has everything before ``held``, durably, and its sender
        everything before ``floor`` acknowledged. No other connection may have frames of it on their way.

        ``claimed``: the stream is shared with other collectors, and was taken over.
        """
        progress = self._streams.pop(stream, None) or Progress()
        self._streams[stream] = progress
        if claimed is not None:
            progress.held = partial(self._sharing.held, stream)
            floor = max(floor, claimed.mark.next if self._sharing.complete else 0)
            if claimed.fresh:
                progress.back_to(claimed.mark.next)
        if held > max(progress.known, floor):  # it came before this process began, or through another source
            self.keep(progress, held, self._hop.next_number)
        progress.next = max(progress.next, floor)
        progress.wake = wake
        self.advance()
        if len(self._streams) > STREAMS_KEPT:
            settled = (old for old, its in self._streams.items() if its.settled)
            for old in list(islice(settled, len(self._streams) - STREAMS_KEPT)):
                del self._streams[old]
        return progress

    def passed_over(self, stream: bytes, held: int, there: int) -> bool:
        """Whether the sinks are, or may be, past something of a stream that is not at their far side: they never saw
        it, because it was dropped here, or cannot be read. This spool has everything before ``held``, the far side
        everything before ``there``.
        """
        progress = self._streams.get(stream)
        return held > there and (progress is None or progress.known < held or progress.next > there)

    def __len__(self) -> int:
        """Streams that it knows."""
        return len(self._streams)

    def keep(self, progress: Progress, after: int, hop: int) -> None:
        """Everything before ``after`` became durable, before the number ``hop`` of this spool."""
        progress.keep(after, hop)
        heapq.heappush(self._waiting, (hop, next(self._numbers), progress))

    def advance(self) -> None:
        """The sinks may have acknowledged something."""
        floor, waiting = self._hop.floor, self._waiting
        while waiting and waiting[0][0] <= floor:
            heapq.heappop(waiting)[2].reach(floor)
