"""The brokers that the tests of Kafka run on do what ``support.kafka`` says."""

import signal
import subprocess
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer
from support.kafka import Broker
from support.kafka_client import Kafka
from support.kafka_shared import shared_broker
from support.processes import wait_for
from support.python_path import TESTS, environment


async def produce(address: str, topic: str, value: bytes, **settings: object) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True, **settings)
    try:
        await producer.start()
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def values(kafka: Kafka, topic: str) -> list[bytes | None]:
    return [message.value for message in await kafka.read(topic)]


async def test_records_are_read_as_they_were_written(kafka: Kafka) -> None:
    topic = await kafka.create(partitions=2)
    kafka.kcat("-P", "-t", topic, "-p", "1", "-K:", "-H", "a=b", given=b"k:v\n")
    await produce(kafka.address, topic, b"\0\xff")
    assert set(await values(kafka, topic)) == {b"\0\xff", b"v"}
    (written,) = [message for message in await kafka.read(topic) if message.key]
    assert (written.partition, written.key, written.headers) == (1, b"k", {"a": b"b"})


async def test_only_what_was_committed_is_read(kafka: Kafka) -> None:
    topic = await kafka.create()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=topic)
    await producer.start()
    async with producer.transaction():
        await producer.send(topic, b"committed")
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"aborted")
    await producer.abort_transaction()
    assert await values(kafka, topic) == [b"committed"]
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"open")
    assert await values(kafka, topic) == [b"committed"]
    all_of_it = [message.value for message in await kafka.read(topic, committed=False)]
    assert all_of_it == [b"committed", b"aborted", b"open"]
    await producer.stop()


async def test_a_broker_that_was_killed_comes_back_with_its_address_and_its_data(own_kafka: Broker) -> None:
    topic = await own_kafka.client.create()
    await produce(own_kafka.address, topic, b"kept")
    own_kafka.kill()
    own_kafka.start()
    assert await values(own_kafka.client, topic) == [b"kept"]


def test_the_shared_broker_ends_when_its_last_user_is_killed(tmp_path: Path, kafka_jars: Path) -> None:
    user = subprocess.Popen(
        [sys.executable, "-c", _USER, str(tmp_path)],
        env=environment(TESTS),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    address = user.stdout.readline().strip()
    user.stdout.close()
    with shared_broker(tmp_path) as same:
        assert same == address
        user.send_signal(signal.SIGKILL)
        user.wait()
        assert Kafka(address).kcat("-L")
    wait_for(lambda: not (tmp_path / "address").exists(), "the keeper to end the broker")
    assert subprocess.run(["kcat", "-b", address, "-L", "-m", "1"], capture_output=True, check=False).returncode


_USER = """
import pathlib, sys, time
from support.kafka_shared import shared_broker
with shared_broker(pathlib.Path(sys.argv[1])) as address:
    print(address, flush=True)
    time.sleep(600)
"""
