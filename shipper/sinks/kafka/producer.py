"""Batches to the brokers. One producer id: a broker writes what it gets from it again, in a retry, only once.

The rules
- The batches of a partition go out one after the other, in order, with the number of its first record. The next one is
  sent when the one before it was written: so a retry overtakes nothing.
- What may pass by itself (a leader that moves, a connection that breaks, too few replicas) is tried again here with the
  same numbers, for ``patience``. Anything else, and what does not pass, ends this producer: ``broken`` raises, and the
  sink begins anew at its cursor with a new producer, whose numbers begin at 0.
- A batch that the brokers find too large was not written, so its numbers are free: smaller ones take its place.
- Closing it is at once: it leaves nothing behind that might still be sent.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar, Final

from aiokafka.errors import LeaderNotAvailableError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from shipper.errors import ShipperError
from shipper.kafka.batch import stamp
from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import NEVER_TAKEN, for_code, repeats, translate
from shipper.log import get_logger
from shipper.sinks.kafka.records import Batch

log = get_logger("kafka")
_LOG_EVERY: Final = 60.0
_DUPLICATE: Final = 46
"""The code of a batch that the broker has already, and whose place it does not remember."""
_LONGEST_TIMEOUT: Final = 2**31 - 1


class _Lane:
    """What waits for one partition."""

    __slots__ = ("busy", "failing_since", "partition", "queue", "sequence", "topic", "tries")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.queue: deque[Batch] = deque()
        self.sequence = 0
        """The number of the next batch's first record."""
        self.busy = False
        self.failing_since: float | None = None
        self.tries = 0

    def __str__(self) -> str:
        return f"topic {self.topic}, partition {self.partition}"


