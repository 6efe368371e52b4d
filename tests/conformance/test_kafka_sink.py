"""The Kafka sink against the suite of all sinks, with a real broker."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance.sink_suite import FarSide, SinkSuite
from support.kafka_client import Kafka

from shipper.sinks.base import Sink
from shipper.sinks.kafka import KafkaSink


class OneTopic:
    """A topic of the test's own, with one partition: it keeps the order."""

    def __init__(self, kafka: Kafka, topic: str, settings: dict[str, Any]) -> None:
        self.kafka = kafka
        self.topic = topic
        self.settings = settings

    def sink(self) -> Sink:
        sink = KafkaSink(brokers=self.kafka.addresses, topic=self.topic, **self.settings)
        sink.setup()
        return sink

    async def messages(self) -> list[str]:
        return [json.loads(message.value or b"")["message"] for message in await self.kafka.read(self.topic)]


class TestKafkaSink(SinkSuite):
    """The sink in its default mode."""

    @pytest.fixture(autouse=True)
    def _kafka(self, kafka: Kafka) -> None:
        self.kafka = kafka

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        yield OneTopic(self.kafka, await self.kafka.create(), {})


class TestKafkaSinkExactlyOnce(TestKafkaSink):
    """The sink with ``exactly_once``."""

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        cursors = await self.kafka.create(settings={"cleanup.policy": "compact"})
        yield OneTopic(self.kafka, await self.kafka.create(), {"exactly_once": True, "cursor_topic": cursors})
