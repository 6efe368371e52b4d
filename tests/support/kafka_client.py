"""What tests ask a Kafka broker for: topics, all that is in them, rights; and what kcat, another client, says of it."""

import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.admin import CreateAclsRequest

Resource = Literal["topic", "group", "cluster", "transactional_id"]
Operation = Literal["read", "write", "create", "describe", "idempotent_write"]

_RESOURCES: Final[dict[Resource, int]] = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
_OPERATIONS: Final[dict[Operation, int]] = {
    "read": 3,
    "write": 4,
    "create": 5,
    "describe": 8,
    "idempotent_write": 12,
}
_PREFIXED, _ALLOW = 4, 3
_PATIENCE: Final = 60.0
"""Seconds."""


class Message(NamedTuple):
    """A record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp: int
    """Milliseconds since 1970."""


class Kafka:
    """A broker, or a cluster, to make topics on and to read them from."""

    def __init__(self, address: str) -> None:
        """``address``: ``host:port``, several with commas between them."""
        self.address = address

    @property
    def addresses(self) -> list[str]:
        """What a config's ``brokers`` takes."""
        return self.address.split(",")

    async def create(
        self, name: str = "", *, partitions: int = 1, copies: int = 1, settings: Mapping[str, str] | None = None
    ) -> str:
        """Make a topic and return its name: one that no other test has, unless a name is given."""
        topic = name or f"test-{uuid.uuid4().hex}"
        async with self._admin() as admin:
            made = await admin.create_topics([NewTopic(topic, partitions, copies, topic_configs=dict(settings or {}))])
        for _, code, message in made.topic_errors:
            assert code == 0, f"topic {topic}: {message} ({code})"
        return topic

    async def topics(self) -> set[str]:
        """The names of all topics that users see."""
        async with self._admin() as admin:
            return set(await admin.list_topics())

    async def leader(self, topic: str, partition: int = 0) -> int:
        """The number of the broker that leads a partition."""
        async with self._admin() as admin:
            (described,) = await admin.describe_topics([topic])
        leader: int = next(each["leader"] for each in described["partitions"] if each["partition"] == partition)
        return leader

    async def read(self, topic: str, *, committed: bool = True) -> list[Message]:
        """All records that a topic has now, by partition and offset.

        ``committed``: only those of committed transactions and of none; what follows the begin of an open transaction
        is not there yet. Otherwise all, those of aborted transactions too.
        """
        level = "read_committed" if committed else "read_uncommitted"
        consumer = AIOKafkaConsumer(bootstrap_servers=self.addresses, isolation_level=level, auto_offset_reset="none")
        await consumer.start()
        try:
            deadline = time.monotonic() + _PATIENCE
            while not (numbers := consumer.partitions_for_topic(topic)):
                assert time.monotonic() < deadline, f"there is no topic {topic}"
                await consumer._client.force_metadata_update()  # a broker that just came back knows none for a moment
            partitions = [TopicPartition(topic, number) for number in numbers]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            found = []
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    fetched = await consumer.getmany(timeout_ms=500)
                    found += [message for messages in fetched.values() for message in messages]
        finally:
            await consumer.stop()
        return sorted(map(_message, found))

    async def allow(self, user: str, resource: Resource, prefix: str, *operations: Operation) -> None:
        """``user`` may do this with everything of this kind whose name begins so.

        ``prefix`` of a cluster is ``kafka-cluster``.
        """
        async with self._admin() as admin:
            for operation in operations:
                made = await admin._send_to_controller(
                    CreateAclsRequest(
                        _RESOURCES[resource], prefix, 3 if resource == "cluster" else _PREFIXED,
                        f"User:{user}", "*", _OPERATIONS[operation], _ALLOW,
                    )
                )  # fmt: skip
                assert made.creation_responses[0][0] == 0, made

    def kcat(self, *arguments: str, given: bytes = b"") -> bytes:
        """What kcat prints; ``given`` is its standard input. A broker that has just started is no leader yet."""
        command, deadline = ["kcat", "-b", self.address, *arguments], time.monotonic() + _PATIENCE
        done = subprocess.run(command, input=given, capture_output=True, check=False)
        while b"Not leader for partition" in done.stderr and time.monotonic() < deadline:
            time.sleep(0.1)
            done = subprocess.run(command, input=given, capture_output=True, check=False)
        assert done.returncode == 0, f"kcat {' '.join(arguments)}: {done.stderr.decode()}"
        return done.stdout

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


def _message(record: Any) -> Message:
    headers = dict(record.headers)
    return Message(record.partition, record.offset, record.key, record.value, headers, record.timestamp)
