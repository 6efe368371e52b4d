"""What the reader of a file source does on worker threads: reading, looking, closing.

One lock keeps these apart: a call that was cancelled on the loop runs on in its thread, and a descriptor must not be
closed (and its number reused) under it.
"""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from shipper.batch import Batch
from shipper.sources.base import Intake
from shipper.sources.file.changes import Carried
from shipper.sources.file.durable import sync_together
from shipper.sources.file.framing import Chunk, to_batch
from shipper.sources.file.identity import PREFIX_SIZE, Position, digest
from shipper.sources.file.likeness import Known
from shipper.sources.file.reading import Rules, read
from shipper.sources.file.tail import Gone, Tail
from shipper.sources.file.watch import Watcher

if TYPE_CHECKING:
    from shipper.sources.file.join import Joiner

_Result = TypeVar("_Result")

_LONG: Final = 0.5
"""Seconds that it may take to sync a file system; else it is not done again for ``_PAUSE`` seconds."""
_PAUSE: Final = 60.0
_REST: Final = 4
"""A rest of at most this part of a frame goes along with the frame before it: each frame costs as much as 100 KiB."""


class Worker:
    """Touches the files. After ``close`` it does nothing any more."""

    def __init__(self, intake: Intake, rules: Rules) -> None:
        self._intake = intake
        self._rules = rules
        self._holes = intake.metrics.counter("shipper_source_holes_bytes_total", source=intake.name)
        self._replaced = intake.metrics.counter("shipper_text_replaced_total", source=intake.name)
        self.joins = rules.joining is not None
        """Lines are joined to records."""
        self._joiners = None if rules.joining is None else rules.joining.joiners(intake.max_record)
        self._lock = threading.Lock()
        self._closed = False
        self._alone = 0.0
        """Until then each file is synced by itself (monotonic)."""

    def sync(self, tails: Iterable[Tail]) -> None:
        """Sync together the files of tails that are to be read. Where that takes long, as others write gigabytes there,
        each is synced by its own read for a while.
        """
        with self._lock:
            began = time.monotonic()
            if self._closed or began < self._alone:
                return
            sync_together(tails)
            if time.monotonic() - began > _LONG:
                self._alone = time.monotonic() + _PAUSE

    def read(self, tail: Tail, carried: Carried, failure: list[Exception], flush: bool) -> Batch | None:
        """A tail's next batch, with its position and what it carries for others. What went wrong with
        the file is put into ``failure``.
        """
        intake = self._intake
        size = intake.max_bytes
        if size < tail.unread <= size + size // _REST:
            size = tail.unread
        with self._lock:
            if self._closed or tail.forgotten:  # its rest was counted as lost
                return None
            if self._joiners is None:
                batch = self._lines(tail, size, carried, failure, flush=flush)
            else:
                batch = self._joined(self._joiners, tail, size, carried, failure, flush=flush)
            if batch is not None:
                tail.ended.clear()
                tail.losses.clear()
            return batch

    def _lines(self, tail: Tail, size: int, carried: Carried, failure: list[Exception], *, flush: bool) -> Batch | None:
        """``read`` where lines are records."""
        intake = self._intake
        try:
            half = flush and time.monotonic() >= tail.half_due
            chunk = read(tail, size, intake.max_record, self._rules, flush=half)
        except (Gone, OSError) as error:
            failure.append(error)
            return None
        if chunk is None:
            return None
        self._count(chunk)
        batch = to_batch(chunk, intake.name, dict(tail.labels), tail.generation)
        batch.state = carried.state | tail.state()
        batch.losses = carried.losses + tail.losses
        return batch

    def _joined(
        self,
        joiners: "Callable[[], Joiner]",
        tail: Tail,
        size: int,
        carried: Carried,
        failure: list[Exception],
        *,
        flush: bool,
    ) -> Batch | None:
        """``read`` where lines are joined to records."""
        last = flush and (tail.stop is not None or not tail.half_due)  # nothing is expected any more
        try:
            lent = tail.lent
            if lent is not None and lent.holds(tail):
                # What is written behind the end of an older file must not overtake what was open there.
                return self._close(lent, carried) if (flush and tail.unread) or tail.look() else None
            tail.lent = None
            generation = tail.generation
            joiner = tail.joiner = tail.joiner or joiners()
            if joiner.has_long:
                joiner.close_long()
                tail.flush_at = min(tail.half_due, joiner.due)
                return self._given(joiner, carried)
            joiner.begin(tail)
            began = time.monotonic()
            half = flush and began >= tail.half_due
            chunk = read(tail, size, self._intake.max_record, self._rules, flush=half)
        except (Gone, OSError) as error:
            failure.append(error)
            return None if tail.joiner is None else self._close(tail.joiner, carried)
        if generation != tail.generation:
            joiner = tail.joiner = joiners()
            joiner.begin_anew(tail)
        if chunk is not None:
            self._count(chunk)
            self._replaced.add(joiner.feed(tail, chunk))
        if not joiner.has_long and (not tail.unread or chunk is None):
            if last:
                joiner.close()
            elif joiner.due <= began:
                # Not what is due by now: more may have been written before that, and found while nothing ran.
                joiner.close(due_at=began if tail.looked > -math.inf and stands(tail) else tail.looked)
        tail.flush_at = min(tail.flush_at, joiner.due)
        batch = self._given(joiner, carried)
        if batch is not None:
            batch.losses += tail.losses
        return batch

    def finish(self, joiner: "Joiner", carried: Carried) -> Batch | None:
        """A batch of what is open when nothing more is read."""
        with self._lock:
            return None if self._closed else self._close(joiner, carried)

    def _close(self, joiner: "Joiner", carried: Carried) -> Batch | None:
        joiner.close()
        return self._given(joiner, carried)

    def _given(self, joiner: "Joiner", carried: Carried) -> Batch | None:
        batch = joiner.batch(self._intake.name)
        if batch is not None:
            batch.state = carried.state | batch.state
            batch.losses = [*carried.losses, *batch.losses]
        return batch

    def _count(self, chunk: Chunk) -> None:
        if chunk.holes:
            self._holes.add(chunk.holes)
        if chunk.replaced:
            self._replaced.add(chunk.replaced)

    def look(self, tails: Sequence[Tail], watcher: Watcher | None) -> set[Tail]:
        """Which tails have something to read. The others are watched from here on."""
        active = set()
        with self._lock:
            for tail in [] if self._closed else tails:
                try:
                    if not tail.look():
                        if watcher is not None:
                            watcher.arm(tail)
                        if not tail.look():  # what came before the watch was set
                            continue
                except OSError:  # reading it says what is wrong
                    pass
                active.add(tail)
        return active

    def look_on(self, tails: Iterable[Tail]) -> list[tuple[Tail, int]]:
        """Look at those that are open while they wait to be read. How much of each is unread."""
        looked = []
        with self._lock:
            for tail in () if self._closed else tails:
                if tail.descriptor >= 0:
                    with suppress(OSError):  # reading it says what is wrong
                        tail.look()
                        looked.append((tail, tail.unread))
        return looked

    def positions(self, tails: Iterable[Tail]) -> list[Known]:
        """Tails, and those they left, as they are between two reads. On any thread."""
        with self._lock:
            return [Known(one, _position(one)) for tail in list(tails) for one in (tail, *tail.left)]

    def deleted(self, tails: Iterable[Tail]) -> list[Tail]:
        """Which open files have no name any more."""
        found = []
        with self._lock:
            for tail in tails:
                with suppress(OSError):  # closed just now
                    if not os.fstat(tail.descriptor).st_nlink:
                        found.append(tail)
        return found

    def give_up(self, tails: Iterable[Tail]) -> None:
        """Close deleted files for good; what they held now is known as their size."""
        with self._lock:
            for tail in tails:
                with suppress(OSError):  # closed just now
                    tail.size = os.fstat(tail.descriptor).st_size
                    tail.given_up = True
                    tail.close()

    def close(self, tails: Iterable[Tail]) -> None:
        """Close the files, when whatever runs has ended."""
        with self._lock:
            self._closed = True
            for tail in tails:
                tail.close()


def stands(tail: Tail) -> bool:
    """Whether a tail's file is the one that is written under the name of its log: no newer one goes on with it."""
    try:
        info = os.stat(tail.line or tail.path)
    except OSError:
        return False
    return (info.st_dev, info.st_ino) == (tail.device, tail.inode)


def _position(tail: Tail) -> Position:
    """Of a file that is open, and that nobody has read yet, with the hash of its first bytes."""
    position = tail.position()
    if tail.descriptor < 0 or position.prefix_size or tail.packed:
        return position
    head = os.pread(tail.descriptor, PREFIX_SIZE, 0)
    return msgspec.structs.replace(position, prefix_size=len(head), prefix=digest(head))


async def whole(work: Callable[[], list[_Result]], deal: Callable[[_Result], None]) -> None:
    """Run ``work`` on a worker thread and ``deal`` with its results; with all of them even when cancelled meanwhile,
    or what it opened would belong to nobody.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await finished(task)
    finally:
        for result in task.result() if task.done() else ():
            deal(result)


async def finished(task: "asyncio.Future[_Result]") -> _Result:
    """The result; a call that is cancelled lets the thread end first, as it uses a descriptor."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
