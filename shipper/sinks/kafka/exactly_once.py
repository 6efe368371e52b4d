"""One connection of the sink with ``exactly_once``: what waits becomes readable in one transaction.

    send ─▶ pending ─▶ what is in its turn ─▶ (thread) batches ─▶ transaction: batches, cursors ─▶ committed ─▶ acked

While a transaction runs the items of the next one gather: so the slower the brokers are, the fewer there are.

The rules
- A transaction holds records and, in the cursor topic, how far their streams are with them. So the topics and the
  cursors agree, whenever a process or a broker dies.
- To begin: the producer is initialised, which ends what an earlier process left open and shuts it out; then the cursor
  topic is read to its end. Only then is known how far the stream is, and it stays so.
- After any failure of a transaction its outcome is not known here. The connection is given up, and the next one begins
  again. A process that was shut out finds out in this way.
- One transaction at a time: of records, or of claims.
- What a frame loses to the dead letters is durable there before the cursor moves past it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from operator import attrgetter
from typing import ClassVar

from shipper.errors import ShipperError, SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import TOO_LARGE, in_plain_words
from shipper.sinks.base import Claimed, Frame, Item, Outlet
from shipper.sinks.flat import refuse
from shipper.sinks.kafka.books import Books
from shipper.sinks.kafka.claims import Claims
from shipper.sinks.kafka.cursor_topic import CursorTopic
from shipper.sinks.kafka.cursors import Claim, Cursor
from shipper.sinks.kafka.destinations import Destinations
from shipper.sinks.kafka.opening import Opening, Proof
from shipper.sinks.kafka.records import Batch, Handed, now, refuse_batch
from shipper.sinks.kafka.session import Plan
from shipper.sinks.kafka.together import together
from shipper.sinks.kafka.transactions import Transactions
from shipper.sinks.worker import Worker
from shipper.spool.frame import HEADER_SIZE


class ExactlyOnce:
    """Between ``connect`` and ``close``."""

    renew_after: ClassVar[int] = 2**31 - 1
    """Records that one partition may get before the producer is initialised again: their numbers have 31 bits."""
    transaction_bytes: ClassVar[int] = 4 * 1024 * 1024
    """Bytes of frames that go into one transaction, about: its end costs as much as that of a small one."""
    group_bytes: ClassVar[int] = 1024 * 1024
    """Bytes of records that are built into batches at a time; they take some ten times as much memory meanwhile."""

    def __init__(self, plan: Plan, outlet: Outlet, worker: Worker, books: Books) -> None:
        """``books``: the same for all connections of a sink."""
        self._plan = plan
        self._outlet = outlet
        self._worker = worker
        self._books = books
        books.own = outlet.stream
        self._id = f"shipper-{outlet.stream.hex()}-{outlet.name}"
        self._cluster = Cluster(plan.access, request_timeout=plan.request_timeout)
        self._destinations = Destinations(self._cluster, plan.topic, plan.create, plan.cursor_topic)
        self._topic = CursorTopic(self._cluster, plan.cursor_topic)
        self._transactions = Transactions(
            self._cluster, self._id, timeout=plan.transaction_timeout, patience=plan.request_timeout
        )
        self._claims = Claims(self._id, books, self._topic, self._transactions)
        self._proof = Proof()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._limit = min(plan.max_in_flight, self.transaction_bytes)
        self._pending: list[Item] = []
        self._pending_size = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def held_up(self) -> bool:
        """The brokers have the next move."""
        return self._cluster.waiting

    async def open(self) -> int:
        """Connect, and shut out whoever wrote under this stream before; the number to go on from.

        :raises SinkUnavailable: the brokers or a topic are not there.
        :raises SinkError: they do not let us in, the cursor topic is not fit for use, or another process took over.
        :raises StreamDisowned: the cursor is that of another history of the stream.
        """
        outlet, create = self._outlet, self._plan.create
        await self._cluster.open()
        await self._destinations.check()
        await self._topic.check(create=create is not None, replication=(create and create.replication) or -1)
        await self._judged()  # before anybody is shut out: it may be this process that was
        await self._transactions.initialise()
        opening, start = await self._judged()
        self._books.ownership.begin_again(self._id, outlet.stream, start)
        async with self._transaction():
            await self._deliver([], self._entries({outlet.stream: start}, {}))
        self._books.writes(opening)
        if start.next > opening.cursor:
            self._proof = Proof(start)
        self._tasks = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._take_claims())]
        return opening.cursor

    async def send(self, items: Sequence[Item]) -> None:
        """Take items; waits while as many are here as go into a transaction."""
        self._pending += items
        self._pending_size += sum(map(_size, items))
        self._some.set()
        while self._pending_size >= self._limit:
            self._full.set()
            self._taken.clear()
            await self._taken.wait()

    async def claim(self, stream: bytes, floor: int) -> Claimed:
        """See ``Sink.claim``."""
        return await self._claims.ask(stream, floor)

    async def broken(self) -> None:
        """Wait until it cannot go on, then raise why."""
        ended, _ = await asyncio.wait([self._failure, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for one in ended:
            one.result()

    async def close(self) -> None:
        """Stop at once."""
        self._fail(SinkUnavailable("the connection to Kafka was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cluster.close()

    async def _run(self) -> None:
        """Write what is handed over, one transaction after the other."""
        while True:
            await self._some.wait()
            if self._plan.linger > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._plan.linger)
            async with self._turn:
                self._check()
                items, self._pending, self._pending_size = self._pending, [], 0
                self._some.clear()
                self._full.clear()
                self._taken.set()
                await self._renew(items)
                rest = self._proof.rest(items)
                if self._proof.given:
                    await self._write_items(rest)

    async def _write_items(self, items: Sequence[Item]) -> None:
        """Write what is in its turn and acknowledge all."""
        ownership = self._books.ownership
        taken = [one for item in items for one in ownership.take(item)]
        moves = ownership.moves()
        if moves:
            async with self._transaction():
                await self._deliver(taken, self._entries(moves, ownership.settled()))
            ownership.committed()
        self._outlet.acked(ownership.reached)

    async def _judged(self) -> tuple[Opening, Cursor]:
        """Read the cursor topic; where this opening of the spool goes on."""
        await self._books.catch_up(self._topic)
        opening = Opening.of(self._outlet)
        return opening, opening.judge(self._books.cursor(opening.stream), wrote=self._books.wrote(opening))

    async def _renew(self, items: Sequence[Item]) -> None:
        """Begin to count anew before a partition has too many records."""
        records = sum(item.body.records for item in items if isinstance(item.body, Frame))
        if self._transactions.most_written + records > self.renew_after:
            async with self._failing():
                await self._initialise_again()

    async def _initialise_again(self) -> None:
        """Somebody else may have shut this process out before: the topic says so."""
        await self._transactions.initialise()
        await self._judged()

    async def _deliver(self, items: Sequence[Item], books: Batch) -> None:
        """Records to batches and to the brokers, ``books`` with the last; what cannot be sent to the dead letters."""
        handed = [Handed(item) for item in items]
        await self._destinations.assign(handed)
        groups = [*_groups([one for one in handed if one.topic], self.group_bytes)]
        batches = await self._built(groups[0]) if groups else []
        for group in groups[1:]:
            _, batches = await together(self._write(batches), self._built(group))
        await self._write([*batches, books])
        for one in handed:
            await refuse(self._outlet, sorted(one.refusals, key=attrgetter("at")))

    async def _write(self, batches: Sequence[Batch]) -> None:
        await self._transactions.write(batches, self._instead)

    async def _built(self, group: Sequence[Handed]) -> list[Batch]:
        return await self._worker.run(partial(self._plan.builder.build, group, self._cluster.topics, now()))

    async def _instead(self, batch: Batch, error: Exception) -> Sequence[Batch]:
        """What takes the place of a batch that the brokers will never take."""
        if isinstance(error, TOO_LARGE) and batch.count > 1:
            return await self._worker.run(partial(self._plan.builder.smaller, batch, now()))
        await self._worker.run(partial(refuse_batch, batch, in_plain_words(error)))
        return []

    def _entries(self, cursors: Mapping[bytes, Cursor], claims: Mapping[bytes, Claim]) -> Batch:
        return self._books.batch(self._plan.cursor_topic, cursors, claims, self._id)

    async def _take_claims(self) -> None:
        """Answer claims, until cancelled. Records of other streams are written while somebody is shut out."""
        ownership = self._books.ownership
        while True:
            await self._claims.wait()
            try:
                async with self._turn:
                    self._check()
                    claims = await self._claims.begin()
                    if claims:
                        async with self._transaction():
                            await self._deliver([], self._entries({}, claims | ownership.settled()))
                        ownership.committed()
                await self._claims.settle(claims)
            except ShipperError as error:
                self._claims.fail(error)
                if not error.retriable:  # a record of the topic cannot be read: those behind it are not known
                    self._fail(error)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """What is written in it is committed at its end."""
        async with self._failing():
            yield
            if not await self._transactions.end():
                await self._initialise_again()

    @asynccontextmanager
    async def _failing(self) -> AsyncIterator[None]:
        """A step that nothing may follow if it failed, or was interrupted."""
        try:
            yield
        except BaseException as error:
            self._fail(error if isinstance(error, ShipperError) else SinkUnavailable(f"a transaction ended: {error!r}"))
            raise

    def _fail(self, error: ShipperError) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # it is raised where somebody asks; if nobody does, that is no news
            self._claims.end(error)

    def _check(self) -> None:
        if self._failure.done():
            self._failure.result()


def _size(item: Item) -> int:
    return len(item.body.raw) if isinstance(item.body, Frame) else HEADER_SIZE


def _groups(handed: Sequence[Handed], size: int) -> Iterator[list[Handed]]:
    """Cut so that a group's records have about so many bytes."""
    group: list[Handed] = []
    held = 0
    for one in handed:
        records = one.item.body.decoded_size if isinstance(one.item.body, Frame) else 0
        if group and held + records > size:
            yield group
            group, held = [], 0
        group.append(one)
        held += records
    if group:
        yield group
