"""Sequence numbers of batches, at a real broker."""

import asyncio

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


async def test_numbers_begin_anew_after_the_last_one(kafka: Kafka) -> None:
    """A producer that has written 2**31 records to a partition goes on with number 0."""
    topic = await kafka.create()
    cluster = Cluster(Access(kafka.addresses, None, None), request_timeout=60)
    await cluster.open()
    await cluster.refresh([topic])
    written: list[Batch] = []

    async def never(batch: Batch, error: Exception) -> list[Batch]:
        raise AssertionError(error)

    producer = Producer(cluster, written.append, never, ack_timeout=30)
    await ready(producer)
    for number in range(6):
        draft = Draft(1_700_000_000_000)
        draft.add(draft.first_time, NULL, [b"%d" % (number * 3 + at) for at in range(3)], headers([]), [])
        producer.put(Batch(topic, 0, draft.build("none"), 3, draft.size, []))
    producer._lanes[topic, 0].sequence = 2**31 - 8
    broken = asyncio.ensure_future(producer.broken())
    await until(lambda: len(written) == 6 or broken.done())
    assert not broken.done(), broken.exception()
    await producer.close()
    await asyncio.gather(broken, return_exceptions=True)
    await cluster.close()
    assert [message.value for message in await kafka.read(topic)] == [b"%d" % number for number in range(18)]