class Producer:
    """One producer id and what is sent under it."""

    patience: ClassVar[float] = 30.0
    """Seconds for which a partition may fail before the sink is told."""
    backoff: ClassVar[tuple[float, float]] = (0.1, 1.0)
    """The shortest and the longest time, in seconds, between two tries."""
    request_bytes: ClassVar[int] = 8 * 1024 * 1024
    """A request that holds so many bytes is sent without adding more."""

    def __init__(
        self,
        cluster: Cluster,
        accepted: Callable[[Batch], None],
        instead: Callable[[Batch, Exception], Awaitable[Sequence[Batch]]],
        *,
        ack_timeout: float,
    ) -> None:
        """``accepted`` is told of each batch that is written; ``instead`` returns what takes the place of one that
        the brokers never take (``NEVER_TAKEN``). ``ack_timeout``: seconds that a broker may wait for its replicas.
        """
        self.unsent = 0
        """Batches that wait for their turn."""
        self._cluster = cluster
        self._accepted = accepted
        self._instead = instead
        self._ack_timeout = int(ack_timeout * 1000)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._ready: dict[_Lane, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled: asyncio.Handle | None = None
        self._refreshing = asyncio.Lock()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fewer = asyncio.Event()
        self._id, self._epoch = -1, -1

    async def open(self) -> None:
        """Get a producer id.

        :raises SinkUnavailable: no broker gives one now.
        :raises SinkError: this user may have none.
        """
        try:
            answer = await self._cluster.ask(InitProducerIdRequest(None, _LONGEST_TIMEOUT))
        except Exception as error:
            raise translate(error, "no producer id") from error
        if answer.error_code:
            raise translate(for_code(answer.error_code), "no producer id")
        self._id, self._epoch = answer.producer_id, answer.producer_epoch

    @property
    def waiting(self) -> bool:
        """The brokers have the next move."""
        return bool(self._tasks)

    def put(self, batch: Batch) -> None:
        """Send a batch after those that were put before it for its partition."""
        where = (batch.topic, batch.partition)
        lane = self._lanes.get(where)
        if lane is None:
            lane = self._lanes[where] = _Lane(*where)
        lane.queue.append(batch)
        self.unsent += 1
        self._wake(lane)

    async def wait_unsent(self, limit: int) -> None:
        """Wait until fewer than ``limit`` batches wait for their turn, so that more records share the next ones."""
        while self.unsent >= max(limit, len(self._lanes)):
            self._fewer.clear()
            await self._fewer.wait()

    async def broken(self) -> None:
        """Wait until nothing can be sent any more.

        :raises SinkUnavailable: begin anew.
        :raises SinkError: somebody has to do something first.
        """
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Stop at once. What is not acknowledged may or may not be written."""
        if self._scheduled is not None:
            self._scheduled.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._failure.cancel()

    def _wake(self, lane: _Lane) -> None:
        if lane.queue and not lane.busy:
            self._ready[lane] = None
            if self._scheduled is None:
                self._scheduled = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """One request a broker, with the next batch of each of its partitions that waits."""
        self._scheduled = None
        requests: dict[int, list[_Lane]] = {}
        sizes: dict[int, int] = {}
        for lane in self._ready:
            lane.busy = True
            self.unsent -= 1
            leader = self._cluster.leader(lane.topic, lane.partition)
            requests.setdefault(leader, []).append(lane)
            sizes[leader] = sizes.get(leader, 0) + len(lane.queue[0].data)
            if sizes[leader] > self.request_bytes:
                self._start(leader, requests.pop(leader))
                sizes.pop(leader)
        self._ready.clear()
        self._fewer.set()
        for leader, lanes in requests.items():
            self._start(leader, lanes)

    def _start(self, leader: int, lanes: list[_Lane]) -> None:
        work = self._again(lanes, LeaderNotAvailableError()) if leader < 0 else self._request(leader, lanes)
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, the sink must hear of it
            if not self._failure.done():
                self._failure.set_exception(error)
                self._failure.exception()  # it is heard by ``broken``; if nobody waits any more, it needs no log line

    async def _request(self, node: int, lanes: list[_Lane]) -> None:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for lane in lanes:
            data = lane.queue[0].data
            stamp(data, self._id, self._epoch, lane.sequence)
            topics.setdefault(lane.topic, []).append((lane.partition, bytes(data)))
        request = ProduceRequest(None, -1, self._ack_timeout, list(topics.items()))
        try:
            answer = await self._cluster.send(node, request)
        except Exception as error:  # noqa: BLE001 - judged there
            await self._again(lanes, error)
            return
        codes = {(topic, number): code for topic, partitions in answer.topics for number, code, *_ in partitions}
        failed: list[_Lane] = []
        failure: Exception | None = None
        fatal: ShipperError | None = None
        for lane in lanes:
            code = codes.get((lane.topic, lane.partition), -1)
            if code in {0, _DUPLICATE}:
                self._written(lane)
                continue
            refusal = for_code(code)
            if isinstance(refusal, NEVER_TAKEN):
                await self._replace(lane, refusal)
            elif repeats(refusal):
                failed.append(lane)
                failure = refusal
            else:
                fatal = translate(refusal, str(lane))
        if fatal is not None:  # once those that were written are told of
            raise fatal
        if failure is not None:
            await self._again(failed, failure)

    def _written(self, lane: _Lane) -> None:
        batch = lane.queue.popleft()
        lane.sequence = (lane.sequence + batch.count) & 0x7FFFFFFF  # after 2**31 - 1 comes 0
        lane.failing_since, lane.tries, lane.busy = None, 0, False
        self._accepted(batch)
        self._wake(lane)

    async def _replace(self, lane: _Lane, refusal: Exception) -> None:
        others = await self._instead(lane.queue[0], refusal)
        lane.queue.popleft()
        lane.queue.extendleft(reversed(others))
        self.unsent += len(others)
        lane.busy = False
        self._wake(lane)

    async def _again(self, lanes: list[_Lane], error: Exception) -> None:
        """Send the same batches once more, after a while, to the leaders of then.

        :raises SinkUnavailable: it has failed for too long.
        :raises SinkError: trying again is of no use.
        """
        now = time.monotonic()
        for lane in lanes:
            lane.tries += 1
            if lane.failing_since is None:
                lane.failing_since = now
        longest = max(lanes, key=lambda lane: now - (lane.failing_since or now))
        reason = translate(error, str(longest))
        if not repeats(error) or now - (longest.failing_since or now) >= self.patience:
            raise reason
        log.warning("records are not taken; trying again", reason=str(reason), every=_LOG_EVERY, key=str(reason))
        shortest, limit = self.backoff
        wait = min(limit, shortest * 2 ** min(longest.tries - 1, 8))
        await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
        await self._refresh({lane.topic for lane in lanes}, now)
        for lane in lanes:
            lane.busy = False
            self.unsent += 1
            self._wake(lane)

    async def _refresh(self, topics: set[str], since: float) -> None:
        """Ask who leads, unless that was asked since then."""
        async with self._refreshing:
            known = self._cluster.topics
            if all(topic in known and known[topic].at > since for topic in topics):
                return
            try:
                async with asyncio.timeout(self.patience):
                    failures = await self._cluster.refresh(topics)
            except Exception as error:  # noqa: BLE001 - the next request fails too, and says so
                log.debug("no broker says who leads", reason=str(error))
                return
            for topic, failure in failures.items():
                if not repeats(failure):
                    raise translate(failure, f"topic {topic}")
