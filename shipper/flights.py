"""Batches of one source that are in workers. Whatever order they come back in, they land in that of their departure."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shipper.batch import Batch, Payload
from shipper.budget import Budget
from shipper.pack import gaps, told_by
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame

if TYPE_CHECKING:
    from shipper.chain.line import Answer, Line
    from shipper.chain.parcels import Made


@dataclass(slots=True)
class Ticket:
    """A batch's receipt."""

    durable: "asyncio.Future[int]"
    numbers: int
    """Known when ``durable`` resolves; so is ``failed``."""
    failed: int = 0
    """Dead letters that the batch made."""


@dataclass(slots=True)
class _Flight:
    batch: Batch
    size: int
    ticket: Ticket
    answer: "Answer | None" = None


class Flights:
    """Those of one source, for one life of it."""

    def __init__(
        self,
        line: "Line",
        limit: int,
        budget: Budget,
        room: Callable[[], int],
        land: "Callable[[Batch, Made, asyncio.Future[int]], Ticket]",
    ) -> None:
        """``limit``: so many are under way when the next one waits. ``room`` for dead letters, in bytes. ``land`` is
        called with what became of each batch, and has its future resolved when that is durable.
        """
        self._line = line
        self._limit = limit
        self._budget = budget
        self._room = room
        self._land = land
        self._air: deque[_Flight] = deque()
        self._wanted = limit
        self._moved = asyncio.Event()
        """Fewer than ``_wanted`` are under way."""
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when a batch does: no later one may land, or a restart would not read the lost one again."""

    def __len__(self) -> int:
        return len(self._air)

    def start(self, batch: Batch) -> Ticket:
        """Send a batch on its way."""
        ticket = Ticket(asyncio.get_running_loop().create_future(), 1)
        flight = _Flight(batch, _size(batch), ticket)
        self._budget.add(flight.size)
        self._air.append(flight)
        self._line.run(batch, self._share, partial(self._arrived, flight))
        return ticket

    async def room(self, limit: int | None = None) -> None:
        """Wait until fewer than ``limit`` are under way.

        :raises Exception: what broke the source's chain.
        """
        self._wanted = self._limit if limit is None else limit
        while len(self._air) >= self._wanted:
            self._moved.clear()
            await self._moved.wait()
        if self.broken.done():
            self.broken.result()

    def close(self) -> None:
        """Give up what is under way."""
        self._line.close()
        self._fail(RuntimeError("the source has ended"))

    def _share(self) -> int:
        """What a batch may use of the room: others may fill it meanwhile."""
        return self._room() // (self._limit + 1)

    def _arrived(self, flight: _Flight, answer: "Answer") -> None:
        flight.answer = answer
        while self._air and (found := self._air[0].answer) is not None:
            if isinstance(found, Exception):
                return self._break(found)
            first = self._air[0]
            try:
                ticket = self._land(first.batch, found, first.ticket.durable)
            except Exception as error:  # noqa: BLE001 - the spool takes nothing any more
                return self._break(error)
            self._air.popleft()
            self._budget.free(first.size)
            first.ticket.numbers, first.ticket.failed = ticket.numbers, ticket.failed
        if len(self._air) < self._wanted:
            self._moved.set()
        return None

    def _break(self, error: Exception) -> None:
        self._line.close()
        self.broken.set_exception(error)
        self.broken.exception()  # who waits for it asks again
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        for flight in self._air:
            self._budget.free(flight.size)
            if not flight.ticket.durable.done():
                flight.ticket.durable.set_exception(error)
                flight.ticket.durable.exception()  # asked for, or asyncio would warn about a source that does not wait
        self._air.clear()
        self._moved.set()


def read_some(read: Callable[[], Batch | None], most: int, batches: list[Batch]) -> None:
    """On a worker thread: read several times."""
    while len(batches) < most and (batch := read()) is not None:
        batches.append(batch)


def entry_made(batch: Batch, made: "Made") -> EntryDraft:
    """What a batch becomes in the spool, given what its chain made of it. The batch then says so, too."""
    batch.ranges, batch.dead_letters = made.ranges, made.dead_letters
    state = batch.state | made.state
    if made.frames is None:
        assert isinstance(batch.payload, Frame)  # noqa: S101 - for the type checker
        return EntryDraft([batch.payload], state, made.dead_letters, batch.upstream)
    batch.payload = Payload.lines(b"")  # nobody needs it any more
    told = told_by(batch, gaps(batch.source, batch.labels, batch.losses))
    return EntryDraft(made.frames, state, made.dead_letters, batch.upstream, told=told, came=batch.came)


def _size(batch: Batch) -> int:
    """Bytes that a batch takes, about."""
    payload = batch.payload
    if isinstance(payload, Frame):
        return len(payload.raw)
    return len(payload.data) if isinstance(payload, Payload) else 256 * len(payload)
