"""Records and batches that are too large, and how much the Kafka sink holds. With a real broker."""

import asyncio
import io
import json
import random

import pytest
from support.delivering import DEADLINE, Outpost, frame_draft, lines, until
from support.kafka import Broker
from support.kafka_client import Kafka
from support.kafka_sinks import kafka_sink, texts

from shipper.sinks.kafka import KafkaSink
from shipper.sinks.kafka.session import Session


@pytest.fixture
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Outpost:
    return Outpost(tmp_path_factory.mktemp("outpost"))


def noise(size: int, seed: int = 0) -> str:
    """Text that compresses badly."""
    return random.Random(seed).randbytes(size // 2).hex()


async def test_a_message_over_the_sinks_limit_goes_to_the_dead_letters_and_its_frame_goes_on(
    kafka: Kafka, outpost: Outpost
) -> None:
    topic = await kafka.create()
    large = [noise(5000), noise(6000)]
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one", large[0], "two")), frame_draft(lines(large[1])))
        await outpost.append(frame_draft(lines("three")))
    await outpost.deliver_all(kafka_sink(kafka, topic, max_message_bytes=4096))
    assert texts(await kafka.read(topic)) == ["one", "two", "three"]
    letters = outpost.dead_letters()
    assert [letter.raw.decode() for letter in letters] == large
    assert "max_message_bytes is 4096" in letters[0].error
    assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 3


@pytest.mark.parametrize("key", [None, "label:host"])
async def test_a_batch_over_the_topics_limit_is_split_and_only_what_is_too_large_alone_is_refused(
    kafka: Kafka, outpost: Outpost, key: str | None
) -> None:
    """Everything else arrives in order, and nothing twice."""
    topic = await kafka.create(settings={"max.message.bytes": "3000"})
    expected, large = [], []
    async with outpost.opened():
        for frame in range(6):
            short = [f"{frame}-{number}-{noise(200, frame * 100 + number)}" for number in range(30)]
            long = f"{frame}-{noise(8000, frame)}"
            await outpost.append(frame_draft(lines(*short[:11], long, *short[11:])))
            expected += short
            large.append(long)
    await outpost.deliver_all(kafka_sink(kafka, topic, key=key))
    assert texts(await kafka.read(topic)) == expected
    letters = outpost.dead_letters()
    assert [letter.raw.decode() for letter in letters] == large
    assert {(letter.index, letter.error) for letter in letters} == {
        (11, f"topic {topic}: it is larger than max.message.bytes of the topic: raise that, or log less")
    }


async def test_batches_stay_small_where_a_topic_takes_less(
    kafka: Kafka, outpost: Outpost, request: pytest.FixtureRequest
) -> None:
    """And the log says what to change."""
    logged: io.StringIO = request.getfixturevalue("lines")
    topic = await kafka.create(settings={"max.message.bytes": "40000"})
    texts_sent = [noise(1000, number) for number in range(2000)]
    async with outpost.opened():
        for at in range(0, 2000, 100):
            await outpost.append(frame_draft(lines(*texts_sent[at : at + 100])))
    await outpost.deliver_all(kafka_sink(kafka, topic, compression="none"))
    assert texts(await kafka.read(topic)) == texts_sent
    said = [json.loads(line) for line in logged.getvalue().splitlines()]
    advice = "batches are larger than the topic takes: raise its max.message.bytes, or lower max_message_bytes"
    assert [line["topic"] for line in said if line["msg"] == advice] == [topic]


async def test_what_was_refused_once_is_not_refused_again_after_a_lost_cursor(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create(settings={"max.message.bytes": "3000"})
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one", noise(8000), "two")))
        async with outpost.delivering(kafka_sink(kafka, topic)) as delivery:
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    outpost.lose_cursor()
    await outpost.deliver_all(kafka_sink(kafka, topic))
    assert texts(await kafka.read(topic)) == ["one", "two"] * 2
    assert len(outpost.dead_letters()) == 1


async def test_what_waits_for_the_brokers_is_bounded_and_arrives_when_they_are_back(
    own_kafka: Broker, outpost: Outpost
) -> None:
    """The rest waits in the spool."""
    topic = await own_kafka.client.create(partitions=3)
    limit = 200_000
    sink = kafka_sink(own_kafka.client, topic, max_in_flight=limit, key="label:host")
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("first")))
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        own_kafka.pause()
        sizes = []
        for number in range(120):
            await outpost.append(frame_draft(lines(*(noise(5000, number * 100 + i) for i in range(20)))))
            sizes.append(_bytes_held(sink))
        await until(lambda: _bytes_held(sink) > limit)  # records are built on a thread, which may lag behind
        sizes.append(_bytes_held(sink))
        await until(sink.held_up)
        own_kafka.resume()
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    group = 2 * 1024 * 1024  # what is read and built at a time, at most, beside what is on its way
    assert limit < max(sizes) < limit + group
    assert len(await own_kafka.client.read(topic)) == 1 + 120 * 20


def _bytes_held(sink: KafkaSink) -> int:
    """What the sink has of records that are not acknowledged; 0 between two connections."""
    return sink._session._flight.size if isinstance(sink._session, Session) else 0
