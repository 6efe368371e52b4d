"""Kafka sources for tests, and what an operator does to a consumer group."""

import uuid
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from support.intake import MemoryIntake
from support.kafka_client import Kafka

from shipper.sources.kafka import KafkaSource
from shipper.sources.kafka.member import Patience


class HastySource(KafkaSource):
    """Waits for a spool that does not sync no longer than a test can."""

    patience: ClassVar[Patience] = Patience(handing_over=0.3, stopping=0.3)


def a_group() -> str:
    """A group that no other test has."""
    return f"group-{uuid.uuid4().hex}"


def kafka_source(kafka: Kafka, *topics: str, hasty: bool = False, **options: Any) -> KafkaSource:
    """A source as a config makes it; in a group of its own unless one is given."""
    options.setdefault("group", a_group())
    kind = HastySource if hasty else KafkaSource
    source = kind(brokers=kafka.addresses, topics=list(topics), **options)
    source.setup()
    return source


def by_partition(intake: MemoryIntake) -> dict[int, list[bytes]]:
    """What was taken, by the label ``partition``."""
    found: dict[int, list[bytes]] = {}
    for batch in intake.batches:
        there = found.setdefault(batch.labels["partition"], [])
        there += MemoryIntake(batches=[batch]).records()
    return found


def offsets(intake: MemoryIntake) -> list[tuple[int, int]]:
    """Partition and offset of every record taken, as their identity tells them."""
    found = []
    for batch in intake.batches:
        assert batch.origin is not None
        count = len(MemoryIntake(batches=[batch]).records())
        partition = batch.labels["partition"]
        found += [(partition, batch.origin.seq + index) for index in batch.indices or range(count)]
    return found


async def committed(kafka: Kafka, group: str, topic: str, partition: int = 0) -> int | None:
    """The offset that a group holds."""
    async with _consumer(kafka, group) as consumer:
        offset: int | None = await consumer.committed(TopicPartition(topic, partition))
        return offset


async def set_offset(kafka: Kafka, group: str, topic: str, offset: int, partition: int = 0) -> None:
    """What kafka-consumer-groups --reset-offsets does: the group must have no members."""
    async with _consumer(kafka, group) as consumer:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        await consumer.commit({place: offset})


def _consumer(kafka: Kafka, group: str) -> Any:
    return AIOKafkaConsumer(bootstrap_servers=kafka.addresses, group_id=group, enable_auto_commit=False)


async def add_partitions(kafka: Kafka, topic: str, total: int) -> None:
    """Give a topic more partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.addresses)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(total)})
    finally:
        await admin.close()
