"""From lines to records that have several: open records, and where a restart has to read them again.

A ``Joiner`` belongs to a tail and holds the records that are open between two reads: one a stream, bounded. A record's
range is exact: a tail's position stands at the first line of what is open (``Tail.held``), and what was shipped beyond
it, in other streams, stands in ``Tail.ahead``. So nothing half is ever durable, and a restart neither splits nor
doubles a record.

Where a file is rotated while a record is open, the joiner goes to the next file of the path (``Joiner.hand_over``).
The batch that closes such a record covers ranges of both files, and holds both positions; until then the older one's
position stays where the record begins. Truncated in place, a file is an older and a newer one too.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Final

from shipper.batch import Batch, Labels, Loss, Payload, SourceRange
from shipper.sources.file.containers import ContainerFormat, path_labels
from shipper.sources.file.framing import Chunk
from shipper.sources.file.identity import NOTHING, TAIL_SIZE, digest
from shipper.sources.file.marks import Closed, Marks, Place, Starts
from shipper.sources.file.multiline import Multiline, MultilineConfig
from shipper.sources.file.stages import PlainLines, Stage
from shipper.sources.file.tail import Tail

_REACH: Final = 8 * 1024 * 1024
"""An open record is closed when so much was read behind its beginning (in other streams): a restart reads it again."""
_FLUSH_AFTER: Final = 1.0
"""Seconds, where no ``multiline`` says so."""


@dataclass(slots=True, frozen=True)
class Joining:
    """What a source's config says about joining."""

    container: ContainerFormat | None = None
    multiline: MultilineConfig | None = None

    @property
    def flush_after(self) -> float:
        """Seconds after which an open record is closed."""
        return _FLUSH_AFTER if self.multiline is None else self.multiline.flush_after

    def joiners(self, max_record: int) -> "Callable[[], Joiner]":
        """What makes a joiner for a file; ``max_record`` bytes fit into a frame."""
        stage = self._stages(max_record)
        return lambda: Joiner(stage(), self.flush_after, container=self.container is not None)

    def _stages(self, max_record: int) -> Callable[[], Stage]:
        max_bytes = max_record
        made: Callable[[], Multiline] | None = None
        config = self.multiline
        if config is not None:
            max_bytes = min(max_bytes, config.max_bytes)
            logic, lines, size = config.logic(), config.max_lines, max_bytes
            made = lambda: Multiline(copy(logic), lines, size)  # noqa: E731 - it has to be named to be passed on
        if self.container is not None:
            from shipper.sources.file.streams import Streams  # what few sources need

            form = self.container
            return lambda: Streams(form, made, max_bytes)
        assert made is not None  # noqa: S101 - for the type checker: else there is nothing to join
        return lambda: PlainLines(made())


