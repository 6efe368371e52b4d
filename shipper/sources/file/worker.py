"""What the reader of a file source does on worker threads: reading, looking, closing.

One lock keeps these apart: a call that was cancelled on the loop runs on in its thread, and a descriptor must not be
closed (and its number reused) under it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from shipper.batch import Batch
from shipper.sources.base import Intake
from shipper.sources.file.framing import to_batch
from shipper.sources.file.tail import Gone, Tail
from shipper.sources.file.watch import CannotWatch, Watcher

_Result = TypeVar("_Result")


class Worker:
    """Touches the files. After ``close`` it does nothing any more."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._lock = threading.Lock()
        self._closed = False

    def read(self, tail: Tail, carried: dict[str, bytes | None], failure: list[Exception], flush: bool) -> Batch | None:
        """A tail's next batch, with its position and the state changes that it carries for others. What went wrong with
        the file is put into ``failure``.
        """
        intake = self._intake
        with self._lock:
            if self._closed:
                return None
            try:
                chunk = tail.read(intake.max_bytes, intake.max_record, flush=flush)
            except (Gone, OSError) as error:
                failure.append(error)
                return None
            if chunk is None:
                return None
            batch = to_batch(chunk, intake.name, dict(tail.labels), tail.generation, intake.max_record)
            batch.state = carried | tail.state()
            return batch

    def look(self, tails: Sequence[Tail], watcher: Watcher | None) -> tuple[set[Tail], CannotWatch | None]:
        """Which tails have something to read. The others are watched from here on, or the reason is given why not."""
        reason = None
        active = set()
        with self._lock:
            for tail in [] if self._closed else tails:
                try:
                    if not tail.look():
                        if watcher is not None and reason is None:
                            watcher.arm(tail)
                        if not tail.look():  # what came before the watch was set
                            continue
                except CannotWatch as error:
                    reason = error
                except OSError:  # reading it says what is wrong
                    pass
                active.add(tail)
        return active, reason

    def close(self, tails: Iterable[Tail]) -> None:
        """Close the files, when whatever runs has ended."""
        with self._lock:
            self._closed = True
            for tail in tails:
                tail.close()


async def whole(work: Callable[[], list[_Result]], deal: Callable[[_Result], None]) -> None:
    """Run ``work`` on a worker thread and ``deal`` with its results; with all of them even when cancelled meanwhile,
    or what it opened would belong to nobody.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
    finally:
        for result in task.result() if task.done() else ():
            deal(result)
