"""A rebalance while processors are slow: what they have in their hands is neither lost nor read again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from support.intake import MemoryIntake, running
from support.kafka_client import Kafka
from support.kafka_producer import produce
from support.kafka_sources import a_group, kafka_source

from shipper.batch import Batch
from shipper.sources.base import Receipt


@dataclass
class SlowIntake(MemoryIntake):
    """Its chain does not let a batch go before ``gate`` is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Receipt | None:
        """See ``Intake``."""
        receipt = await super().take(read, most)
        await self.gate.wait()
        return receipt


async def test_what_the_chain_has_when_a_partition_comes_back_is_not_read_again(kafka: Kafka) -> None:
    topic, group = await kafka.create(), a_group()
    source, intake = kafka_source(kafka, topic, hasty=True, group=group, session_timeout=2.0), SlowIntake()
    await produce(kafka, topic, b"one")
    async with running(source, intake):
        await intake.have(1)
        member = source._member
        assert member is not None
        before = member.ours
        other = AIOKafkaConsumer(topic, bootstrap_servers=kafka.addresses, group_id=group, enable_auto_commit=False)
        await other.start()
        await other.stop()
        await intake.until(lambda: member.ours and member.ours is not before)
        await produce(kafka, topic, b"two")
        intake.gate.set()
        await intake.until(lambda: b"two" in intake.records())
    assert intake.records() == [b"one", b"two"]
