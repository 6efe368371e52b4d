"""Records that cannot be read, at a real broker: what stands before them is delivered, and what is said leads on."""

import asyncio
import re
from pathlib import Path

import pytest
from support.intake import MemoryIntake, running
from support.kafka import Broker
from support.kafka_client import Kafka
from support.kafka_producer import produce
from support.kafka_sources import a_group, committed, kafka_source, set_offset

from shipper.errors import SourceUnavailable


async def test_what_stands_before_damaged_records_is_delivered_and_the_advice_gives_up_only_them(
    own_kafka: Broker, tmp_path: Path
) -> None:
    """Whoever follows it loses what is damaged, and nothing else."""
    kafka, group = own_kafka.client, a_group()
    topic = await kafka.create()
    good = [b"good %d" % number for number in range(100)]
    await produce(kafka, topic, *good[:50])
    await produce(kafka, topic, *good[50:])
    await produce(kafka, topic, b"poison", b"beside it")
    await produce(kafka, topic, b"after")
    damage(tmp_path, topic, b"poison")
    intake = MemoryIntake()
    source = kafka_source(kafka, topic, group=group)
    with pytest.raises(SourceUnavailable, match=rf"{topic}/0: the records at offsets 100 to 101 cannot") as caught:
        await asyncio.wait_for(source.run(intake, once=False), 60)
    assert intake.records() == good
    assert await committed(kafka, group, topic) == 100
    (advice,) = re.findall(rf"--topic {topic}:0 --to-offset ([0-9]+)$", str(caught.value))
    await set_offset(kafka, group, topic, int(advice))
    after = intake.restarted()
    await kafka_source(kafka, topic, group=group).run(after, once=True)
    assert after.records() == [*good, b"after"]


async def test_as_long_as_nobody_gives_damage_up_nothing_before_it_comes_twice(
    own_kafka: Broker, tmp_path: Path
) -> None:
    """Each life of the source begins where the damage does."""
    kafka, group, intake = own_kafka.client, a_group(), MemoryIntake()
    topic = await kafka.create()
    await produce(kafka, topic, b"one", b"two")
    await produce(kafka, topic, b"poison")
    damage(tmp_path, topic, b"poison")
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="the records at offsets 2 to 2"):
            await asyncio.wait_for(kafka_source(kafka, topic, group=group).run(intake, once=False), 60)
        intake = intake.restarted()
    assert intake.records() == [b"one", b"two"]


async def test_a_header_whose_name_is_no_text_stops_nothing(kafka: Kafka) -> None:
    """Librdkafka writes it, brokers take it."""
    topic = await kafka.create()
    await produce(kafka, topic, b"before")
    await asyncio.to_thread(kafka.kcat, "-P", "-t", topic, "-p", "0", "-H", "x\udcff=1", given=b"odd")
    await produce(kafka, topic, b"after")
    intake = MemoryIntake(max_bytes=1)
    async with running(kafka_source(kafka, topic), intake):
        await intake.have(3)
    assert intake.records() == [b"before", b"odd", b"after"]
    assert intake.batches[1].payload == [{"message": "odd", "headers": {"x\\xff": "1"}}]


def damage(folder: Path, topic: str, value: bytes) -> None:
    """Change a bit of a record in the broker's file, which is what it sends."""
    (log,) = folder.glob(f"**/{topic}-0/00000000000000000000.log")
    data = log.read_bytes()
    with log.open("r+b") as file:
        file.seek(data.index(value))
        file.write(bytes([value[0] ^ 1]))
