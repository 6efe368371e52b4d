"""The Kafka source passes the suite for sources whose positions are durable with their records."""

import uuid
from typing import ClassVar

import pytest
from conformance.source_suite import ResumingSuite, Rig
from support.kafka_client import Kafka
from support.kafka_producer import produce

from shipper.sources.base import Source
from shipper.sources.kafka import KafkaSource
from shipper.sources.kafka.member import Patience


class HastySource(KafkaSource):
    """Does not wait for a spool that some of the tests keep from syncing."""

    patience: ClassVar[Patience] = Patience(handing_over=0.2, stopping=0.2)


class KafkaRig(Rig):
    """A topic with one partition, and a group."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.group = f"group-{uuid.uuid4().hex}"
        self.topic = f"test-{uuid.uuid4().hex}"
        self.there = False

    def source(self) -> Source:
        """See ``Rig``."""
        source = HastySource(brokers=self.kafka.addresses, group=self.group, topics=[self.topic])
        source.setup()
        return source

    async def write(self, *records: bytes) -> None:
        """See ``Rig``."""
        if not self.there:
            await self.kafka.create(self.topic)
            self.there = True
        await produce(self.kafka, self.topic, *records)

    async def end(self) -> None:
        """Nothing to do: ``once`` reads what is there."""


class TestKafkaSource(ResumingSuite):
    """The ``kafka`` source."""

    @pytest.fixture
    def rig(self, kafka: Kafka) -> Rig:
        """See ``SourceSuite``."""
        return KafkaRig(kafka)
