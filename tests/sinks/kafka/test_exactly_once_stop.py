"""Exactly once into Kafka: a step of a transaction that fails takes with it those that run beside it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from support.delivering import DEADLINE, Outpost, frame_draft, lines, until
from support.kafka_client import Kafka
from support.kafka_once import QUICK, WRITE, connected, exactly_once_sink, hooked
from support.kafka_sinks import texts

from shipper.errors import SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.kafka.settings import Access
from shipper.sinks.kafka.exactly_once import ExactlyOnce
from shipper.sinks.kafka.records import Builder


async def test_what_is_on_its_way_ends_before_the_failure_beside_it_is_told(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would go on under a connection that was closed."""
    monkeypatch.setattr(ExactlyOnce, "group_bytes", 1)  # the second frame is built while the first is written
    topic, cursors = await kafka.create(), await kafka.create(settings={"cleanup.policy": "compact"})
    outpost = Outpost(tmp_path / "outpost")
    build = Builder.build
    on_its_way, built = threading.Event(), 0
    ways: list[str] = []

    def failing(*arguments: Any) -> Any:
        nonlocal built
        built += 1
        if built == 2:
            on_its_way.wait(DEADLINE)
            raise MemoryError
        return build(*arguments)

    async def held(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        if request == WRITE and built and not ways:
            ways.append("begun")
            on_its_way.set()
            try:
                await asyncio.Event().wait()
            finally:
                ways.append("ended")
        return await send()

    monkeypatch.setattr(Builder, "build", failing)
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(text)) for text in ("one", "two")))
    with hooked(held):
        async with outpost.opened(), outpost.delivering(exactly_once_sink(kafka, topic, cursors, **QUICK)) as delivery:
            await until(lambda: delivery.caught_up)
    assert ways == ["begun", "ended"]
    assert texts(await kafka.read(topic)) == ["one", "two"]


async def test_a_cluster_that_was_closed_opens_no_connection(kafka: Kafka) -> None:
    async with connected(kafka) as cluster:
        pass
    with pytest.raises(KafkaConnectionError, match="was closed"):
        await cluster.refresh(["any"])


async def test_a_connection_that_is_made_while_the_cluster_closes_is_closed_too(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(Access(kafka.addresses, None, None), request_timeout=10)
    made = []

    async def late(*arguments: Any, **settings: Any) -> AIOKafkaConnection:
        await cluster.close()
        made.append(await create_conn(*arguments, **settings))
        return made[0]

    monkeypatch.setattr("shipper.kafka.cluster.create_conn", late)
    with pytest.raises(SinkUnavailable, match="was closed"):
        await cluster.open()
    assert not made[0].connected()
