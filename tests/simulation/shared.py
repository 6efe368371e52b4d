"""What several collectors deliver to together: a store with transactions and fencing, as Kafka has them.

Who delivers what is decided by the real ``Ownership``; here stands what the Kafka sink does around it, one round trip
at a time, each of which may fail or have its answer lost.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from support.shared_world import Fenced, Reader, Record, Topic

from shipper.errors import SinkUnavailable
from shipper.sinks.base import Claimed, Item, Outlet, Sink
from shipper.sinks.kafka.cursors import Claim, Cursor
from shipper.sinks.kafka.ownership import Ownership
from shipper.spool.body import Mark

if TYPE_CHECKING:
    from simulation.archive import Archive


class SharedSink(Sink):
    """Delivers to an ``Archive`` that other collectors deliver to as well, exactly once."""

    def use(self, archive: "Archive", topic: Topic) -> "SharedSink":
        """Where to deliver to, and where it stands who does."""
        self.archive = archive
        self.topic = topic
        self.ownership = Ownership()
        self.reader = Reader(topic, self.ownership)
        self._life = 0
        self._failure: asyncio.Future[None] | None = None
        self._connected = asyncio.Event()
        self._turn = asyncio.Lock()
        self._claiming = asyncio.Lock()
        return self

    @property
    def shares_streams(self) -> bool:
        """See ``Sink``."""
        return True

    async def connect(self, outlet: Outlet) -> int:
        """See ``Sink``."""
        self._outlet = outlet
        self._writer = f"shipper-{outlet.stream.hex()}"
        await self.archive.round_trip()
        self._epoch = self.topic.init(self._writer)
        await self.archive.round_trip()
        self.reader.read()
        start = max(outlet.cursor, self.ownership.cursor(outlet.stream).next)
        self.ownership.begin_again(self._writer, outlet.stream, Cursor(next=start))
        self._life += 1
        self._failure = asyncio.get_running_loop().create_future()
        self._connected.set()
        return start

    async def send(self, items: Sequence[Item]) -> None:
        """See ``Sink``."""
        async with self._turn:
            taken = [one for item in items for one in self.ownership.take(item)]
            moves = self.ownership.moves()
            if moves:
                await self._transaction([*moves.items(), *self.ownership.settled().items()], taken)
            self._outlet.acked(self.ownership.reached)

    async def _transaction(self, entries: "Sequence[tuple[bytes, Cursor | Claim]]", taken: Sequence[Item]) -> None:
        """Write, and end it. What goes wrong ends the connection: nobody knows then whether it was written."""
        life = self._life
        try:
            for stream, value in entries:
                self.topic.append(self._epoch, Record(self._writer, stream, value))
            await self.archive.round_trip()
            self._check(life)
            self.topic.commit(self._writer, self._epoch)
            self.archive.hear(taken)
            await self.archive.round_trip()
            self._check(life)
        except Fenced as error:
            self._fail(life)
            raise SinkUnavailable("another collector shut this one out") from error
        except BaseException:
            self._fail(life)
            raise
        self.ownership.committed()

    def _check(self, life: int) -> None:
        if life != self._life or not self._connected.is_set():
            raise SinkUnavailable("the connection is another one")

    def _fail(self, life: int) -> None:
        if life == self._life:
            self._connected.clear()
            if self._failure is not None and not self._failure.done():
                self._failure.set_result(None)

    async def claim(self, stream: bytes, floor: int) -> Claimed:
        """See ``Sink``."""
        await self._connected.wait()
        async with self._claiming:
            life, ownership = self._life, self.ownership
            async with self._turn:
                self._check(life)
                self.reader.read()
                if ownership.owns(stream):
                    fresh = not ownership.has_all(stream)
                    ownership.goes_on(stream, floor)
                    return self._claimed(stream, fresh=fresh)
                claim = ownership.begin(stream)
                await self._transaction([*ownership.settled().items(), (stream, claim)], [])
            self.reader.read()
            for other in sorted(ownership.to_fence(stream, self.reader.undecided(stream))):
                await self.archive.round_trip()
                self._check(life)
                self.topic.init(other)
            await self.archive.round_trip()
            self._check(life)
            self.reader.read()
            if ownership.settle(stream, floor):
                return self._claimed(stream, fresh=True)
            raise SinkUnavailable("another collector claimed it at the same time")

    def _claimed(self, stream: bytes, *, fresh: bool) -> Claimed:
        cursor = self.ownership.cursor(stream)
        mark = Mark(cursor.next, cursor.epoch, cursor.incarnation, cursor.check, cursor.original_check)
        return Claimed(mark, fresh)

    def held(self, stream: bytes) -> int:
        """See ``Sink``."""
        return self.ownership.cursor(stream).next

    async def broken(self) -> None:
        """See ``Sink``."""
        if self._failure is not None:
            await asyncio.shield(self._failure)
        raise SinkUnavailable("a transaction failed")

    async def close(self) -> None:
        """See ``Sink``."""
        self._fail(self._life)
