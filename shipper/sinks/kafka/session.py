"""One connection of the sink, in its default mode: at least once, each record with what a reader tells doubles by.

    send ─▶ pending ─▶ group ─▶ (thread) batches ─▶ producer ─▶ flight ─▶ acked

Items wait in ``pending`` until the group before them is built and most batches are sent: so the slower the brokers are,
the more records share a batch. ``send`` returns when there is room for more.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import TOO_LARGE, in_plain_words
from shipper.kafka.settings import Access
from shipper.kafka.topics import TopicTemplate
from shipper.log import get_logger
from shipper.sinks.base import Frame, Item, Outlet
from shipper.sinks.kafka.destinations import CreateTopics, Destinations
from shipper.sinks.kafka.flight import Flight
from shipper.sinks.kafka.producer import Producer
from shipper.sinks.kafka.records import Batch, Builder, Handed, now, refuse_batch
from shipper.sinks.worker import Worker
from shipper.spool.frame import HEADER_SIZE

log = get_logger("kafka")
_GROUP: Final = 1024 * 1024
"""Bytes of records that are built into batches at a time; they take some ten times as much memory meanwhile."""
_SMALLEST: Final = 16 * 1024
"""Batches of a topic get no smaller than this because some did not fit: they are halved where they must be."""
_LOG_EVERY: Final = 60.0
_UNSENT: Final = 4
"""While so many batches wait for their turn (or one a partition), records gather for the next one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A sink's settings, compiled."""

    access: Access
    topic: TopicTemplate
    create: CreateTopics | None
    cursor_topic: str
    transaction_timeout: float
    builder: Builder
    linger: float
    max_in_flight: int
    request_timeout: float


class Session:
    """Between ``connect`` and ``close``."""

    def __init__(self, plan: Plan, outlet: Outlet, worker: Worker, *, careful: bool) -> None:
        """``careful``: the session before got nothing through, so the first item may be what is not taken: it goes
        alone. What is behind it would be written, and again with each session.
        """
        self._plan = plan
        self._careful = careful
        self._outlet = outlet
        self._worker = worker
        self._cluster = Cluster(plan.access, request_timeout=plan.request_timeout)
        self._destinations = Destinations(self._cluster, plan.topic, plan.create, plan.cursor_topic)
        self._flight = Flight(outlet)
        self._producer = Producer(
            self._cluster, self._flight.accepted, self._instead, ack_timeout=plan.request_timeout / 2
        )
        self._limits: dict[str, int] = {}
        """The size of batches, before compression, of topics that take less than ours."""
        self._pending: deque[Handed] = deque()
        self._pending_size = 0
        """Bytes of records in ``pending``."""
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._taken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held_up(self) -> bool:
        """The brokers have the next move."""
        return self._producer.waiting or self._cluster.waiting

    async def open(self) -> int:
        """Connect; the number to go on from.

        :raises SinkUnavailable: the brokers or the topic are not there.
        :raises SinkError: they do not let us in.
        """
        await self._cluster.open()
        await self._destinations.check()
        await self._producer.open()
        self._tasks = [
            asyncio.ensure_future(work) for work in (self._run(), self._flight.run(), self._producer.broken())
        ]
        return self._outlet.cursor

    async def send(self, items: Sequence[Item]) -> None:
        """Take items; waits while as many are here as are built at a time."""
        for item in items:
            self._pending.append(self._flight.add(item))
            self._pending_size += _records_size(self._pending[-1])
        self._some.set()
        while self._pending_size >= _GROUP:
            self._full.set()
            self._taken.clear()
            await self._taken.wait()

    async def broken(self) -> None:
        """Wait until it cannot go on, then raise why."""
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    async def close(self) -> None:
        """Stop at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.close()
        await self._cluster.close()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            if self._plan.linger > 0 and self._pending_size < _GROUP:
                self._full.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._plan.linger)
            await self._flight.room(self._plan.max_in_flight)
            await self._producer.wait_unsent(_UNSENT)
            group = self._next_group()
            alone, self._careful = self._careful, False
            self._flight.taken(group)
            await self._destinations.assign(group)
            sendable = [handed for handed in group if handed.topic]
            build = partial(self._plan.builder.build, sendable, self._cluster.topics, now(), self._limits.copy())
            batches = await self._worker.run(build)
            self._flight.built(group, batches)
            for batch in batches:
                self._producer.put(batch)
            if alone:
                await self._flight.acknowledged(group[0])

    def _next_group(self) -> list[Handed]:
        group: list[Handed] = []
        size = 0
        limit = 0 if self._careful else _GROUP
        while self._pending and (not group or size + _records_size(self._pending[0]) <= limit):
            group.append(self._pending.popleft())
            size += _records_size(group[-1])
        self._pending_size -= size
        if not self._pending:
            self._some.clear()
        self._taken.set()
        return group

    async def _instead(self, batch: Batch, error: Exception) -> Sequence[Batch]:
        """What takes the place of a batch that the brokers will never take."""
        batches: list[Batch] = []
        if isinstance(error, TOO_LARGE) and batch.count > 1:
            self._limits[batch.topic] = max(_SMALLEST, batch.size // 2)
            why = "batches are larger than the topic takes: raise its max.message.bytes, or lower max_message_bytes"
            log.warning(why, topic=batch.topic, bytes=len(batch.data), every=_LOG_EVERY, key=batch.topic)
            batches = await self._worker.run(partial(self._plan.builder.smaller, batch, now()))
        else:
            await self._worker.run(partial(refuse_batch, batch, in_plain_words(error)))
        self._flight.replaced(batch, batches)
        return batches


def _records_size(handed: Handed) -> int:
    """Also what has no record takes memory: a ``where`` may leave thousands of empty frames behind one that waits."""
    body = handed.item.body
    return HEADER_SIZE + (body.decoded_size if isinstance(body, Frame) else 0)