class Joiner:
    """The open records of a tail, or of the older files of its path; see above."""

    def __init__(self, stage: Stage, flush_after: float, *, container: bool) -> None:
        self._stage = stage
        self._flush_after = flush_after
        self._container = container
        self._places: list[Place] = []
        self._closed: list[Closed] = []
        self._losses: list[Loss] = []
        self._partial = False
        self._labels: tuple[str, str, Labels] = ("", "", {})
        self._long = (0, 0.0)
        """Of a line that was cut: its length, and when it was fed."""
        self._forgets: list[Tail] = []

    @property
    def idle(self) -> bool:
        """Nothing is open."""
        return not self._stage.open()

    @property
    def due(self) -> float:
        """When a record has been open for so long without more that it is closed."""
        if self.has_long:
            return -math.inf
        return min(self._stage.touched(), default=math.inf) + self._flush_after

    def holds(self, tail: Tail) -> bool:
        """Whether an open record begins in the tail, or goes on there."""
        return any(mark.place.tail is tail for marks in self._stage.open().values() for mark in marks)

    def begin(self, tail: Tail) -> None:
        """What is read next stands in this tail; asked before it is read."""
        place = self._places[-1] if self._places else None
        if place is None or place.tail is not tail:
            self._places.append(Place(tail, tail.generation, tail.offset, tail.offset, tail.tail, tail.ahead))

    def begin_anew(self, tail: Tail) -> None:
        """The tail was read as a new generation, from its first byte."""
        self._places.append(Place(tail, tail.generation, 0, 0, NOTHING))

    def left(self, tail: Tail, before: Tail) -> None:
        """The generation of ``tail`` is that of ``before`` from now on: ``tail`` begins anew."""
        for place in self._places:
            if place.tail is tail and place.generation == before.generation:
                place.tail = before

    @property
    def has_long(self) -> bool:
        """A record that ends with a line that was cut is open: ``close_long`` comes before anything is fed."""
        return self._long[0] > 0 and any(at >= self._long[1] for at in self._stage.touched())

    def close_long(self) -> None:
        """Close the record that ends with a line that was cut. It is alone in its batch, which has the label
        ``truncated``.
        """
        self._closed.append(self._stage.close(since=self._long[1]))

    def feed(self, tail: Tail, chunk: Chunk) -> int:
        """What was read. How many lines of it had invalid UTF-8, for which U+FFFD stands from here on."""
        place = self._places[-1]
        self._partial = chunk.partial
        replaced, now = 0, time.monotonic()
        if chunk.data:
            self._closed.append(self._stage.feed(chunk.data, Starts(chunk), place, now))
            replaced = self._closed[-1].replaced
        self._fed(place, tail, chunk)
        if chunk.too_long:
            self._losses += [loss for loss in tail.losses if loss.reason == "too_long"]
            tail.losses = [loss for loss in tail.losses if loss.reason != "too_long"]
            self._long = chunk.too_long, now
            if not any(part.count for part in self._closed):
                self.close_long()
        if any(place.read - self._reach(place, marks) > _REACH for marks in self._stage.open().values()):
            self.close()
        return replaced

    def forget(self, tail: Tail) -> bool:
        """A tail's file is gone for good. Whether a record is open that begins there or went on: then the batch that
        closes it forgets the tail, and has its losses. So a crash before loses nothing that is not counted.
        """
        if not self.holds(tail):
            return False
        self._forgets.append(tail)
        return True

    def hand_over(self, older: Tail, newer: Tail) -> None:
        """The older file of a path was read to its end: what is open goes on in the newer one."""
        if not self.idle and (newer.joiner is None or newer.joiner.idle):
            newer.joiner, older.joiner, older.lent = self, None, self
            newer.flush_at = min(newer.flush_at, self.due)
            older.flush_at = older.half_due  # when the records are due, the newer one says

    def close(self, *, due_at: float = math.inf) -> None:
        """Close what is open; ``due_at``: only that to which nothing had been added for long then (monotonic)."""
        self._closed.append(self._stage.close(until=due_at - self._flush_after))

    def batch(self, source: str) -> Batch | None:
        """What was closed, with the ranges and positions that it moves. None: nothing has moved."""
        closed, self._closed = self._closed, []
        payload = Payload(
            self._stage.format, b"".join([part.data for part in closed]), sum(part.count for part in closed)
        )
        counts: Counter[Place] = sum((part.counts for part in closed), Counter())
        ranges: list[SourceRange] = []
        state: dict[str, bytes | None] = {}
        current = self._places[-1]
        moved = payload.count > 0
        open_records = self._stage.open()
        for place in self._places:
            end = self._hold(place, open_records)
            moved = moved or end > place.done
            count = counts[place]
            if place is current or end > place.done or count:
                partial = self._partial and place is current and end == place.read
                span = SourceRange(source, place.generation, place.done, end, read=count, kept=count, partial=partial)
                ranges.append(span)
            if moved:
                place.done = end
            if not place.tail.forgotten or place.tail in self._forgets:
                state |= place.tail.state()
        held = {mark.place for marks in open_records.values() for mark in marks}
        forgotten = [tail for tail in self._forgets if tail not in {place.tail for place in held}]
        if not moved and not forgotten:
            return None
        self._places = [place for place in self._places if place is current or place in held]
        batch = Batch(source, self._labelled(current.tail), payload, ranges, time.time_ns() // 1000, state)
        batch.losses, self._losses = self._reached(ranges)
        for tail in forgotten:
            self._forgets.remove(tail)
            batch.state |= {generation.hex(): None for generation in (*tail.ended, tail.generation)}
            batch.losses += tail.losses
        if self._long[0] and not self.has_long:
            batch.labels |= {"truncated": self._long[0]} if payload.count else {}
            self._long = 0, 0.0
        return batch

    @staticmethod
    def _reach(place: Place, marks: Marks) -> int:
        """From where on a restart has to read for an open record, in the place that is read."""
        return next((mark.start for mark in marks if mark.place is place), 0)

    def _fed(self, place: Place, tail: Tail, chunk: Chunk) -> None:
        """Everything up to the chunk's end was read; what is open now remembers the bytes before it."""
        raw = chunk.raw or (chunk.data if len(chunk.data) == chunk.end - chunk.start else b"")
        known = place.lead + raw if len(raw) == chunk.end - chunk.start else raw
        for marks in self._stage.open().values():
            for mark in marks:  # each, as the next may be the first when a record is closed
                if mark.place is place and not mark.tail_hash:
                    at_start = mark.start == chunk.start
                    mark.tail_hash = place.tail_hash if at_start else _before(tail, mark.start, chunk, known)
        place.read, place.tail_hash, place.lead = chunk.end, tail.tail, known[-TAIL_SIZE:]
        if place.ahead and place.read >= max(place.ahead.values()):
            place.ahead = {}

    def _hold(self, place: Place, open_records: dict[str, Marks]) -> int:
        """Set what the position of a place says, and return it: where the first open record begins, or all was read."""
        firsts = {name: mark for name, marks in open_records.items() for mark in marks[::-1] if mark.place is place}
        first = min(firsts.values(), key=lambda mark: mark.start, default=None)
        end = place.read if first is None else first.start
        tail = place.tail
        shipped = {
            name: max(place.ahead.get(name, 0), firsts[name].start if name in firsts else place.read)
            for name in self._stage.names
        }
        tail.held = None if first is None else (first.start, first.tail_hash)
        tail.ahead = {name: at for name, at in shipped.items() if at > end}
        return end

    def _reached(self, ranges: list[SourceRange]) -> tuple[list[Loss], list[Loss]]:
        """The losses that lie in what the ranges cover, and the others: counted once, with their line."""
        ends = {span.generation: span.end for span in ranges}
        reached = [loss for loss in self._losses if loss.start < ends.get(loss.generation, 0)]
        return reached, [loss for loss in self._losses if loss not in reached]

    def _labelled(self, tail: Tail) -> Labels:
        if not self._container:
            return dict(tail.labels)
        if self._labels[:2] != (tail.path, tail.where):
            self._labels = tail.path, tail.where, path_labels(tail.path, tail.where)
        return tail.labels | self._labels[2]


def _before(tail: Tail, start: int, chunk: Chunk, known: bytes) -> bytes:
    """The hash of the bytes before ``start``. ``known`` ends where the chunk does."""
    size = min(TAIL_SIZE, start)
    at = len(known) - (chunk.end - start)
    data = known[at - size : at] if at >= size else tail.pread(size, start - size)
    return digest(data)
