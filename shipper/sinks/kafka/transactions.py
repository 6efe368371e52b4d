"""One transactional id at the brokers: batches become readable all together or not at all.

    initialise -> write, write ... -> end(commit) -> write ... -> end(commit) ...

``initialise`` ends what an earlier process left open under the id, and shuts that process out for good: each gets an
epoch of its own, and the brokers take nothing of an earlier one. After any error but one of ``fence`` the open
transaction and the numbers of its records are worth nothing: initialise again, and read again what is committed.

Requests whose answer is lost are asked again: each means the same when it is done twice, at once; see ``end`` for what
comes late. A batch has a sequence number in its partition, by which the leader knows it again.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from aiokafka import errors as kafka
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest

from shipper.errors import ShipperError
from shipper.kafka.batch import stamp
from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import NEVER_TAKEN, for_code, repeats, translate
from shipper.log import get_logger
from shipper.sinks.kafka.records import Batch
from shipper.sinks.kafka.together import together

log = get_logger("kafka")

Place: TypeAlias = tuple[str, int]
"""A topic and a partition."""

_LOG_EVERY: Final = 60.0

_PAUSE: Final = 0.02
"""Seconds between two questions while the brokers end a transaction: they need some milliseconds."""
_LONG_PAUSE: Final = 0.2
"""Seconds between two attempts otherwise."""
_GROUP: Final = "transactions"
"""A connection of its own."""
_DUPLICATE: Final = 46
"""The code of DUPLICATE_SEQUENCE_NUMBER: the batch is there."""
_NOT_ATTEMPTED: Final = 55
"""The code of OPERATION_NOT_ATTEMPTED: another partition of the same request was refused."""
UNANSWERED: Final = (kafka.KafkaConnectionError, kafka.CorrelationIdError, OSError, TimeoutError, EOFError)
"""What a request raises that no broker answered; whether it was done is not known."""
_BUSY: Final = (kafka.ConcurrentTransactions, kafka.CoordinatorLoadInProgressError)
_AGAIN: Final = (
    *UNANSWERED,
    *_BUSY,
    kafka.CoordinatorNotAvailableError,
    kafka.NotCoordinatorError,
    kafka.UnknownTopicOrPartitionError,
)
"""The coordinator is asked again after these, until the patience is over."""
Instead: TypeAlias = Callable[[Batch, Exception], Awaitable[Sequence[Batch]]]
"""What takes the place of a batch that the brokers never take, and of whose refusal they say this."""


class Transactions:
    """What is written under one transactional id, one transaction after the other. Belongs to one task."""

    def __init__(self, cluster: Cluster, transactional_id: str, *, timeout: float, patience: float) -> None:
        """``timeout``: seconds after which the brokers end a transaction that is left open; ``patience``: seconds for
        one step, with all its repetitions.
        """
        self._cluster = cluster
        self._id = transactional_id
        self._timeout = timeout
        self._patience = patience
        self._coordinators: dict[str, int] = {}
        self._producer = self._epoch = -1
        self._sequences: dict[Place, int] = defaultdict(int)
        self._added: set[Place] = set()
        """Partitions of the open transaction."""
        self._unanswered = False

    async def initialise(self) -> None:
        """Shut out whoever wrote under the id before; what he did not commit is aborted when this returns.

        :raises SinkError: it did not work out; retriable where it may later.
        """
        self._sequences.clear()
        self._added.clear()
        self._producer, self._epoch = await self._initialise(self._id)

    async def fence(self, transactional_id: str) -> None:
        """Shut out another process: what it did not commit is aborted when this returns, and it begins anew.

        :raises SinkError: it did not work out; retriable where it may later.
        """
        await self._initialise(transactional_id)

    @property
    def most_written(self) -> int:
        """Records in the partition that got most since ``initialise``. Kafka counts them up to 2**31."""
        return max(self._sequences.values(), default=0)

    async def write(self, batches: Sequence[Batch], instead: Instead) -> None:
        """Add batches to the transaction; it begins with the first. Those of a partition stay in order.

        :raises SinkError: it did not work out; retriable where it may later.
        """
        waiting: dict[Place, deque[Batch]] = defaultdict(deque)
        for batch in batches:
            waiting[batch.topic, batch.partition].append(batch)
        await self._add(waiting.keys() - self._added)
        until = self._now() + self._patience
        while waiting:
            first = {place: queue[0] for place, queue in waiting.items()}
            failures = await self._round(first)
            for place, batch in first.items():
                error, queue = failures.get(place), waiting[place]
                if error is None:
                    self._sequences[place] += batch.count
                    queue.popleft()
                elif isinstance(error, NEVER_TAKEN):  # it was not written: the numbers of its records are free
                    queue.popleft()
                    queue.extendleft(reversed(await instead(batch, error)))
                    del failures[place]
                if not queue:
                    del waiting[place]
            if failures:
                await self._await_leaders(failures, until)

    async def end(self) -> bool:
        """Commit. When this returns, all that was written is readable.

        False: a request got no answer before another one did. It may still arrive, and would end the next transaction
        in its midst: ``initialise`` before that, and it comes from an epoch that is over.

        :raises SinkError: it did not work out, or that is not known; retriable where it may later.
        """
        if not self._added:
            return True
        self._unanswered = False
        request = EndTxnRequest(self._id, self._producer, self._epoch, True)
        await self._ask(self._id, request, _code)
        self._added.clear()
        return not self._unanswered

    async def _initialise(self, transactional_id: str) -> tuple[int, int]:
        request = InitProducerIdRequest(transactional_id, int(self._timeout * 1000))
        answer = await self._ask(transactional_id, request, _code)
        return answer.producer_id, answer.producer_epoch

    async def _add(self, places: Iterable[Place]) -> None:
        topics: dict[str, list[int]] = defaultdict(list)
        for topic, partition in places:
            topics[topic].append(partition)
        if topics:
            request = AddPartitionsToTxnRequest(self._id, self._producer, self._epoch, list(topics.items()))
            await self._ask(self._id, request, _codes_of_parts)
            self._added |= {(topic, partition) for topic, parts in topics.items() for partition in parts}

    async def _ask(self, transactional_id: str, request: Any, codes: Callable[[Any], Iterable[tuple[int, str]]]) -> Any:
        """The coordinator's answer, once there is no error in it. ``codes``: those in it, and what each is about.

        :raises SinkError: there is one that does not pass, or not in time.
        """
        until = self._now() + self._patience
        while True:
            about = ""
            try:
                node = self._coordinators.get(transactional_id)
                if node is None:
                    node = self._coordinators[transactional_id] = await self._cluster.coordinator(transactional_id)
                answer = await self._cluster.send(node, request, _GROUP)
                found = [(code, about) for code, about in codes(answer) if code]
                if not found:
                    return answer
                code, about = min(found, key=lambda each: each[0] == _NOT_ATTEMPTED)
                error = for_code(code)
            except (kafka.KafkaError, *UNANSWERED) as failure:
                error, self._unanswered = failure, True
            if not isinstance(error, _BUSY):
                self._coordinators.pop(transactional_id, None)
            pause = _PAUSE if isinstance(error, _BUSY) else _LONG_PAUSE
            reason = translate(error, about or f"transactional id {transactional_id}")
            if not isinstance(error, _AGAIN) or self._now() + pause > until:
                raise reason from error
            if isinstance(error, UNANSWERED):  # the others are how a coordinator begins
                _tell(reason)
            await asyncio.sleep(pause)

    async def _round(self, batches: Mapping[Place, Batch]) -> dict[Place, Exception]:
        """Send one batch for each partition; those that were not taken, with the reason."""
        by_leader: dict[int, list[Batch]] = defaultdict(list)
        failures: dict[Place, Exception] = {}
        for place, batch in batches.items():
            leader = self._cluster.leader(batch.topic, batch.partition)
            if leader < 0:
                failures[place] = kafka.LeaderNotAvailableError()
            else:
                stamp(batch.data, self._producer, self._epoch, self._sequences[place])
                by_leader[leader].append(batch)
        for found in await together(*(self._produce(leader, some) for leader, some in by_leader.items())):
            failures.update(found)
        return failures

    async def _produce(self, leader: int, batches: Sequence[Batch]) -> dict[Place, Exception]:
        topics: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for batch in batches:
            topics[batch.topic].append((batch.partition, bytes(batch.data)))
        request = ProduceRequest(self._id, -1, int(self._patience * 500), list(topics.items()))
        try:
            answer = await self._cluster.send(leader, request, _GROUP)
        except (kafka.KafkaError, *UNANSWERED) as error:
            return {(batch.topic, batch.partition): error for batch in batches}
        return {
            (topic, partition): for_code(code)
            for topic, partitions in answer.topics
            for partition, code, *_ in partitions
            if code not in {0, _DUPLICATE}
        }

    async def _await_leaders(self, failures: Mapping[Place, Exception], until: float) -> None:
        """Wait a moment, then see who leads the partitions now.

        :raises SinkError: that is of no use, or takes too long.
        """
        for (topic, partition), error in failures.items():
            reason = translate(error, f"topic {topic}, partition {partition}")
            if not repeats(error) or self._now() > until:
                raise reason from error
            _tell(reason)
        await asyncio.sleep(_LONG_PAUSE)
        with suppress(*UNANSWERED):
            await self._cluster.refresh({topic for topic, _ in failures})

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _tell(reason: ShipperError) -> None:
    log.warning("records are not taken; trying again", reason=str(reason), every=_LOG_EVERY, key=str(reason))


def _code(answer: Any) -> list[tuple[int, str]]:
    return [(answer.error_code, "")]


def _codes_of_parts(answer: Any) -> list[tuple[int, str]]:
    return [(code, f"topic {topic}") for topic, partitions in answer.errors for _, code in partitions]
