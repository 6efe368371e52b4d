"""Bytes of files that nobody will ever read: counted once they are durable as lost, by reason and by file, and said.

What becomes of one ``Loss``: its source puts it into the batch whose state forgets the bytes; ``pack.gaps`` makes an
empty frame of it, in the same entry of the spool, which travels to every collector; and here it is counted.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from shipper.batch import Loss
from shipper.log import get_logger

if TYPE_CHECKING:
    from shipper.metrics import Registry

FILES: Final = 100
"""So many files of a source have a series of their own; what others lose is counted under an empty name."""
RECENT: Final = 20
"""So many losses of a source are shown in /status."""
log = get_logger("intake")


class LostBytes:
    """Those of one source. Called on the event loop."""

    def __init__(self, source: str, metrics: "Registry") -> None:
        self._source = source
        self._metrics = metrics
        self._files: set[str] = set()
        self._recent: deque[tuple[Loss, float]] = deque(maxlen=RECENT)

    def count_if_durable(self, losses: Sequence[Loss], durable: "asyncio.Future[int]") -> None:
        """The entry that held them was written, or it was not: then they are met again after the next start."""
        if durable.cancelled() or durable.exception() is not None:
            return
        for loss in losses:
            size = loss.end - loss.start
            if loss.file not in self._files and len(self._files) < FILES:
                self._files.add(loss.file)
            file = loss.file if loss.file in self._files else ""
            labels = {"source": self._source, "file": file, "reason": loss.reason}
            self._metrics.counter("shipper_source_lost_bytes_total", **labels).add(size)
            self._metrics.counter("shipper_lost_bytes_total", reason=loss.reason).add(size)
            self._recent.append((loss, time.monotonic()))
            log.error(
                "bytes of a file can never be read",
                source=self._source,
                file=loss.file,
                bytes=size,
                reason=loss.reason,
                first=loss.start,
                every=60.0,
                key=(self._source, loss.file, loss.reason),
            )

    def recent(self) -> list[dict[str, Any]]:
        """The last ones, the newest first; ``age_seconds``: since they were durable."""
        now = time.monotonic()
        return [
            {
                "file": loss.file,
                "bytes": loss.end - loss.start,
                "first": loss.start,
                "reason": loss.reason,
                "age_seconds": round(now - since, 1),
            }
            for loss, since in reversed(self._recent)
        ]
