"""The way to aiokafka's consumer: the group and the connections are its business, records are not.

Its public methods make a Python object for each record, on the event loop, which costs four times what reading the
records on a worker thread does (decision 180). So whole fetches are taken out of its fetcher before it unpacks them.
This file alone knows how; aiokafka 0.14 is what it was written against, and every test of the source fails where a
later version differs.

What was fetched is taken as the bytes that it is: aiokafka unpacks no batch behind one that is damaged, and none before
it where it finds that out early; nor does it give a batch's bytes to whoever wants to read it otherwise.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

import aiokafka.consumer.fetcher
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)
from aiokafka.record.memory_records import MemoryRecords

from shipper.errors import ShipperError, SourceUnavailable
from shipper.kafka.errors import SOURCE, translate
from shipper.kafka.settings import Access
from shipper.sources.kafka import connect
from shipper.sources.kafka.connect import Limits
from shipper.sources.kafka.position import Committed
from shipper.sources.kafka.sealed import behind, split
from shipper.sources.kafka.unpack import Fetch

Place: TypeAlias = tuple[str, int]
"""A partition: topic and number."""

_SILENT: Final = 90.0
"""Seconds without such an answer after which everything is done anew, from the config's addresses."""


class _Answer(MemoryRecords):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's batches of one answer, which hide the bytes that they are made of; with these."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


aiokafka.consumer.fetcher.MemoryRecords = _Answer


class Gone(NamedTuple):
    """What was to be read next is not in the partition."""


