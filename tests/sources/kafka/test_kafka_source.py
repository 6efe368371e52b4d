"""The Kafka source reads topics of a real broker: where it begins, what it says, what it is told."""

import asyncio
import time
from typing import Any

import pytest
from support.intake import MemoryIntake, running
from support.kafka_client import Kafka
from support.kafka_producer import Sent, produce
from support.kafka_sources import a_group, add_partitions, by_partition, committed, kafka_source, offsets

from shipper.batch import Format, Payload
from shipper.errors import SourceUnavailable
from shipper.sources.kafka import KafkaSource


async def read_once(source: KafkaSource) -> MemoryIntake:
    """What ``run --once`` reads."""
    intake = MemoryIntake()
    await asyncio.wait_for(source.run(intake, once=True), 60)
    return intake


async def test_labels_say_where_a_record_stood_and_its_identity_at_which_offset(kafka: Kafka) -> None:
    topic = await kafka.create(partitions=2)
    await produce(kafka, topic, b"a", b"b")
    await produce(kafka, topic, b"c", partition=1)
    intake = await read_once(kafka_source(kafka, topic))
    assert by_partition(intake) == {0: [b"a", b"b"], 1: [b"c"]}
    assert sorted(offsets(intake)) == [(0, 0), (0, 1), (1, 0)]
    assert {batch.labels["topic"] for batch in intake.batches} == {topic}
    ranges = {(span.start, span.end, span.read, span.kept) for span in intake.ranges()}
    assert ranges == {(0, 2, 2, 2), (0, 1, 1, 1)}


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(kafka: Kafka, compression: str | None) -> None:
    topic = await kafka.create()
    await produce(kafka, topic, *[b"x" * 500] * 20, compression_type=compression)
    assert (await read_once(kafka_source(kafka, topic))).records() == [b"x" * 500] * 20


async def test_values_with_newlines_and_bytes_that_are_no_text_come_as_they_are(kafka: Kafka) -> None:
    topic = await kafka.create()
    values = [b"two\nlines", b"", b"\xff\xfe", b"\n"]
    await produce(kafka, topic, *values)
    intake = await read_once(kafka_source(kafka, topic))
    assert intake.records() == values
    assert all(isinstance(b.payload, Payload) and b.payload.format is Format.SIZED for b in intake.batches)


async def test_keys_headers_and_tombstones_become_fields(kafka: Kafka) -> None:
    topic = await kafka.create()
    await produce(kafka, topic, Sent(b"one", b"k", (("trace", b"7"),)), Sent(None, b"k"))
    payloads = [batch.payload for batch in (await read_once(kafka_source(kafka, topic))).batches]
    assert payloads == [[{"message": "one", "key": "k", "headers": {"trace": "7"}}, {"message": None, "key": "k"}]]


async def test_a_large_batch_of_a_producer_becomes_batches_of_the_intakes_size(kafka: Kafka) -> None:
    topic = await kafka.create()
    values = [b"%05d" % number + b"x" * 200 for number in range(3000)]
    await produce(kafka, topic, *values, compression_type="zstd", max_batch_size=500_000)
    intake = MemoryIntake(max_bytes=10_000)
    await kafka_source(kafka, topic).run(intake, once=True)
    assert intake.records() == values
    assert all(isinstance(b.payload, Payload) and len(b.payload.data) <= 10_000 for b in intake.batches)


async def test_a_value_larger_than_a_fetch_is_read(kafka: Kafka) -> None:
    topic = await kafka.create()
    values = [b"x" * 900_000, b"after"]
    await produce(kafka, topic, *values)
    assert (await read_once(kafka_source(kafka, topic, fetch_max_bytes=65536))).records() == values


async def test_latest_begins_with_what_comes_and_that_is_kept(kafka: Kafka) -> None:
    """What comes while the source is down, before it has read anything, is read too."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, b"old")
    source = kafka_source(kafka, topic, group=group, start="latest")
    intake = MemoryIntake()
    async with running(source, intake):
        await intake.until(source.greeting)
    await produce(kafka, topic, b"new")
    assert (await read_once(kafka_source(kafka, topic, group=group, start="latest"))).records() == [b"new"]


async def test_a_time_begins_with_the_first_record_of_it(kafka: Kafka) -> None:
    topic = await kafka.create(partitions=2, settings={"retention.ms": "-1"})
    await produce(kafka, topic, *(Sent(b"%d" % at, timestamp=1_700_000_000_000 + at * 1000) for at in range(5)))
    await produce(kafka, topic, Sent(b"earlier", timestamp=1_600_000_000_000), partition=1)
    intake = await read_once(kafka_source(kafka, topic, start="2023-11-14T22:13:23Z"))
    assert intake.records() == [b"3", b"4"]


async def test_a_partition_that_is_added_later_is_read_from_its_begin(kafka: Kafka) -> None:
    """``latest`` is about what was there before."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, b"old")
    await read_once(kafka_source(kafka, topic, group=group, start="latest"))
    await add_partitions(kafka, topic, 2)
    await produce(kafka, topic, b"first", partition=1)
    assert (await read_once(kafka_source(kafka, topic, group=group, start="latest"))).records() == [b"first"]


