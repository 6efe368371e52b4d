"""Writes records to a topic, through aiokafka's producer: what another program would write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from support.kafka_client import Kafka


class Sent(NamedTuple):
    """A record to write, with more than a value."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int | None = None
    """Milliseconds since 1970; None: now."""


async def produce(kafka: Kafka, topic: str, *records: bytes | Sent, partition: int = 0, **options: Any) -> None:
    """Write records to a partition, in order, and wait until they are there. ``options``: of aiokafka's producer."""
    async with producing(kafka, **options) as producer:
        await fill(producer, topic, partition, *records)


@asynccontextmanager
async def producing(kafka: Kafka, **options: Any) -> AsyncIterator[Any]:
    """A producer."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.addresses, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def fill(producer: Any, topic: str, partition: int, *records: bytes | Sent) -> None:
    """Write records with a producer, in order, and wait until they are there."""
    acknowledged = []
    for record in records:
        sent = record if isinstance(record, Sent) else Sent(record)
        acknowledged.append(
            await producer.send(
                topic,
                sent.value,
                key=sent.key,
                partition=partition,
                timestamp_ms=sent.timestamp,
                headers=list(sent.headers),
            )
        )
    for future in acknowledged:
        await future
