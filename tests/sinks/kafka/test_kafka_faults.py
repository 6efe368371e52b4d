"""Brokers that are away, leaders that move, topics that are missing. With real brokers."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable

import pytest
from support.delivering import DEADLINE, Outpost, frame_draft, lines, ndjson, until
from support.kafka import Broker, Cluster
from support.kafka_client import Kafka
from support.kafka_sinks import identity, kafka_sink, texts

from shipper.sinks.kafka import KafkaSink
from shipper.sinks.kafka.destinations import CreateTopics
from shipper.sinks.kafka.producer import Producer


@pytest.fixture
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Outpost:
    return Outpost(tmp_path_factory.mktemp("outpost"))


async def test_a_topic_that_is_missing_is_waited_for_by_name(kafka: Kafka, outpost: Outpost) -> None:
    name = await kafka.create()
    topic = f"{name}-later"
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, topic)) as delivery:
        await outpost.append(frame_draft(lines("one")))
        expected = f"topic {topic}: there is no such topic; make it, or set create_topics"
        await until(lambda: expected in delivery.state, delivery.state)
        assert delivery.state.startswith(("retrying: ", "open: "))
        assert topic not in await kafka.topics()
        await kafka.create(topic)
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await kafka.read(topic)) == ["one"]


async def test_a_topic_of_a_label_that_is_missing_holds_its_records_and_those_behind_them(
    kafka: Kafka, outpost: Outpost
) -> None:
    prefix = await kafka.create()
    await kafka.create(f"{prefix}-a")
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, f"{prefix}-{{source}}")) as delivery:
        await outpost.append(frame_draft(lines("1"), {"source": "a"}), frame_draft(lines("2"), {"source": "b"}))
        await until(lambda: f"topic {prefix}-b: there is no such topic" in delivery.state)
        await outpost.append(frame_draft(lines("3"), {"source": "a"}))
        await kafka.create(f"{prefix}-b")
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await kafka.read(f"{prefix}-b")) == ["2"]
    assert texts(await kafka.read(f"{prefix}-a"))[-1] == "3"


async def test_no_topic_is_made_in_passing(start_kafka: Callable[..., Broker], outpost: Outpost) -> None:
    """Not even by brokers that make every topic that somebody asks about, as they do by default."""
    broker = start_kafka(settings={"auto.create.topics.enable": "true"})
    async with outpost.opened(), outpost.delivering(kafka_sink(broker.client, "logs")) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: "topic logs: there is no such topic" in delivery.state)
    assert "logs" not in await broker.client.topics()


async def test_topics_are_made_where_the_config_asks_for_it(kafka: Kafka, outpost: Outpost) -> None:
    prefix = await kafka.create()
    sink = kafka_sink(kafka, f"{prefix}-{{source}}", create_topics=CreateTopics(partitions=3))
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(source), {"source": source}) for source in "abab"))
    await outpost.deliver_all(sink)
    for source in "ab":
        messages = await kafka.read(f"{prefix}-{source}")
        assert texts(messages) == [source, source]
        described = await asyncio.to_thread(kafka.kcat, "-L", "-J", "-t", f"{prefix}-{source}")
        assert len(json.loads(described)["topics"][0]["partitions"]) == 3


async def test_a_topic_for_the_brokers_own_use_refuses_its_records_alone(kafka: Kafka, outpost: Outpost) -> None:
    """Whoever sets a label cannot stop the sink."""
    topic = await kafka.create()
    await kafka.create("__consumer_offsets") if "__consumer_offsets" not in await kafka.topics() else None
    async with outpost.opened():
        for name in (topic, "__consumer_offsets", topic):
            await outpost.append(frame_draft(lines(f"for {name}"), {"to": name}))
    await outpost.deliver_all(kafka_sink(kafka, "{to}"))
    assert texts(await kafka.read(topic)) == [f"for {topic}"] * 2
    (letter,) = outpost.dead_letters()
    assert letter.error == "the topic __consumer_offsets takes no records: Kafka keeps __consumer_offsets for itself"


async def test_a_leader_that_is_killed_costs_and_doubles_nothing(kafka_cluster: Cluster, outpost: Outpost) -> None:
    """And the records of each key stay in order on the way from one leader to the next. A sink that begins while one of
    its brokers is away goes on with the others.
    """
    kafka = kafka_cluster.client
    topic = await kafka.create(partitions=3, copies=3, settings={"min.insync.replicas": "2"})
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, topic, key="field:id")) as delivery:
        for number in range(150):
            await outpost.append(frame_draft(ndjson(*({"id": i % 9, "n": number * 30 + i} for i in range(30)))))
            if number == 50:
                (await kafka_cluster.leader(topic)).kill()
        await asyncio.wait_for(delivery.wait_caught_up(), 180)
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, topic, key="field:id")) as delivery:
        await outpost.append(frame_draft(ndjson(*({"id": i % 9, "n": 150 * 30 + i} for i in range(30)))))
        await asyncio.wait_for(delivery.wait_caught_up(), 180)
    found = defaultdict(list)
    for message in await kafka.read(topic):
        found[message.key].append(json.loads(message.value or b"")["n"])
    assert found == {
        str(key).encode(): [number * 30 + i for number in range(151) for i in range(30) if i % 9 == key]
        for key in range(9)
    }


async def test_a_broker_that_is_killed_and_comes_back_costs_and_doubles_nothing(
    own_kafka: Broker, outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Producer, "patience", 150.0)  # on a busy machine a broker takes its time to start
    topic = await own_kafka.client.create()
    async with outpost.opened(), outpost.delivering(kafka_sink(own_kafka.client, topic)) as delivery:
        await outpost.append(frame_draft(lines("before")))
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        tries = outpost.metrics.value("shipper_sink_retries_total", sink="out", reason="unavailable")
        await outpost.append(*(frame_draft(lines(f"{number}")) for number in range(20)))
        own_kafka.kill()
        await outpost.append(*(frame_draft(lines(f"{number}")) for number in range(20, 40)))
        own_kafka.start()
        await asyncio.wait_for(delivery.wait_caught_up(), 180)
        assert outpost.metrics.value("shipper_sink_retries_total", sink="out", reason="unavailable") == tries
    assert texts(await own_kafka.client.read(topic)) == ["before", *map(str, range(40))]


async def test_brokers_that_stay_away_are_named_and_doubles_can_be_told(
    own_kafka: Broker, outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused broker takes what it was sent when it wakes up, after the sink has given the connection up."""
    monkeypatch.setattr(Producer, "patience", 0.5)
    monkeypatch.setattr(KafkaSink, "request_timeout", 1.0)
    topic = await own_kafka.client.create()
    async with outpost.opened(), outpost.delivering(kafka_sink(own_kafka.client, topic)) as delivery:
        await outpost.append(frame_draft(lines("before")))
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        own_kafka.pause()
        await outpost.append(*(frame_draft(lines(f"{number}")) for number in range(20)))
        await until(lambda: f"broker {own_kafka.address}: no answer in time" in delivery.state)
        assert outpost.metrics.value("shipper_sink_up", sink="out") == 0
        own_kafka.resume()
        await asyncio.wait_for(delivery.wait_caught_up(), 180)
    messages = await own_kafka.client.read(topic)
    once = {identity(message): text for message, text in zip(messages, texts(messages), strict=True)}
    assert [once[each] for each in sorted(once)] == ["before", *map(str, range(20))]


