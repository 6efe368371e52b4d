"""A small, real intake: it keeps what sources hand over, forgets what was not durable, and can be started again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from shipper.batch import Batch, DeadLetter, SourceRange
from shipper.errors import SpoolFailed
from shipper.metrics import Registry
from shipper.sources.base import Receipt, Source
from shipper.spool.body import Mark
from shipper.spool.frame import Frame

DEADLINE = 60.0
"""Seconds after which a condition is given up; reached only when something is broken."""


@dataclass
class Ticket:
    """A batch's receipt."""

    durable: "asyncio.Future[int]"
    numbers: int = 1


@dataclass
class MemoryIntake:
    """An ``Intake`` in memory. ``hold`` keeps batches from becoming durable, ``full`` blocks as a full spool does."""

    name: str = "app"
    labels: dict[str, Any] = field(default_factory=lambda: {"host": "edge-1", "source": "app"})
    max_bytes: int = 256 * 1024
    max_delay: float = 0.02
    max_record: int = 1024 * 1024 - 16 * 1024
    state: Mapping[str, bytes] = field(default_factory=dict)
    metrics: Registry = field(default_factory=Registry)
    batches: list[Batch] = field(default_factory=list)
    lags: dict[str, int] = field(default_factory=dict)
    hold: bool = False
    fail_at: int | None = None
    overlaps: int = 0
    _durable: int = 0
    _running: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tickets: list[Ticket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open.set()

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Receipt | None:
        """See ``Intake``."""
        self.overlaps += self._running
        self._running += 1
        try:
            async with self._turn:
                await self._open.wait()
                if self.fail_at is not None and len(self.batches) >= self.fail_at:
                    raise SpoolFailed("the disk refused")
                made: list[Batch] = []
                try:
                    await asyncio.to_thread(_several, read, most, made)
                finally:
                    for batch in made:
                        self.batches.append(batch)
                        self._tickets.append(Ticket(asyncio.get_running_loop().create_future()))
                    if not self.hold:
                        self.sync()
                    self._changed.set()
                return self._tickets[-1] if made else None
        finally:
            self._running -= 1

    async def take_frame(self, batch: Batch) -> Receipt:
        """See ``HopIntake``."""
        receipt = await self.take(lambda: batch)
        assert receipt is not None
        return receipt

    def mark(self, stream: bytes) -> Mark | None:
        """How far a sender's stream was taken (for sources whose batches come from another shipper)."""
        taken = [batch.upstream for batch in self.batches if batch.upstream and batch.upstream.stream == stream]
        return Mark(taken[-1].seq + 1, taken[-1].epoch, taken[-1].incarnation, taken[-1].crc) if taken else None

    def lag(self, file: str, unread: int | None) -> None:
        """See ``Intake``."""
        self._changed.set()
        if unread is None:
            self.lags.pop(file, None)
        else:
            self.lags[file] = unread

    def sync(self) -> None:
        """Everything taken is durable now."""
        for number, ticket in enumerate(self._tickets[self._durable :], self._durable):
            if not ticket.durable.done():
                ticket.durable.set_result(number)
        self._durable = len(self.batches)

    def block(self) -> None:
        """The spool is full."""
        self._open.clear()

    def unblock(self) -> None:
        """There is room again."""
        self._open.set()

    def restarted(self, **changes: Any) -> "MemoryIntake":
        """The intake after a crash: what was not durable never happened."""
        batches = self.batches[: self._durable]
        after = MemoryIntake(self.name, dict(self.labels), self.max_bytes, self.max_delay, self.max_record)
        after.batches, after._durable = batches, len(batches)
        after._tickets = self._tickets[: self._durable]
        after.state = self.durable_state()
        for name, value in changes.items():
            setattr(after, name, value)
        return after

    def durable_state(self) -> dict[str, bytes]:
        """The state as a restart finds it. A batch that was restarted from is in it already."""
        state: dict[str, bytes] = {}
        for batch in self.batches[: self._durable]:
            for key, value in batch.state.items():
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
        return state

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds that batches, lags or losses bring about.

        :raises AssertionError: it did not within the deadline.
        """
        end = time.monotonic() + DEADLINE
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"this never came true; records so far: {self.records()[-20:]}"
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 0.02))
            except TimeoutError:
                continue

    async def have(self, count: int) -> None:
        """Wait for so many records."""
        await self.until(lambda: len(self.records()) >= count)

    async def records_are(self, *expected: bytes) -> None:
        """Wait for exactly these records, in this order."""
        await self.have(len(expected))
        assert self.records() == list(expected), self.records()

    def records(self, file: str | None = None) -> list[bytes]:
        """All records taken, of one file if it is named."""
        found: list[bytes] = []
        for batch in self.batches:
            if file is None or batch.labels.get("file") == file:
                found += raw_records(batch)
        return found

    def ranges(self) -> list[SourceRange]:
        """All source ranges taken."""
        return [span for batch in self.batches for span in batch.ranges]

    @property
    def losses(self) -> list[tuple[str, int, str]]:
        """All losses taken: reason, bytes and file."""
        return [(loss.reason, loss.end - loss.start, loss.file) for batch in self.batches for loss in batch.losses]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters taken."""
        return [letter for batch in self.batches for letter in batch.dead_letters]


def _several(read: Callable[[], Batch | None], most: int, made: list[Batch]) -> None:
    while len(made) < most and (batch := read()) is not None:
        made.append(batch)


def raw_records(batch: Batch) -> list[bytes]:
    """The bytes of each record of a batch that no chain has changed; the message of one that never had bytes."""
    payload = batch.payload.payload() if isinstance(batch.payload, Frame) else batch.payload
    if isinstance(payload, list):
        return [str(record["message"]).encode() for record in payload]
    return [] if payload is None else payload.raw()


@asynccontextmanager
async def running(source: Source, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    """A source at work, cancelled at the end. What it raised before is raised here."""
    task = asyncio.create_task(source.run(intake, once=False))
    async with stopping(task):
        yield task


@asynccontextmanager
async def stopping(task: "asyncio.Task[None]") -> AsyncIterator["asyncio.Task[None]"]:
    """Cancel a task at the end and wait for it. What it raised by itself is raised here."""
    try:
        yield task
    finally:
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
            raise result
