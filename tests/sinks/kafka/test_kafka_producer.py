"""Sequence numbers of batches, at a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from support.delivering import DEADLINE, until
from support.kafka_client import Kafka

from shipper.errors import SinkUnavailable
from shipper.kafka.batch import NULL, Draft, headers
from shipper.kafka.cluster import Cluster
from shipper.kafka.settings import Access
from shipper.sinks.kafka.producer import Producer
from shipper.sinks.kafka.records import Batch


async def ready(producer: Producer) -> None:
    """A broker that has just started gives no producer ids yet."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await producer.open()
            except SinkUnavailable:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def producing(kafka: Kafka, topic: str) -> AsyncIterator[tuple[Cluster, Producer, list[Batch]]]:
    """A producer at a broker, and the batches that are written by it."""
    cluster = Cluster(Access(kafka.addresses, None, None), request_timeout=60)
    await cluster.open()
    await cluster.refresh([topic])
    written: list[Batch] = []

    async def never(batch: Batch, error: Exception) -> list[Batch]:
        raise AssertionError(error)

    producer = Producer(cluster, written.append, never, ack_timeout=30)
    await ready(producer)
    yield cluster, producer, written
    await producer.close()
    await cluster.close()


def batch_of(topic: str, *values: bytes) -> Batch:
    draft = Draft(1_700_000_000_000)
    draft.add(draft.first_time, NULL, list(values), headers([]), [])
    return Batch(topic, 0, draft.build("none"), len(values), draft.size, [])


async def test_numbers_begin_anew_after_the_last_one(kafka: Kafka) -> None:
    """A producer that has written 2**31 records to a partition goes on with number 0."""
    topic = await kafka.create()
    async with producing(kafka, topic) as (_, producer, written):
        for number in range(6):
            producer.put(batch_of(topic, *(b"%d" % (number * 3 + at) for at in range(3))))
        producer._lanes[topic, 0].sequence = 2**31 - 8
        broken = asyncio.ensure_future(producer.broken())
        await until(lambda: len(written) == 6 or broken.done())
        assert not broken.done(), broken.exception()
    await asyncio.gather(broken, return_exceptions=True)
    assert [message.value for message in await kafka.read(topic)] == [b"%d" % number for number in range(18)]


@pytest.mark.parametrize("code", [90, 120])
async def test_a_producer_that_is_shut_out_is_given_up_at_once(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The brokers take nothing of it any more, however often it is sent."""
    topic = await kafka.create()
    async with producing(kafka, topic) as (cluster, producer, written):
        requests: list[str] = []

        async def refused(node: int, request: Any, group: str = "") -> Any:
            requests.append(type(request).__name__)
            return SimpleNamespace(topics=[(topic, [(0, code, -1, -1)])])

        monkeypatch.setattr(cluster, "send", refused)
        producer.put(batch_of(topic, b"one"))
        with pytest.raises(SinkUnavailable, match=f"topic {topic}, partition 0: "):
            await asyncio.wait_for(producer.broken(), 10)
        assert (requests, written) == (["ProduceRequest"], [])
