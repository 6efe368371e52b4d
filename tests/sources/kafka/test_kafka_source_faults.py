"""Brokers that go away, and brokers that demand a password and rights."""

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from support.intake import MemoryIntake, running
from support.kafka import Broker, Security
from support.kafka_client import Kafka
from support.kafka_producer import produce
from support.kafka_sources import a_group, kafka_source

from shipper.errors import SourceError, SourceUnavailable
from shipper.kafka.settings import Sasl
from shipper.sources.kafka import KafkaSource, client

PASSWORD = "correct horse"


async def test_a_broker_that_is_killed_and_comes_back_costs_nothing(own_kafka: Broker) -> None:
    """No record is lost, none comes twice."""
    kafka, intake = own_kafka.client, MemoryIntake()
    topic = await kafka.create(partitions=2)
    async with running(kafka_source(kafka, topic, session_timeout=2.0), intake):
        for round_ in range(2):
            for partition in range(2):
                await produce(kafka, topic, *[b"%d" % round_] * 50, partition=partition)
            await intake.have(100 * (round_ + 1))
            own_kafka.kill()
            own_kafka.start(wait=False)
            await asyncio.to_thread(own_kafka.wait_up)
    assert sorted(intake.records()) == [b"0"] * 100 + [b"1"] * 100


async def test_brokers_that_stay_away_are_an_error_that_may_pass(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is said, and all is done anew from the addresses of the config."""
    monkeypatch.setattr(client, "_SILENT", 0.0)
    topic = await kafka.create()
    source, intake = kafka_source(kafka, topic), MemoryIntake()
    with pytest.raises(SourceUnavailable, match=r"Kafka at 127\.0\.0\.1:\d+: no answer for \d+ s"):
        await asyncio.wait_for(source.run(intake, once=False), 60)


async def test_records_whose_bytes_changed_on_the_brokers_disk_are_an_error_that_names_their_partition(
    own_kafka: Broker, tmp_path: Path
) -> None:
    """Brokers send what stands in their files. Here it is a record of Kafka's first format, with a key of -256 bytes:
    aiokafka's decoder raises what is no error of aiokafka's.
    """
    topic = await own_kafka.client.create()
    await produce(own_kafka.client, topic, b"one")
    (log,) = tmp_path.glob(f"**/{topic}-0/00000000000000000000.log")
    with log.open("r+b") as file:
        file.seek(16)
        file.write(struct.pack(">bbi", 0, 0, -256))
    with pytest.raises(SourceUnavailable, match=f"{topic}/0: the records at offsets 0 to 0 cannot be read"):
        await asyncio.wait_for(kafka_source(own_kafka.client, topic).run(MemoryIntake(), once=False), 60)


@pytest.fixture
async def guarded(start_kafka: Callable[..., Broker]) -> Broker:
    """A broker that lets ``reader`` do what it is granted."""
    return start_kafka(security=Security(users={"reader": PASSWORD}, acls=True))


def reader(broker: Broker, topic: str, group: str, password: str = PASSWORD) -> KafkaSource:
    """A source that says who it is."""
    sasl = Sasl(mechanism="SCRAM-SHA-256", username="reader", password=password)
    return kafka_source(Kafka(broker.at("SASL_PLAINTEXT")), topic, group=group, sasl=sasl)


async def test_a_user_needs_the_password_and_rights_on_group_and_topic(guarded: Broker) -> None:
    """What is missing is said. A topic that may not be seen is as if it were not there."""
    kafka, group = guarded.client, a_group()
    topic = await kafka.create()
    await produce(kafka, topic, b"one")
    with pytest.raises(SourceError, match="does not know this user with this password"):
        await reader(guarded, topic, group, "wrong").run(MemoryIntake(), once=True)
    with pytest.raises(SourceError, match=r"this user may not use the consumer group; grant it the right READ on it"):
        await reader(guarded, topic, group).run(MemoryIntake(), once=True)
    await kafka.allow("reader", "group", group, "read", "describe")
    source = reader(guarded, topic, group)
    await source.run(MemoryIntake(), once=True)
    assert source.problems() == [f"topic {topic} does not exist, or this user may not see it"]
    await kafka.allow("reader", "topic", topic, "describe")
    with pytest.raises(
        SourceError, match=rf"positions in {topic}: this user may not use the topic; grant it the rights"
    ):
        await reader(guarded, topic, group).run(MemoryIntake(), once=True)
    await kafka.allow("reader", "topic", topic, "read")
    intake = MemoryIntake()
    await reader(guarded, topic, group).run(intake, once=True)
    assert intake.records() == [b"one"]


async def test_what_is_refused_ends_only_a_run_that_ends_by_itself(guarded: Broker) -> None:
    """Somebody may mend it at the brokers, and the process has other sources and sinks."""
    topic = await guarded.client.create()
    with pytest.raises(SourceUnavailable, match="does not know this user with this password"):
        await reader(guarded, topic, a_group(), "wrong").run(MemoryIntake(), once=False)
