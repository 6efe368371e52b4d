"""One membership in a consumer group: what is ours, what was read of it, what of that is durable, what is committed.

In this order, always: a record is fetched, taken by the intake, durable in the spool, committed to the group. The group
gives a partition to another member only after ``on_partitions_revoked`` returned; so what is on its way then is waited
for and committed, and nothing is read twice. Twice is read what a member had in its spool and had not committed when it
died, was cut off for longer than the session timeout, or could not get through to its disk in time; by topic, partition
and offset it can be told.

All of this runs on the event loop. aiokafka calls the two ``on_partitions`` methods from a task of its own.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from aiokafka.abc import ConsumerRebalanceListener

from shipper.errors import ShipperError
from shipper.log import get_logger
from shipper.sources.base import Intake
from shipper.sources.kafka.client import Client, Gone, Place
from shipper.sources.kafka.partition import Partition, decode, place_of
from shipper.sources.kafka.position import Position, new_generation
from shipper.sources.kafka.reader import Reader
from shipper.sources.kafka.records import Maker
from shipper.sources.kafka.start import Start
from shipper.sources.kafka.unpack import Fetched, Missing

log = get_logger("kafka")

_LOOK: Final = 1.0
"""Seconds between two looks for topics of the config that do not exist."""
_TICK: Final = 15.0
"""Seconds after which a wait for records looks whether the brokers are there at all."""
LOOK_AT_ENDS: Final = 15.0
"""Seconds between two questions where partitions end. While the spool is full no fetch tells it, and that is when
somebody wants to know how much is unread."""
_COMMIT_EVERY: Final = 1.0
"""Seconds between two commits; what a member that is killed had read since, the next one reads again."""


class Patience(NamedTuple):
    """How many seconds it is waited until what was taken is durable and committed."""

    handing_over: float
    """When partitions are given back; the others of the group wait as long."""
    stopping: float
    """When the source is stopped."""
    leaving: float = 5.0
    """Until the group knows that this member is gone; else it waits for the session's time-out."""


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Reads what the group gives this member, and hands it to an intake."""

    def __init__(
        self, intake: Intake, client: Client, maker: Maker, topics: list[str], start: str, patience: Patience
    ) -> None:
        """``topics``: those that the config names.

        :raises SourceError: a position that is kept in the spool cannot be read.
        """
        self._intake = intake
        self._topics = topics
        self._client = client
        self._reader = Reader(intake, client, maker)
        self._start = Start(client, start, intake.name)
        self._patience = patience
        self._own = {place_of(key): decode(key, value) for key, value in intake.state.items()}
        """How far each partition was taken into this spool, also those that are not ours now."""
        self._former: dict[Place, Partition] = {}
        """Those that were ours before: what was taken of them may not be durable yet."""
        self.ours: dict[Place, Partition] = {}
        self.joined = False
        """The group has said what is ours."""
        self.missing = 0
        """Offsets that were removed before they were read."""
        self._until: dict[Place, int] | None = None
        """With ``once``: where each partition ended when it was first ours."""
        self._failure: BaseException | None = None
        self._committing = asyncio.Lock()
        self._commits: asyncio.Future[None]

    async def run(self, pattern: re.Pattern[str], *, once: bool) -> None:
        """Read until cancelled; with ``once`` until all is read that was there when the group gave it to us.

        :raises ShipperError: it cannot go on.
        """
        if once:
            self._until = {}
        self._commits = asyncio.ensure_future(self._commit_always())
        looks = asyncio.ensure_future(self._look_always())
        try:
            await self._client.start(pattern, self)
            await self._read()
            await self._reader.settle(None)
        finally:
            looks.cancel()
            self._commits.cancel()
            await self._leave()

    @property
    def absent(self) -> list[str]:
        """The topics that the config names and that are not there."""
        return [topic for topic in self._topics if not self._client.exists(topic)]

    def behind(self) -> int:
        """Records, about, that are not read yet of what is ours."""
        return sum(self._client.behind(place, partition.passed) for place, partition in self.ours.items())

    async def on_partitions_revoked(self, revoked: Iterable[Place]) -> None:  # noqa: ARG002 - all are, always
        """Give back what is ours: see above."""
        given_back, self.ours = self.ours, {}
        self._commits.cancel()  # the last commit is made here
        self._meter(given_back, there=False)
        if not await self._reader.settle(self._patience.handing_over):
            log.warning(
                "partitions are given back before all that was read of them is durable: whoever reads them next will "
                "read some records again",
                source=self._intake.name,
            )
        for place, partition in given_back.items():
            self._own[place] = Position(partition.passed, partition.generation, partition.time)
            self._former[place] = partition
        await self._commit_within(given_back.values(), self._patience.handing_over)
        self._commits = asyncio.ensure_future(self._commit_always())

    async def on_partitions_assigned(self, assigned: Iterable[Place]) -> None:
        """Find out where to go on, and do."""
        try:
            await self._assign([(topic, number) for topic, number in assigned])
        except Exception as error:  # noqa: BLE001 - raised here, it would be logged and forgotten
            self._failure = error
        self._client.wake()

    async def _assign(self, places: list[Place]) -> None:
        """:raises ShipperError: the group or the brokers do not tell what must be known."""
        ours = await self._start.partitions(places, self._own)
        for place, partition in ours.items():
            former = self._former.get(place)
            # What was on its way when it was given back may have been taken since.
            if former is not None and former.generation == partition.generation and former.passed >= partition.passed:
                former.committed = partition.committed
                ours[place] = former
        if places:
            for place, (_, end) in (await self._client.bounds(places)).items():
                if self._until is not None:
                    self._until.setdefault(place, end)
        await self._begin(ours)
        self._meter(ours, there=True)
        self.joined = True
        log.info("the group gave partitions", source=self._intake.name, partitions=len(ours))

    async def _begin(self, partitions: dict[Place, Partition]) -> None:
        """Read partitions. First the group is told where from and of which generation: so it is known to whoever reads
        next, whatever happens to us.

        :raises ShipperError: it is not to be told.
        """
        unknown = [partition for partition in partitions.values() if partition.committed is None]
        if unknown and not await self._commit(unknown):
            return  # they are given to somebody else by now
        for place, partition in partitions.items():
            self._client.seek(place, partition.passed)
        self.ours |= partitions

    async def _read(self) -> None:
        due = 0.0
        while not self._finished:
            await self._client.wait(self.ours, _LOOK if self.absent else _TICK)
            if self.absent:
                self._client.look_around()
            for failure in (self._failure, self._reader.failure):
                if failure is not None:
                    raise failure
            if self._client.waiting(self.ours) < self._intake.max_bytes:
                await asyncio.sleep(due - time.monotonic())
            portions = await self._gather()
            if portions:
                await self._reader.hand_over(portions)
                due = time.monotonic() + self._intake.max_delay

    @property
    def _finished(self) -> bool:
        until = self._until
        return until is not None and self.joined and all(p.passed >= until[place] for place, p in self.ours.items())

    async def _gather(self) -> dict[Partition, list[Fetched]]:
        """What was fetched of all partitions.

        :raises ShipperError: one cannot be read.
        """
        portions: dict[Partition, list[Fetched]] = {}
        for place, partition in list(self.ours.items()):
            fetched = self._client.fetched(place)
            if isinstance(fetched, Gone):
                missing = await self._out_of_range(partition)
                if self.ours.get(place) is partition and missing is not None:
                    portions[partition] = [missing]
            elif fetched is not None:  # from before what was on its way as the partition came back, and is taken now
                portions[partition] = [fetched._replace(start=max(fetched.start, partition.passed))]
        return {partition: fetches for partition, fetches in portions.items() if partition.place in self.ours}

    async def _out_of_range(self, partition: Partition) -> Missing | None:
        """What was to be read next is not there: find out why, and go on. What is lost.

        :raises ShipperError: the brokers do not tell.
        """
        place, at = partition.place, partition.passed
        first, end = (await self._client.bounds([place]))[place]
        told = partial(log.error, source=self._intake.name, topic=place[0], partition=place[1])
        if at < first:
            self.missing += first - at
            told("records were removed before they were read: retention", offset=at, next=first, records=first - at)
        elif at > end:
            told("the partition ends before what was read of it: made anew, or cut; it is read from its begin", read=at)
            await self._begin({place: Partition.at(place, Position(first, new_generation()))})
            return None
        self._client.seek(place, max(at, first))
        return Missing(at, first) if at < first else None

    async def _commit_always(self) -> None:
        while True:
            await self._reader.moved.wait()
            self._reader.moved.clear()
            try:
                await self._commit(self.ours.values())
            except ShipperError as error:
                self._failure = error
                self._client.wake()
                return
            await asyncio.sleep(_COMMIT_EVERY)

    async def _look_always(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_ENDS)
            if self.ours:
                with suppress(ShipperError):  # whoever reads finds out what is wrong
                    await self._client.bounds(list(self.ours))

    async def _commit(self, partitions: Iterable[Partition]) -> bool:
        """Tell the group what is durable; False where the partitions are not ours any more.

        :raises ShipperError: it does not take it, and will not.
        """
        async with self._committing:  # a commit that is tried again must not overtake a later one
            there = [p for p in partitions if self._client.exists(p.place[0])]  # for others it would try for ever
            new = {p: p.durable for p in there if p.durable != p.committed}
            taken = await self._client.commit({p.place: (at, p.metadata) for p, at in new.items()}) if new else True
            if taken:
                for partition, at in new.items():
                    partition.committed = at
            return taken

    async def _commit_within(self, partitions: Iterable[Partition], seconds: float) -> None:
        """The last commit of partitions. Where it fails, the next member reads some records again."""
        with suppress(TimeoutError, ShipperError):
            async with asyncio.timeout(seconds):
                await self._commit(partitions)

    async def _leave(self) -> None:
        """Stop, with as little as possible left to be read again."""
        patience = self._patience.stopping
        self._meter(self.ours, there=False)
        try:
            await self._reader.settle(patience)
            await self._commit_within(self.ours.values(), patience)
        finally:
            await self._client.stop(self._patience.leaving)

    def _meter(self, partitions: Iterable[Place], *, there: bool) -> None:
        """The metric of each partition comes and goes with it."""
        metrics, name = self._intake.metrics, "shipper_source_lag_records"
        for topic, number in partitions:
            labels = {"source": self._intake.name, "topic": topic, "partition": str(number)}
            if there:
                metrics.gauge(name, **labels).follow(partial(self._behind, (topic, number)))
            else:
                metrics.remove(name, **labels)

    def _behind(self, place: Place) -> float:
        partition = self.ours.get(place)
        return 0.0 if partition is None else self._client.behind(place, partition.passed)