class Client:
    """One membership in a consumer group."""

    def __init__(self, access: Access, group: str, limits: Limits, isolation: str) -> None:
        self._access = access
        self._group = group
        self._limits = limits
        self._isolation = isolation
        self._consumer: Any = None
        self._heard = 0.0
        self._ends: dict[Place, int] = {}
        """Where each partition ended when it was asked for."""

    async def start(self, pattern: re.Pattern[str], listener: ConsumerRebalanceListener) -> None:
        """Connect and join. By a pattern always: who asks for a topic by its name makes it on many brokers.

        :raises ShipperError: no broker can be reached, or they do not let us in.
        """
        self._hear()
        consumer = self._consumer = await connect.make(self._access, self._group, self._limits, self._isolation)
        try:
            await connect.start(consumer)
            consumer._client.cluster.add_listener(self._hear)
            consumer.subscribe(pattern=pattern.pattern, listener=listener)
        except (KafkaError, OSError) as error:
            raise self._translated(error, "cannot connect") from error

    async def stop(self, within: float) -> None:
        """Leave the group, which takes at most so many seconds, and close all connections."""
        if self._consumer is not None:
            await connect.stop(self._consumer, within)

    async def wait(self, places: Iterable[Place], within: float) -> None:
        """Until something was fetched from one of these partitions, ``wake`` is called, or so many seconds are over.

        :raises ShipperError: the group, or what fetches, cannot go on.
        """
        fetcher = self._consumer._fetcher
        self._check()
        if any(place in fetcher._records for place in places):
            return
        waiter = fetcher._create_fetch_waiter()
        try:
            await asyncio.wait({waiter, fetcher.error_future}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not waiter.done():
                waiter.cancel()
            elif not waiter.cancelled():
                waiter.exception()  # ``_check`` raises it
        self._check()

    def waiting(self, places: Iterable[Place]) -> int:
        """Bytes that were fetched from these partitions and not asked for yet."""
        records = self._consumer._fetcher._records
        results = [records[place] for place in places if place in records]
        return sum(r._partition_records._records.size_in_bytes() for r in results if isinstance(r, FetchResult))

    def wake(self) -> None:
        """Let ``wait`` return."""
        if self._consumer is not None and self._consumer._fetcher is not None:
            for waiter in self._consumer._fetcher._fetch_waiters:
                self._consumer._fetcher._notify(waiter)

    def fetched(self, place: Place) -> Fetch | Gone | None:
        """What was fetched from a partition, once; the partition's next part is fetched from now on.

        :raises ShipperError: the partition cannot be read.
        """
        fetcher = self._consumer._fetcher
        result = fetcher._records.pop(place, None)
        if result is None:
            return None
        fetcher._notify(fetcher._wait_consume_future)
        if isinstance(result, FetchError):
            try:
                result.check_raise()
            except OffsetOutOfRangeError:
                return Gone()
            except KafkaError as error:
                raise self._translated(error, f"topic {place[0]}, partition {place[1]}") from error
        if not result.check_assignment(result._topic_partition):
            return None
        parts = result._partition_records
        batches = split(parts._records.data)
        state = result._assignment.state_value(place)
        start = parts.next_fetch_offset
        end = max(start, behind(batches[-1]))
        state.consumed_to(end)
        aborted = sorted((first, producer) for producer, first in parts._aborted_transactions)
        committed = self._isolation == "read_committed"
        return Fetch(start, end, batches, aborted if committed else [], parts._records.size_in_bytes())

    async def committed(self, places: Sequence[Place]) -> dict[Place, Committed]:
        """What the group holds; nothing for a partition of which it holds nothing.

        :raises ShipperError: it does not tell.
        """
        try:
            found = await self._consumer._coordinator.fetch_committed_offsets([TopicPartition(*p) for p in places])
        except KafkaError as error:
            raise self._translated(error, "the group's positions cannot be read") from error
        return {tuple(place): Committed(at.offset, at.metadata) for place, at in found.items()}

    async def commit(self, offsets: Mapping[Place, tuple[int, str]]) -> bool:
        """Commit offsets, each with its metadata; False where these partitions are not ours any more.

        :raises ShipperError: the group does not take them, and will not.
        """
        try:
            await self._consumer.commit({TopicPartition(*place): value for place, value in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            topics = ", ".join(sorted({topic for topic, _ in offsets}))
            raise self._translated(error, f"the group does not take positions in {topics}") from error
        return True

    async def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """The first offset that each partition holds, and the first that it does not hold yet (for those who read
        committed records: not beyond the begin of an open transaction).

        :raises ShipperError: nobody tells.
        """
        partitions = [TopicPartition(*place) for place in places]
        try:
            starts = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
        except KafkaError as error:
            raise self._translated(error, "offsets cannot be asked for") from error
        self._ends |= {(p.topic, p.partition): ends[p] for p in partitions}
        return {(p.topic, p.partition): (starts[p], ends[p]) for p in partitions}

    async def since(self, places: Sequence[Place], milliseconds: int) -> dict[Place, tuple[int, int] | None]:
        """Offset and time of the first record of that time (since 1970) or later; None where there is none yet.

        :raises ShipperError: nobody tells.
        """
        try:
            found = await self._consumer.offsets_for_times({TopicPartition(*p): milliseconds for p in places})
        except KafkaError as error:
            raise self._translated(error, "offsets cannot be asked for") from error
        return {tuple(place): None if at is None else (at.offset, at.timestamp) for place, at in found.items()}

    def seek(self, place: Place, offset: int) -> None:
        """Fetch from there on. Of a partition that is not ours any more nothing is fetched."""
        with suppress(IllegalStateError):
            self._consumer.seek(TopicPartition(*place), offset)

    def hold(self, places: Iterable[Place]) -> None:
        """Fetch nothing from these partitions until ``go_on``."""
        with suppress(IllegalStateError):
            self._consumer.pause(*(TopicPartition(*place) for place in places))

    def go_on(self) -> None:
        """Fetch from all partitions again."""
        paused = self._consumer.paused()
        self._consumer.resume(*paused)
        if paused:
            self._consumer._fetcher._notify(self._consumer._fetcher._wait_consume_future)

    def behind(self, place: Place, position: int) -> int:
        """Records, about, from there to the end, as far as the brokers told it."""
        subscription = self._consumer._subscription
        state = subscription.subscription.assignment.state_value(place) if subscription.is_assigned(place) else None
        fetched = 0 if state is None else state.highwater or 0
        return max(0, fetched - position, self._ends.get(place, 0) - position)

    def topics(self) -> set[str]:
        """The topics that there are and that we may see."""
        return set(self._consumer._client.cluster.topics()) if self._consumer is not None else set()

    def exists(self, topic: str) -> bool:
        """Whether there is such a topic, as far as is known."""
        return self._consumer is not None and self._consumer.partitions_for_topic(topic) is not None

    def look_around(self) -> None:
        """Ask for the topics that there are, without waiting for the answer."""
        self._consumer._client.force_metadata_update()

    def _check(self) -> None:
        fetcher, coordinator = self._consumer._fetcher, self._consumer._coordinator
        silent = time.monotonic() - self._heard
        if silent > _SILENT:
            raise SourceUnavailable(f"Kafka at {', '.join(self._access.brokers)}: no answer for {silent:.0f} s")
        try:
            coordinator.check_errors()
            if fetcher.error_future.done():
                fetcher.error_future.result()
        except KafkaError as error:
            raise self._translated(error, f"group {self._group}") from error

    def _hear(self, *_: object) -> None:
        """A broker has told of the cluster."""
        self._heard = time.monotonic()

    def _translated(self, error: BaseException, what: str) -> ShipperError:
        return translate(error, f"Kafka at {', '.join(self._access.brokers)}: {what}", SOURCE)
