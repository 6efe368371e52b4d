"""The engine's side of a source: worker thread, chain, frames, spool; with the counts that make the metrics."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from shipper.batch import Batch, Labels, Upstream
from shipper.budget import Budget
from shipper.counts import Counts
from shipper.errors import SourceUnavailable
from shipper.flights import Flights, Ticket, entry_made, read_some
from shipper.lost_bytes import LostBytes
from shipper.pack import entry_of
from shipper.sinks.base import Gap
from shipper.sinks.sharing import NOBODY, Sharing
from shipper.spool.body import GapNote, Mark
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame
from shipper.spool.replayed import KEY as REPLAYED
from shipper.spool.spool import Spool

if TYPE_CHECKING:
    from shipper.chain.line import Line
    from shipper.chain.parcels import Made
    from shipper.chain.run import Chain
    from shipper.metrics import Registry

_FRAME_ROOM: Final = 16 * 1024
"""Room in a frame for metadata."""


class SourceIntake:
    """One source's intake (see ``shipper.sources.base.Intake``)."""

    def __init__(
        self,
        name: str,
        labels: Labels,
        chain: "Chain",
        spool: Spool,
        metrics: "Registry",
        budget: Budget,
        workers: Executor,
        max_bytes: int,
        max_delay: float,
        line: "Line | None" = None,
        most_in_workers: int = 0,
        sharing: Sharing = NOBODY,
    ) -> None:
        """``workers`` are threads. ``line``: the chain runs in processes instead, ``chain`` is not used, and so many
        batches are there at once; a few more where a source gives several in one go. ``sharing``: see ``HopIntake``.
        """
        self.name = name
        self.labels = labels
        self.max_bytes = min(max_bytes, spool.max_frame // 4)
        self.max_delay = max_delay
        self.max_record = spool.max_frame - _FRAME_ROOM
        self.sharing = sharing
        self._prefix = f"source/{name}/"
        self.state: Mapping[str, bytes] = {
            key.removeprefix(self._prefix): value for key, value in spool.state.items() if key.startswith(self._prefix)
        }
        self.files: dict[str, int] = {}
        """Unread bytes by file."""
        self.taken = 0
        """Batches taken so far; ``settled``: those of them that became durable or were given up."""
        self.settled = 0
        self.working = False
        """A worker thread has a batch of this source in hand."""
        self._chain = chain
        self._spool = spool
        self._metrics = metrics
        self._budget = budget
        self._workers = workers
        room = lambda: spool.dead_letter_room  # noqa: E731 - it changes
        self._flights = Flights(line, most_in_workers, budget, room, self._land) if line is not None else None
        self._turn = asyncio.Lock()
        self._ended = False
        self._pending: set[asyncio.Future[int]] = set()
        self._invalid = 0
        self.lost = LostBytes(name, metrics)
        self._counts = Counts(name, metrics)

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Ticket | None:
        """See ``Intake``. A call that is cancelled leaves what its worker thread has begun to become durable.

        :raises SpoolFailed: nothing can be written any more.
        :raises SourceUnavailable: this life of the source is over: see ``end``.
        """
        async with self._turn:
            if self._ended:
                raise SourceUnavailable(f"source {self.name} is being started again; try again in a moment")
            await self._budget.wait()
            if self._flights is not None:
                await self._flights.room()
            work = asyncio.ensure_future(self._process(read, most))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait({work})  # the chain is not for two at a time
                raise

    async def _process(self, read: Callable[[], Batch | None], most: int) -> Ticket | None:
        loop = asyncio.get_running_loop()
        ticket = None
        if self._flights is not None:
            batches: list[Batch] = []
            try:
                await loop.run_in_executor(self._workers, read_some, read, most, batches)
            finally:
                for batch in batches:
                    ticket = self._start(self._flights, batch)
            return ticket
        made: list[tuple[Batch, EntryDraft]] = []
        try:
            await loop.run_in_executor(self._workers, self._work, read, most, made)
        finally:
            self.working = False
            for batch, entry in made:  # whatever became of the one after them
                ticket = self._append(batch, entry)
        return ticket

    async def take_frame(self, batch: Batch) -> Ticket:
        """``take`` for a frame from another shipper. One that goes on as it came needs no worker thread, and no task:
        that is a third of what a small frame costs a collector.
        """
        flights = self._flights
        if isinstance(batch.payload, Frame) and (flights is not None or self._chain.empty or self._held(batch)):
            async with self._turn:
                await self._budget.wait()
                if flights is not None:
                    await flights.room()
                    return self._start(flights, batch)
                return self._append(batch, EntryDraft([batch.payload], upstream=batch.upstream))
        ticket = await self.take(lambda: batch)
        assert ticket is not None  # noqa: S101 - for the type checker: only a read that gives no batch has none
        return ticket

    async def take_gap(self, upstream: Upstream, gap: Gap, labels: Labels) -> Ticket:  # noqa: ARG002 - see HopIntake
        """Take over that an upstream stream lost frames; durable like a batch."""
        note = GapNote(upstream.stream, gap.first, gap.last, gap.records, gap.reason)
        async with self._turn:
            if self._flights is not None:
                await self._flights.room(1)  # what came before it
            return self._queue(EntryDraft(upstream=upstream, gap=note), 0)

    def note(self, state: Mapping[str, bytes]) -> Ticket:
        """Keep state of this source that comes with no batch. Its keys must be ones that no batch writes: it may
        overtake batches.
        """
        return self._queue(EntryDraft(state={self._prefix + key: value for key, value in state.items()}), 0)

    @property
    def metrics(self) -> "Registry":
        """Where a source's own numbers go."""
        return self._metrics

    def mark(self, stream: bytes) -> Mark | None:
        """How much of an upstream stream is held here."""
        return self._spool.marks.get(stream)

    async def lower(self, stream: bytes, mark: Mark) -> None:
        """Have an upstream stream come again from this mark on.

        :raises SpoolError: the spool takes nothing any more.
        """
        await self._queue(EntryDraft(lowered=(stream, mark)), 0).durable

    @property
    def floor(self) -> int:
        """The first sequence number that some sink of the config has not acknowledged and still gets."""
        return self._spool.delivered

    @property
    def next_number(self) -> int:
        """The sequence number that the spool gives to its next frame."""
        return self._spool.next_seq

    def on_delivered(self, moved: Callable[[], object]) -> None:
        """Have ``moved``, and nothing else of this source, called whenever ``floor`` may have moved."""
        self._spool.on_delivered[self.name] = moved

    def lag(self, file: str, unread: int | None) -> None:
        """See ``Intake``."""
        if unread is None:
            self.files.pop(file, None)
            self._metrics.remove("shipper_source_lag_bytes", source=self.name, file=file)
        else:
            if file not in self.files:
                gauge = self._metrics.gauge("shipper_source_lag_bytes", source=self.name, file=file)
                gauge.follow(lambda: self.files.get(file, 0))
            self.files[file] = unread

    @property
    def in_hand(self) -> int:
        """Batches that are processed now or are not durable yet."""
        return len(self._pending) + self.processing

    @property
    def processing(self) -> int:
        """Batches that somebody else's code has, and may hang in."""
        return self.working + (0 if self._flights is None else len(self._flights))

    @property
    def progress(self) -> int:
        """Changes whenever a batch got on, or something is waited for that has its own limit in time."""
        return self.taken + self.settled + self._chain.signs

    @property
    def broken(self) -> "asyncio.Future[None] | None":
        """Fails when a batch fails in a worker, so that the source must be started again."""
        return None if self._flights is None else self._flights.broken

    @property
    def unread(self) -> int:
        """Unread bytes of all files."""
        return sum(self.files.values())

    async def end(self) -> None:
        """Let nothing in any more: the chain is about to be torn down. What was taken goes its way."""
        async with self._turn:
            self._ended = True

    async def settle(self) -> None:
        """Wait until everything that was taken is durable (or failed)."""
        if self._flights is not None:
            with suppress(Exception):  # ``broken`` says it
                await self._flights.room(1)
        if self._pending:
            await asyncio.gather(*self._pending, return_exceptions=True)

    def close(self) -> None:
        """Give up what is in workers."""
        if self._flights is not None:
            self._flights.close()

    def _work(self, read: Callable[[], Batch | None], most: int, made: list[tuple[Batch, EntryDraft]]) -> None:
        """On a worker thread: read, process, encode; several times."""
        while len(made) < most and (batch := read()) is not None:
            self.working = True  # from here on somebody else's code may hang
            made.append(self._make(batch))

    def _make(self, batch: Batch) -> tuple[Batch, EntryDraft]:
        batch.state = self._named(batch)
        batch = self._chain.run(batch)
        self._counts.text(self._chain.invalid_utf8 - self._invalid, self._chain.take_errors())
        self._invalid = self._chain.invalid_utf8
        return batch, entry_of(batch, self.labels, self._spool.max_frame)

    def _start(self, flights: Flights, batch: Batch) -> Ticket:
        batch.state = self._named(batch)
        return flights.start(batch)

    def _named(self, batch: Batch) -> dict[str, bytes | None]:
        """The state that a batch changes, by the keys of the spool."""
        state = {self._prefix + key: value for key, value in batch.state.items()}
        return state if batch.replayed is None else {**state, REPLAYED: batch.replayed}

    def _land(self, batch: Batch, made: "Made", durable: "asyncio.Future[int]") -> Ticket:
        """A batch comes back from its worker."""
        self._counts.text(made.invalid_utf8, made.kept_errors)
        return self._append(batch, entry_made(batch, made), durable)

    def _held(self, batch: Batch) -> bool:
        """A frame that came before: the writer drops it; the processors need not see it twice."""
        mark = self._spool.marks.get(batch.upstream.stream) if batch.upstream is not None else None
        return mark is not None and batch.upstream is not None and batch.upstream.seq < mark.next

    def _append(self, batch: Batch, entry: EntryDraft, durable: "asyncio.Future[int] | None" = None) -> Ticket:
        self.taken += 1
        ticket = self._queue(entry, sum(len(f.raw) if isinstance(f, Frame) else f.size for f in entry.frames), durable)
        if batch.upstream is None:
            self._counts.batch(batch)
        else:  # whether it is a duplicate only the writer knows
            ticket.durable.add_done_callback(partial(self._counts.if_new, batch))
        if batch.losses:
            ticket.durable.add_done_callback(partial(self.lost.count_if_durable, batch.losses))
        return ticket

    def _queue(self, entry: EntryDraft, size: int, durable: "asyncio.Future[int] | None" = None) -> Ticket:
        future = self._spool.append(entry, durable)
        self._budget.add(size)
        self._pending.add(future)

        def done(future: "asyncio.Future[int]") -> None:
            self._budget.free(size)
            self._pending.discard(future)
            self.settled += 1
            if not future.cancelled():
                future.exception()  # asked for, or asyncio would warn about a source that does not wait for it

        future.add_done_callback(done)
        return Ticket(future, max(1, len(entry.frames)), len(entry.dead_letters))
