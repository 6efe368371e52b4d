"""The engine's side of a source: worker thread, chain, frames, spool; with the counts that make the metrics."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from shipper.batch import Batch, Labels, Upstream
from shipper.budget import Budget
from shipper.log import get_logger
from shipper.pack import counted, pack
from shipper.sinks.base import Gap
from shipper.spool.body import GapNote, Mark
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame
from shipper.spool.spool import Spool
from shipper.spool.upstream import DUPLICATE

if TYPE_CHECKING:
    from shipper.chain.run import Chain
    from shipper.metrics import Registry

_FRAME_ROOM: Final = 16 * 1024
"""Room in a frame for metadata."""
log = get_logger("intake")


@dataclass(slots=True)
class Ticket:
    """A batch's receipt."""

    durable: "asyncio.Future[int]"
    numbers: int


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
    ) -> None:
        self.name = name
        self.labels = labels
        self.max_bytes = min(max_bytes, spool.max_frame // 4)
        self.max_delay = max_delay
        self.max_record = spool.max_frame - _FRAME_ROOM
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
        self._turn = asyncio.Lock()
        self._pending: set[asyncio.Future[int]] = set()
        self._invalid = 0
        self._replaced = metrics.counter("shipper_text_replaced_total", source=name)
        self._stages = {
            stage: metrics.counter("shipper_records_total", source=name, stage=stage)
            for stage in ("read", "kept", "dropped", "failed")
        }

    async def take(self, read: Callable[[], Batch | None]) -> Ticket | None:
        """See ``Intake``. A call that is cancelled leaves what its worker thread has begun to become durable.

        :raises SpoolFailed: nothing can be written any more.
        """
        async with self._turn:
            await self._budget.wait()
            work = asyncio.ensure_future(self._process(read))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait({work})  # the chain is not for two at a time
                raise

    async def _process(self, read: Callable[[], Batch | None]) -> Ticket | None:
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._workers, self._work, read)
        finally:
            self.working = False
        return None if made is None else self._append(*made)

    async def take_frame(self, batch: Batch) -> Ticket:
        """``take`` for a frame from another shipper. One that goes on as it came needs no worker thread, and no task:
        that is a third of what a small frame costs a collector.
        """
        if isinstance(batch.payload, Frame) and (self._chain.empty or self._held(batch)):
            async with self._turn:
                await self._budget.wait()
                return self._append(batch, EntryDraft([batch.payload], upstream=batch.upstream))
        ticket = await self.take(lambda: batch)
        assert ticket is not None  # noqa: S101 - for the type checker: only a read that gives no batch has none
        return ticket

    async def take_gap(self, upstream: Upstream, gap: Gap, labels: Labels) -> Ticket:  # noqa: ARG002 - see HopIntake
        """Take over that an upstream stream lost frames; durable like a batch."""
        note = GapNote(upstream.stream, gap.first, gap.last, gap.records, gap.reason)
        async with self._turn:
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
            self.files[file] = unread
            self._metrics.gauge("shipper_source_lag_bytes", source=self.name, file=file).set(unread)

    def lost(self, reason: str, size: int, file: str) -> None:
        """See ``Intake``."""
        self._metrics.counter("shipper_lost_bytes_total", reason=reason).add(size)
        log.error("bytes of a file can never be read", source=self.name, file=file, bytes=size, reason=reason)

    @property
    def in_hand(self) -> int:
        """Batches that are processed now or are not durable yet."""
        return len(self._pending) + self.working

    @property
    def progress(self) -> int:
        """Changes whenever a batch got on."""
        return self.taken + self.settled

    @property
    def unread(self) -> int:
        """Unread bytes of all files."""
        return sum(self.files.values())

    async def settle(self) -> None:
        """Wait until everything that was taken is durable (or failed)."""
        if self._pending:
            await asyncio.gather(*self._pending, return_exceptions=True)

    def _work(self, read: Callable[[], Batch | None]) -> tuple[Batch, EntryDraft] | None:
        """On a worker thread: read, process, encode."""
        batch = read()
        if batch is None:
            return None
        self.working = True  # from here on somebody else's code may hang
        batch.state = {self._prefix + key: value for key, value in batch.state.items()}
        batch = self._chain.run(batch)
        if self._chain.invalid_utf8 > self._invalid:
            self._replaced.add(self._chain.invalid_utf8 - self._invalid)
            self._invalid = self._chain.invalid_utf8
        for processor, count in self._chain.take_errors():
            self._metrics.counter("shipper_parse_errors_total", source=self.name, processor=processor).add(count)
        frames = [batch.payload] if isinstance(batch.payload, Frame) else pack(batch, self._spool.max_frame)
        batch.ranges = counted(batch)
        return batch, EntryDraft(frames, batch.state, batch.dead_letters, batch.upstream)

    def _held(self, batch: Batch) -> bool:
        """A frame that came before: the writer drops it; the processors need not see it twice."""
        mark = self._spool.marks.get(batch.upstream.stream) if batch.upstream is not None else None
        return mark is not None and batch.upstream is not None and batch.upstream.seq < mark.next

    def _append(self, batch: Batch, entry: EntryDraft) -> Ticket:
        self.taken += 1
        ticket = self._queue(entry, sum(len(f.raw) if isinstance(f, Frame) else f.size for f in entry.frames))
        if batch.upstream is None:
            self._count(batch)
        else:  # whether it is a duplicate only the writer knows
            ticket.durable.add_done_callback(partial(self._count_if_new, batch))
        return ticket

    def _queue(self, entry: EntryDraft, size: int) -> Ticket:
        future = self._spool.append(entry)
        self._budget.add(size)
        self._pending.add(future)

        def done(future: "asyncio.Future[int]") -> None:
            self._budget.free(size)
            self._pending.discard(future)
            self.settled += 1
            if not future.cancelled():
                future.exception()  # asked for, or asyncio would warn about a source that does not wait for it

        future.add_done_callback(done)
        return Ticket(future, max(1, len(entry.frames)))

    def _count_if_new(self, batch: Batch, durable: "asyncio.Future[int]") -> None:
        if durable.cancelled() or durable.exception() is not None:
            return
        if durable.result() == DUPLICATE:
            self._metrics.counter("shipper_duplicates_total", source=self.name).add()
        else:
            self._count(batch)

    def _count(self, batch: Batch) -> None:
        stages = self._stages
        if isinstance(batch.payload, Frame):
            stages["read"].add(batch.payload.records)
            stages["kept"].add(batch.payload.records)
            return
        for span in batch.ranges:
            stages["read"].add(span.read)
            stages["kept"].add(span.kept)
            stages["failed"].add(span.failed)
            for by, count in span.dropped.items():
                stages["dropped"].add(count)
                processor, _, reason = by.rpartition("/")
                self._metrics.counter("shipper_records_dropped_total", processor=processor, reason=reason).add(count)
        for letter in batch.dead_letters:
            log.warning(
                "a record goes to the dead letters",
                source=self.name,
                processor=letter.processor,
                error=letter.error,
                every=60.0,
                key=(self.name, letter.processor),
            )
            self._metrics.counter("shipper_dead_letters_total", processor=letter.processor).add()
