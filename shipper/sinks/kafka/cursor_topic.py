"""The cursor topic at the brokers: that it is fit for use, and what stands in it.

It is read to its end, with what open transactions wrote (see transcript.py). The end is asked for first and apart from
the records: a broker that has just become the leader does not answer that before it knows all that is committed.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.control_record import COMMIT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from shipper.errors import SinkError, SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.kafka.codecs import bound_decoders
from shipper.kafka.errors import for_code, translate
from shipper.sinks.kafka.transactions import UNANSWERED
from shipper.sinks.kafka.transcript import LogRecord, Transcript

bound_decoders()

SETTINGS: Final = (
    ("cleanup.policy", "compact"),
    # Compaction passes over the segment that is written to, and a start reads it whole.
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
)
"""Of every cursor topic that is made here."""
_SAFE: Final = 3
"""Of so many copies two must be in sync for a cursor to be taken: the loss of one loses and stops nothing."""
_FETCH_BYTES: Final = 1024 * 1024
_UNCOMMITTED: Final = 0
_LATEST, _EARLIEST = -1, -2
_TOPIC_RESOURCE: Final = 2
_LOOKS, _PAUSE = 50, 0.1
_GROUP: Final = "cursors"
"""A connection of its own: answers come in order, and these do not wait behind those to what is produced."""


class _Batch(NamedTuple):
    """A batch of the log, as far as it matters here."""

    producer: int | None
    """Of a transaction."""
    records: Sequence[LogRecord]
    commits: bool | None
    """Of a marker: what became of the transaction."""
    next: int
    """The offset after it."""


class CursorTopic:
    """The topic through one connection to the cluster; each ``read`` goes on where the last one ended."""

    patience: ClassVar[float] = 30.0
    """Seconds that the brokers may send nothing of what they say is there."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._told: Final = f"the cursor topic {name}"
        self._at: int | None = None
        self._transcript = Transcript()
        self._new: list[LogRecord] = []
        """Committed, and not told yet: a ``read`` that fails on its way loses nothing."""

    async def check(self, *, create: bool, replication: int) -> None:
        """See that the topic can be used; ``create``: make it if it is not there.

        :raises SinkUnavailable: it is not there now, or cannot be reached.
        :raises SinkError: it is there, and is not fit for use.
        """
        try:
            missing = (await self._cluster.refresh([self._name])).get(self._name)
            if isinstance(missing, UnknownTopicOrPartitionError) and create:
                settings = settings_for(replication)
                await self._cluster.create(self._name, partitions=1, replication=replication, settings=settings)
                missing = await self._made()
            if missing is not None:
                raise translate(missing, self._told) from missing
            partitions = len(self._cluster.topics[self._name].leaders)
            if partitions != 1:
                raise SinkError(
                    f"{self._told} has {partitions} partitions, and cursors are kept in the order of one: name another "
                    "topic in cursor_topic, with one partition and cleanup.policy=compact"
                )
            await self._check_policy()
        except (KafkaError, *UNANSWERED) as error:
            raise translate(error, self._told) from error

    async def _made(self) -> Exception | None:
        """Wait until the brokers have told each other of the new topic; what they say if that takes too long."""
        for _ in range(_LOOKS):
            missing = (await self._cluster.refresh([self._name])).get(self._name)
            if missing is None and self._cluster.topics[self._name].leaders[0] >= 0:
                return None
            await asyncio.sleep(_PAUSE)
        return missing or LeaderNotAvailableError()

    async def _check_policy(self) -> None:
        request = DescribeConfigsRequest([(_TOPIC_RESOURCE, self._name, ["cleanup.policy"])])
        answer = await self._cluster.ask(request)
        for code, _, _, _, settings in answer.resources:
            if code:
                continue  # not everybody may ask, and who may not can still write cursors
            for _, value, *_ in settings:
                if value != "compact":
                    raise SinkError(
                        f"{self._told} has cleanup.policy={value}: the brokers would delete cursors, and what they "
                        "stand for would be written twice; set it to compact"
                    )

    async def read(self) -> list[LogRecord]:
        """What was committed since the last time, up to the end that the topic has now; in the order of the topic.
        One at a time.

        :raises SinkUnavailable: it cannot be read now.
        """
        try:
            end = await self._offset(_LATEST)
            if self._at is None:
                self._at = await self._offset(_EARLIEST)
            if self._at > end:  # made anew, or cut by a leader that lagged: what comes now would not be seen
                raise self._cut()
            heard = time.monotonic()
            while self._at < end:
                data = await self._fetch(self._at)
                batches = await asyncio.to_thread(_batches, data, self._at)
                for batch in batches:
                    self._new += self._decided(batch)
                    self._at = batch.next
                if batches:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.patience:
                    raise self._silent(end)
        except (KafkaError, *UNANSWERED) as error:
            raise translate(error, self._told) from error
        found, self._new = self._new, []
        return sorted(found, key=lambda record: record.offset)

    def begin_again(self) -> None:
        """The next ``read`` begins with the topic's first record."""
        self._at = None
        self._transcript = Transcript()
        self._new = []

    @property
    def pending(self) -> Iterable[LogRecord]:
        """What transactions wrote that were open at the end of the last ``read``."""
        return self._transcript.pending

    def _decided(self, batch: _Batch) -> Sequence[LogRecord]:
        if batch.producer is not None and batch.commits is not None:
            return self._transcript.marker(batch.producer, committed=batch.commits)
        return self._transcript.data(batch.producer, batch.records)

    async def _offset(self, which: int) -> int:
        answer = await self._ask(OffsetRequest(-1, _UNCOMMITTED, [(self._name, [(0, which)])]))
        ((_, ((_, code, _, offset),)),) = answer.topics
        self._judge(code)
        return int(offset)

    async def _fetch(self, offset: int) -> bytes:
        where = [(self._name, [(0, offset, _FETCH_BYTES)])]
        answer = await self._ask(FetchRequest(100, 1, _FETCH_BYTES, _UNCOMMITTED, where))
        ((_, ((_, code, *_, data),)),) = answer.topics
        self._judge(code)
        return bytes(data or b"")

    async def _ask(self, request: Any) -> Any:
        known = self._cluster.topics.get(self._name)
        if known is None or known.leaders[0] < 0:
            raise LeaderNotAvailableError
        return await self._cluster.send(known.leaders[0], request, _GROUP)

    def _silent(self, end: int) -> SinkUnavailable:
        text = f"the brokers send nothing from offset {self._at} on, and it ends at {end}"
        return SinkUnavailable(f"{self._told}: {text}")

    def _cut(self) -> SinkUnavailable:
        return SinkUnavailable(f"{self._told} lost records while it was read; it is read again")

    def _judge(self, code: int) -> None:
        if code == OffsetOutOfRangeError.errno:
            raise self._cut()
        if code:
            raise for_code(code)


def settings_for(replication: int) -> list[tuple[str, str]]:
    """What a cursor topic is made with; ``replication``: how many copies there will be, -1 where only brokers know."""
    return [*SETTINGS, ("min.insync.replicas", "2")] if replication >= _SAFE else [*SETTINGS]


def _batches(data: bytes, start: int) -> list[_Batch]:
    """The whole batches of a fetch, which may begin before the offset that was asked for."""
    found = []
    memory = MemoryRecords(data)
    while memory.has_next():
        batch = memory.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"the batch at offset {batch.base_offset} is damaged")
        producer = batch.producer_id if batch.is_transactional else None
        if batch.is_control_batch:
            marker = next(iter(batch), None)
            commits = marker is not None and ControlRecord.parse(marker.key) == COMMIT_MARKER
            found.append(_Batch(producer, [], commits, batch.next_offset))
        else:
            records = [LogRecord(record.offset, record.key, record.value) for record in batch]
            found.append(_Batch(producer, [each for each in records if each.offset >= start], None, batch.next_offset))
    return found