async def test_no_broker_at_the_start_is_waited_for(own_kafka: Broker, outpost: Outpost) -> None:
    topic = await own_kafka.client.create()
    own_kafka.stop()
    async with outpost.opened(), outpost.delivering(kafka_sink(own_kafka.client, topic)) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: f"broker {own_kafka.address}: " in delivery.state)
        assert "Connection refused" in delivery.state
        own_kafka.start()
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await own_kafka.client.read(topic)) == ["one"]


async def test_a_topic_that_is_removed_and_made_again_takes_what_was_not_acknowledged(
    kafka: Kafka, outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer partitions than before."""
    monkeypatch.setattr(Producer, "patience", 0.5)
    topic = await kafka.create(partitions=8)
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, topic, key="field:id")) as delivery:
        await outpost.append(frame_draft(ndjson(*({"id": number} for number in range(50)))))
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        async with kafka._admin() as admin:
            await admin.delete_topics([topic])
        await outpost.append(frame_draft(ndjson(*({"id": number} for number in range(50, 100)))))
        await until(lambda: f"topic {topic}: there is no such topic" in delivery.state)
        await kafka.create(topic, partitions=2)
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    found = sorted(json.loads(message.value or b"")["id"] for message in await kafka.read(topic))
    assert found == list(range(50, 100))