async def test_a_pattern_is_of_whole_names(kafka: Kafka) -> None:
    prefix = await kafka.create()
    for name in ("a", "b", "ab"):
        await kafka.create(f"{prefix}.{name}")
        await produce(kafka, f"{prefix}.{name}", name.encode())
    intake = await read_once(kafka_source(kafka, pattern=rf"{prefix}\.(a|b)"))
    assert sorted(intake.records()) == [b"a", b"b"]


async def test_a_topic_that_is_not_there_is_a_problem_until_it_is(kafka: Kafka) -> None:
    """And reading does not make it."""
    there, missing = await kafka.create(), f"{a_group()}-later"
    source, intake = kafka_source(kafka, there, missing), MemoryIntake()
    async with running(source, intake):
        await intake.until(source.problems)
        assert source.problems() == [f"topic {missing} does not exist, or this user may not see it"]
        assert missing not in await kafka.topics()
        await kafka.create(missing)
        await produce(kafka, missing, b"here")
        await intake.have(1)
        assert source.problems() == []


async def test_it_says_what_it_reads_and_what_is_left(kafka: Kafka) -> None:
    topic, group = await kafka.create(partitions=3), a_group()
    await produce(kafka, topic, *[b"x"] * 10)
    source, intake = kafka_source(kafka, topic, group=group), MemoryIntake()
    assert source.greeting() is None
    async with running(source, intake):
        await intake.have(10)
        await intake.until(lambda: "0 records unread" in source.describe())
        assert source.describe() == f"reading {topic} as group {group} (3 partitions, 0 records unread)"
        assert source.greeting() == source.describe()
        lag = intake.metrics.value("shipper_source_lag_records", source="app", topic=topic, partition="0")
        assert lag == 0
    assert "shipper_source_lag_records{" not in intake.metrics.render()


async def test_what_is_durable_is_committed_while_it_runs(kafka: Kafka) -> None:
    """And what is not durable is not."""
    topic, group = await kafka.create(), a_group()
    intake = MemoryIntake()
    async with running(kafka_source(kafka, topic, hasty=True, group=group), intake):
        await produce(kafka, topic, *[b"x"] * 7)
        await intake.have(7)
        await until_committed(kafka, group, topic, 7)
        intake.hold = True
        await produce(kafka, topic, *[b"y"] * 5)
        await intake.have(12)
    assert await committed(kafka, group, topic) == 7


async def until_committed(kafka: Kafka, group: str, topic: str, offset: int) -> None:
    """Wait until the group holds an offset."""
    deadline = time.monotonic() + 60
    while (found := await committed(kafka, group, topic)) != offset:
        assert time.monotonic() < deadline, f"the group holds {found}"
        await asyncio.sleep(0.05)


async def test_no_broker_is_an_error_that_may_pass() -> None:
    with pytest.raises(SourceUnavailable, match=r"broker 127\.0\.0\.1:1: Connection refused"):
        await kafka_source(Kafka("127.0.0.1:1"), "t").run(MemoryIntake(), once=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topics": []}, "name either topics"),
        ({"pattern": "a.*"}, "name either topics"),
        ({"topics": ["a b"]}, "'a b' is not the name of a topic"),
        ({"topics": ["t", ".."]}, r"topics: '\.\.' is not the name of a topic: Kafka takes neither '\.' nor '\.\.'"),
        ({"topics": ["."]}, r"topics: '\.' is not the name of a topic"),
        ({"topics": [], "pattern": ""}, r"pattern is empty, expected a regular expression, as in 'logs-\.\*'"),
        ({"topics": [], "pattern": "("}, "is not a regular expression"),
        ({"topics": [], "pattern": "logs-["}, "is not a regular expression: unterminated character set at position 5"),
        ({"group": ""}, "group must not be empty"),
        ({"group": " "}, "group must not be empty"),
        ({"start": "yesterday"}, "start: 'yesterday' is neither earliest, latest nor a time"),
        ({"start": "2026-05-01T00:00:00"}, "nor a time with its zone"),
        ({"key_field": "message"}, "must be different names"),
        ({"offset_field": "key"}, "must be different names"),
        ({"headers_field": ""}, "must be different names"),
        ({"fetch_max_bytes": 1}, "fetch_max_bytes must be at least 64KiB"),
        ({"session_timeout": 0.5}, "session_timeout must be at least 1s"),
        ({"brokers": []}, "brokers: name at least one"),
    ],
)
def test_a_setting_that_cannot_be_is_said_at_once(settings: dict[str, Any], words: str) -> None:
    given = {"brokers": ["127.0.0.1:9092"], "group": "g", "topics": ["t"]} | settings
    with pytest.raises(ValueError, match=words):
        KafkaSource(**given).setup()
