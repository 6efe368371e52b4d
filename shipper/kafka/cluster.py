"""The brokers of one cluster: connections, and which broker leads which partition.

It stands on aiokafka's connections and requests, below its client. That client asks for metadata in a way that lets
the brokers create topics, tells why no broker answers in its log only, and, with requests on their way, cannot be
closed within a bounded time (docs/decisions/170-below-aiokafkas-producer.md).

One event loop; every method may raise what aiokafka, asyncio and sockets raise: ``errors.translate`` is the caller's.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import InvalidTopicError, KafkaConnectionError
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from shipper.kafka.errors import SINK, Tree, at_the_door, for_code, translate
from shipper.kafka.settings import Access
from shipper.wire.address import split_address

_EXISTS: Final = 36
"""The code of TOPIC_ALREADY_EXISTS."""
_CONNECT: Final = 10.0
"""Seconds for a connection to be made, with TLS and SASL."""
_IDLE: Final = 540_000
"""Milliseconds after which a connection that nobody uses is closed, before the broker does it (after ten minutes)."""


class Topic(NamedTuple):
    """What is known of a topic."""

    leaders: dict[int, int]
    """The leading broker of each partition; -1: none now."""
    at: float
    """When the brokers said so, on the monotonic clock."""

    @property
    def led(self) -> list[int]:
        """The partitions that can be written to now; all where that is none."""
        return [partition for partition, leader in self.leaders.items() if leader >= 0] or list(self.leaders)


class Cluster:
    """Connections to one cluster; ``close`` gives all of them back."""

    def __init__(self, access: Access, *, request_timeout: float, tree: Tree = SINK) -> None:
        """``request_timeout``: seconds for the answer to a request."""
        self.topics: dict[str, Topic] = {}
        """What was last known of each topic; none is forgotten: a thread may be at work with it."""
        self._access = access
        self._timeout = request_timeout
        self._tree = tree
        self._options: dict[str, Any] = {}
        self._nodes: dict[int, tuple[str, int]] = {}
        self._connections: dict[tuple[str, int, str], AIOKafkaConnection] = {}
        self._locks: defaultdict[tuple[str, int, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asked = 0
        self._controller = -1
        self._closed = False

    async def open(self) -> None:
        """Find out which brokers there are.

        :raises SinkUnavailable: none can be reached (or SourceUnavailable).
        :raises SinkError: none lets us in (or SourceError).
        """
        self._options = await self._access.options()
        failures: dict[str, Exception] = {}
        for address in random.sample(self._access.brokers, len(self._access.brokers)):
            try:
                self._learn(await self._send(split_address(address), _metadata([]), ""))
            except Exception as error:  # noqa: BLE001 - translated below
                failures[address] = error
            else:
                return
        told = [at_the_door(error, f"broker {address}", self._tree) for address, error in failures.items()]
        raise next((error for error in told if error.retriable), told[0])

    async def refresh(self, topics: Iterable[str]) -> dict[str, Exception]:
        """Ask for the partitions of topics and their leaders; those that cannot be had, with the reason.

        :raises KafkaConnectionError: no broker that is known answers.
        """
        return self._learn(await self.ask(_metadata(list(topics))))

    async def ask(self, request: Any) -> Any:
        """The answer of any broker: the first that gives one.

        :raises KafkaConnectionError: none that is known does.
        """
        nodes = [*self._nodes.values()]
        random.shuffle(nodes)
        nodes += [split_address(address) for address in self._access.brokers]
        failure: Exception | None = None
        for node in dict.fromkeys(nodes):
            try:
                return await self._send(node, request, "")
            except (OSError, TimeoutError, RuntimeError, EOFError) as error:  # aiokafka's are RuntimeErrors
                failure = error
        raise KafkaConnectionError(str(failure)) from failure

    @property
    def waiting(self) -> bool:
        """A broker has the next move."""
        return self._asked > 0

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition, as far as is known; -1: none."""
        known = self.topics.get(topic)
        return -1 if known is None else known.leaders.get(partition, -1)

    async def send(self, node: int, request: Any, group: str = "") -> Any:
        """The answer of a broker. Requests of one ``group`` share a connection and are answered in order.

        :raises KafkaConnectionError: it is not known, or the connection broke; it may have taken the request.
        :raises TimeoutError: it did not answer in time; the connection is closed.
        """
        if node not in self._nodes:
            raise KafkaConnectionError(f"broker {node} is not known")
        return await self._send(self._nodes[node], request, group)

    async def coordinator(self, transactional_id: str) -> int:
        """The broker that keeps a transactional id."""
        answer = await self.ask(FindCoordinatorRequest(transactional_id, 1))
        if answer.error_code:
            raise for_code(answer.error_code)
        self._nodes[answer.coordinator_id] = (answer.host, answer.port)
        return int(answer.coordinator_id)

    async def create(
        self, topic: str, *, partitions: int, replication: int, settings: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Make a topic; one that is there already stays as it is. -1: what the brokers have as their default.

        :raises InvalidTopicError: they make no topic of this name; its text says why.
        :raises SinkError: they refuse for another reason (or SourceError).
        """
        request = CreateTopicsRequest([(topic, partitions, replication, [], list(settings))], 15_000, False)
        try:
            known = self._controller in self._nodes
            answer = await (self.send(self._controller, request) if known else self.ask(request))
        except Exception as error:
            raise translate(error, f"topic {topic} cannot be made", self._tree) from error
        for _, code, *text in answer.topic_errors:
            if code == InvalidTopicError.errno:
                raise InvalidTopicError(*(each for each in text if each))
            if code not in {0, _EXISTS}:
                why = f" ({text[0]})" if text and text[0] else ""
                raise translate(for_code(code), f"topic {topic} cannot be made{why}", self._tree)

    async def close(self) -> None:
        """Close every connection, for good; whoever waits for an answer gets an error, and so does who asks later."""
        self._closed = True
        connections, self._connections = self._connections, {}
        closed = [connection.close() for connection in connections.values()]
        if closed:
            await asyncio.wait(closed, timeout=1)  # the sockets' end; a peer that is gone may keep it open for longer

    def _learn(self, answer: Any) -> dict[str, Exception]:
        """Remember what a broker says of the cluster; which topics cannot be had, with the reason."""
        if not answer.brokers:
            raise KafkaConnectionError("the broker knows of no brokers yet")
        self._nodes = {number: (host, port) for number, host, port, *_ in answer.brokers}
        self._controller = answer.controller_id
        now = time.monotonic()
        failures: dict[str, Exception] = {}
        for code, name, _, partitions in answer.topics:
            if code:
                failures[name] = for_code(code)
            else:
                leaders = {number: leader for _, number, leader, *_ in partitions}
                self.topics[name] = Topic(dict(sorted(leaders.items())), now)
        return failures

    async def _send(self, node: tuple[str, int], request: Any, group: str) -> Any:
        self._asked += 1
        try:
            connection = await self._connection(node, group)
            try:
                return await connection.send(request)
            except TimeoutError:
                connection.close()  # what it answers later would be taken for the answer to the next request
                raise
        finally:
            self._asked -= 1

    async def _connection(self, node: tuple[str, int], group: str) -> AIOKafkaConnection:
        key = (*node, group)
        found = self._connections.get(key)
        if found is not None and found.connected():
            return found
        async with self._locks[key]:
            found = self._connections.get(key)
            if found is None or not found.connected():
                self._check_open()
                milliseconds = int(self._timeout * 1000)
                async with asyncio.timeout(min(self._timeout, _CONNECT)):
                    found = await create_conn(
                        *node, request_timeout_ms=milliseconds, max_idle_ms=_IDLE, **self._options
                    )
                if self._closed:
                    found.close()
                self._check_open()
                self._connections[key] = found
            return found

    def _check_open(self) -> None:
        if self._closed:
            raise KafkaConnectionError("the connection to the cluster was closed")


def _metadata(topics: list[str]) -> MetadataRequest:
    """Asks for some topics, and makes none."""
    return MetadataRequest(topics, allow_auto_topic_creation=False)
