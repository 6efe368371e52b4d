"""What the Kafka sink writes: values, keys, headers, partitions, topics, compression. With a real broker."""

import asyncio
import json
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from support.delivering import DEADLINE, READ_AT, STREAM, Outpost, frame_draft, lines, ndjson
from support.kafka_client import Kafka
from support.kafka_sinks import identity, kafka_sink, texts

from shipper.batch import Origin, SourceRange
from shipper.chain.flat import rfc3339
from shipper.kafka.batch import Compression
from shipper.kafka.murmur import partition_of
from shipper.spool.frame import FrameMeta, draft

LABELS = {"host": "edge-1", "source": "app", "port": 8080}


@pytest.fixture
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Outpost:
    return Outpost(tmp_path_factory.mktemp("outpost"))


async def test_a_message_is_the_record_with_its_labels_and_says_who_it_is(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create()
    async with outpost.opened() as spool:
        stream = spool.stream
        read_at = time.time_ns() // 1000
        await outpost.append(frame_draft(ndjson({"level": "info"}, {"host": "mine"}), LABELS, read_at))
    await outpost.deliver_all(kafka_sink(kafka, topic))
    first, second = await kafka.read(topic)
    assert json.loads(first.value or b"") == {"level": "info", **LABELS, "_read_at": rfc3339(read_at)}
    assert json.loads(second.value or b"")["host"] == "mine"
    assert (first.key, first.timestamp) == (None, read_at // 1000)
    assert first.headers == {
        "_stream": stream.hex().encode(),
        "_seq": b"1",
        "_index": b"0",
        "host": b"edge-1",
        "source": b"app",
        "port": b"8080",
    }
    assert second.headers == first.headers | {"_index": b"1"}


async def test_a_clock_that_was_ahead_does_not_make_messages_that_brokers_refuse(
    kafka: Kafka, outpost: Outpost
) -> None:
    topic = await kafka.create(settings={"message.timestamp.after.max.ms": "60000"})
    async with outpost.opened():
        await outpost.append(frame_draft(lines("from the future"), read_at=2 * READ_AT))
    before = time.time() * 1000
    await outpost.deliver_all(kafka_sink(kafka, topic))
    (message,) = await kafka.read(topic)
    assert before - 1 <= message.timestamp <= time.time() * 1000


async def test_headers_and_the_time_read_can_be_left_out(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create()
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one"), {}))
    await outpost.deliver_all(kafka_sink(kafka, topic, headers=False, read_at=False))
    (message,) = await kafka.read(topic)
    assert (message.value, message.headers) == (b'{"message":"one"}', {})


async def test_the_identity_can_stand_in_the_object(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create()
    async with outpost.opened() as spool:
        stream = spool.stream
        await outpost.append(frame_draft(lines("one", "two"), {}))
    await outpost.deliver_all(kafka_sink(kafka, topic, headers=False, read_at=False, identity=True))
    _, second = await kafka.read(topic)
    assert json.loads(second.value or b"") == {"message": "two", "_stream": stream.hex(), "_seq": 1, "_index": 1}


async def test_a_record_keeps_the_identity_of_the_frame_that_it_came_in(kafka: Kafka, outpost: Outpost) -> None:
    """Of a collector's frame: the agent's stream, and a sub-index where one record became several."""
    topic = await kafka.create()
    ranges = [SourceRange("edge", b"g" * 16, 0, 9, 3, 3)]
    meta = FrameMeta({}, ranges, origin=Origin(STREAM, 41), indices=[7, 7, 9], subs=[0, 1, 0])
    async with outpost.opened():
        await outpost.append(draft(lines("7.0", "7.1", "9"), meta, READ_AT))
    await outpost.deliver_all(kafka_sink(kafka, topic))
    found = [{name: value.decode() for name, value in each.headers.items()} for each in await kafka.read(topic)]
    stream = STREAM.hex()
    assert found == [
        {"_stream": stream, "_seq": "41", "_index": "7", "_sub": "0"},
        {"_stream": stream, "_seq": "41", "_index": "7", "_sub": "1"},
        {"_stream": stream, "_seq": "41", "_index": "9", "_sub": "0"},
    ]


async def test_labels_choose_the_topic(kafka: Kafka, outpost: Outpost) -> None:
    prefix = await kafka.create()
    for name in ("web", "a_2Fb"):
        await kafka.create(f"{prefix}.{name}")
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(source), {"source": source}) for source in ("web", "a/b", "web")))
        await outpost.append(frame_draft(lines("nowhere"), {}))
    await outpost.deliver_all(kafka_sink(kafka, f"{prefix}.{{source}}"))
    assert texts(await kafka.read(f"{prefix}.web")) == ["web", "web"]
    assert texts(await kafka.read(f"{prefix}.a_2Fb")) == ["a/b"]
    (letter,) = outpost.dead_letters()
    assert (letter.raw, letter.error) == (b"nowhere", "the frame has no label 'source', which the topic needs")


@pytest.mark.parametrize("setting", ["field:user.id", "field:field('user.id')"])
async def test_records_of_one_key_are_in_one_partition_in_order(kafka: Kafka, outpost: Outpost, setting: str) -> None:
    topic = await kafka.create(partitions=5)
    nested = setting == "field:user.id"
    async with outpost.opened():
        for frame in range(10):
            users = [f"u{number % 7}" for number in range(20)]
            records = [
                {"user": {"id": user}, "message": f"{frame}-{n}"}
                if nested
                else {"user.id": user, "message": f"{frame}-{n}"}
                for n, user in enumerate(users)
            ]
            await outpost.append(frame_draft(ndjson(*records)))
    await outpost.deliver_all(kafka_sink(kafka, topic, key=setting))
    found = defaultdict(list)
    for message in await kafka.read(topic):
        assert message.key is not None
        assert message.partition == partition_of(message.key, 5)
        found[message.key].append(json.loads(message.value or b"")["message"])
    assert found == {
        f"u{user}".encode(): [f"{frame}-{n}" for frame in range(10) for n in range(20) if n % 7 == user]
        for user in range(7)
    }


async def test_another_client_puts_a_key_into_the_same_partition(kafka: Kafka, outpost: Outpost) -> None:
    """kcat, with the partitioner that is Java's."""
    topic = await kafka.create(partitions=7)
    keys = [f"key-{number}" for number in range(30)]
    async with outpost.opened():
        await outpost.append(frame_draft(ndjson(*({"id": key, "message": "ours"} for key in keys))))
    await outpost.deliver_all(kafka_sink(kafka, topic, key="field:id"))
    given = "".join(f'{key}\t{{"message":"theirs"}}\n' for key in keys).encode()
    await asyncio.to_thread(
        kafka.kcat, "-P", "-t", topic, "-K", "\t", "-X", "topic.partitioner=murmur2_random", given=given
    )
    places = defaultdict(set)
    for message in await kafka.read(topic):
        places[message.key or b""].add(message.partition)
    assert sorted(places) == sorted(key.encode() for key in keys)
    assert all(len(partitions) == 1 for partitions in places.values())


async def test_a_key_may_be_a_label(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create(partitions=3)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one", "two"), LABELS), frame_draft(lines("three"), {}))
    await outpost.deliver_all(kafka_sink(kafka, topic, key="label:host"))
    found = {each: message.key for message in await kafka.read(topic) for each in texts([message])}
    assert found == {"one": b"edge-1", "two": b"edge-1", "three": None}


async def test_a_key_may_be_no_text_or_missing(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create(partitions=3)
    records: list[dict[str, Any]] = [{"id": 7}, {"id": None}, {}, {"id": True}, {"id": [1, "é"]}, {"id": "é"}]
    async with outpost.opened():
        await outpost.append(frame_draft(ndjson(*records)))
    await outpost.deliver_all(kafka_sink(kafka, topic, key="field:id"))
    found = {message.headers["_index"]: message.key for message in await kafka.read(topic)}
    keys = [b"7", None, None, b"true", '[1,"é"]'.encode(), "é".encode()]
    assert found == {b"%d" % index: key for index, key in enumerate(keys)}


async def test_records_without_a_key_are_spread_by_whole_batches(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create(partitions=4)
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(*(f"{n}-{i}" for i in range(200)))) for n in range(40)))
    await outpost.deliver_all(kafka_sink(kafka, topic, max_message_bytes=50_000))
    messages = await kafka.read(topic)
    assert sorted(identity(each)[1:] for each in messages) == [(n, i) for n in range(1, 41) for i in range(200)]
    assert {each.partition for each in messages} == set(range(4))
    places = [each.partition for each in sorted(messages, key=identity)]
    turns = sum(one != other for one, other in pairwise(places))
    assert turns < len(messages) / 100


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_other_clients_read_every_compression(kafka: Kafka, outpost: Outpost, compression: Compression) -> None:
    topic = await kafka.create()
    expected = [f"line {number} of many that look alike" for number in range(500)]
    async with outpost.opened():
        await outpost.append(frame_draft(lines(*expected)))
    await outpost.deliver_all(kafka_sink(kafka, topic, compression=compression))
    assert texts(await kafka.read(topic)) == expected
    printed = await asyncio.to_thread(kafka.kcat, "-C", "-t", topic, "-e", "-q")
    assert [json.loads(line)["message"] for line in printed.splitlines()] == expected


async def test_lingering_puts_frames_into_one_batch(kafka: Kafka, outpost: Outpost) -> None:
    """One batch means one partition."""
    topic = await kafka.create(partitions=8)
    async with outpost.opened(), outpost.delivering(kafka_sink(kafka, topic, linger=3.0)) as delivery:
        for number in range(8):
            await outpost.append(frame_draft(lines(str(number))))
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    messages = await kafka.read(topic)
    assert texts(messages) == [str(number) for number in range(8)]
    assert len({message.partition for message in messages}) == 1
