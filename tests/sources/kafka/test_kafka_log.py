"""What may happen to a topic's records before they are read: retention, compaction, transactions, a topic made anew."""

import io
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from support.intake import MemoryIntake, running
from support.kafka_client import Kafka
from support.kafka_producer import fill, produce, producing
from support.kafka_sources import a_group, committed, kafka_source, offsets


async def expire(kafka: Kafka, topic: str, before: int) -> None:
    """Remove a partition's first records, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.addresses)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before)})
    finally:
        await admin.close()


async def delete(kafka: Kafka, topic: str) -> None:
    """Delete a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.addresses)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()


async def read_once(kafka: Kafka, topic: str, group: str, intake: MemoryIntake | None = None, **options: Any) -> Any:
    """What ``run --once`` reads, on top of what was read."""
    intake = MemoryIntake() if intake is None else intake.restarted()
    await kafka_source(kafka, topic, group=group, **options).run(intake, once=True)
    return intake


async def test_what_retention_removed_before_it_was_read_is_counted_and_said(kafka: Kafka, lines: io.StringIO) -> None:
    """In the log, in the metric, and as a range of the source that nobody can read any more."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, b"0", b"1")
    intake = await read_once(kafka, topic, group)
    await produce(kafka, topic, b"2", b"3", b"4")
    await expire(kafka, topic, 4)
    intake = await read_once(kafka, topic, group, intake)
    assert intake.records() == [b"0", b"1", b"4"]
    assert intake.metrics.value("shipper_source_missing_entries_total", source="app") == 2
    assert [(span.start, span.end, span.read, span.lost) for span in intake.ranges()[-2:]] == [
        (2, 4, 0, "expired"),
        (4, 5, 1, ""),
    ]
    assert "records were removed before they were read" in lines.getvalue()


async def test_retention_under_a_running_source_is_noticed_too(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is unread is told while the spool takes nothing."""
    monkeypatch.setattr("shipper.sources.kafka.member.LOOK_AT_ENDS", 0.05)
    topic = await kafka.create(settings={"segment.bytes": "1048576"})
    intake = MemoryIntake()
    source = kafka_source(kafka, topic)
    intake.block()
    async with running(source, intake):
        await intake.until(lambda: "(1 partitions, 0 records unread)" in source.describe())
        await produce(kafka, topic, *[b"x" * 5000] * 400, max_batch_size=20_000)
        await intake.until(lambda: "(1 partitions, 400 records unread)" in source.describe())
        await expire(kafka, topic, 399)
        intake.unblock()
        await intake.until(lambda: intake.ranges() and intake.ranges()[-1].end == 400)
    lost = sum(span.end - span.start for span in intake.ranges() if span.lost)
    assert lost > 0
    assert len(intake.records()) + lost == 400


async def test_a_topic_that_was_made_anew_is_read_from_its_begin(kafka: Kafka) -> None:
    """Its records are not taken for those of the old one."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, *[b"old"] * 5)
    intake = await read_once(kafka, topic, group)
    await delete(kafka, topic)
    await kafka.create(topic)
    await produce(kafka, topic, b"new 0", b"new 1")
    intake = await read_once(kafka, topic, group, intake)
    assert intake.records()[5:] == [b"new 0", b"new 1"]
    old, new = intake.ranges()[0], intake.ranges()[-1]
    assert (new.start, new.end) == (0, 2)
    assert new.generation != old.generation


async def test_a_topic_made_anew_that_has_grown_beyond_what_was_read_of_the_old_one_is_noticed(kafka: Kafka) -> None:
    """Nothing at an offset says so; the times of the records do."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, *[b"old"] * 5)
    intake = await read_once(kafka, topic, group)
    await delete(kafka, topic)
    await kafka.create(topic)
    new = [b"new %d" % number for number in range(9)]
    await produce(kafka, topic, *new)
    assert (await read_once(kafka, topic, group, intake)).records()[5:] == new


async def test_a_topic_that_is_made_anew_under_a_running_source_is_read_from_its_begin(kafka: Kafka) -> None:
    topic = await kafka.create()
    intake = MemoryIntake()
    async with running(kafka_source(kafka, topic), intake):
        await produce(kafka, topic, *[b"old"] * 5)
        await intake.have(5)
        await delete(kafka, topic)
        await kafka.create(topic)
        await produce(kafka, topic, b"new 0", b"new 1")
        await intake.have(7)
    assert intake.records()[5:] == [b"new 0", b"new 1"]


async def test_a_topic_that_is_deleted_holds_up_no_other(kafka: Kafka) -> None:
    """Nor what is committed of them."""
    gone, stays, group = await kafka.create(), await kafka.create(), a_group()
    intake = MemoryIntake()
    async with running(kafka_source(kafka, gone, stays, group=group, session_timeout=2.0), intake):
        await produce(kafka, gone, b"x")
        await produce(kafka, stays, b"y")
        await intake.have(2)
        await delete(kafka, gone)
        await produce(kafka, stays, b"z")
        await intake.have(3)
    assert await committed(kafka, group, stays) == 2


async def test_aborted_transactions_are_not_read_and_leave_no_gap(kafka: Kafka) -> None:
    topic, group = await kafka.create(), a_group()
    async with producing(kafka, transactional_id=topic) as producer:
        for value, commit in ((b"a", True), (b"dropped", False), (b"b", True), (b"dropped too", False)):
            await producer.begin_transaction()
            await fill(producer, topic, 0, value)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
    intake = await read_once(kafka, topic, group)
    assert intake.records() == [b"a", b"b"]
    assert offsets(intake) == [(0, 0), (0, 4)]
    ends = [span.end for span in intake.ranges()]
    assert [span.start for span in intake.ranges()] == [0, *ends[:-1]]
    assert (await read_once(kafka, topic, group, intake)).records() == [b"a", b"b"]


async def test_aborted_and_open_transactions_are_read_where_the_config_says_so(kafka: Kafka) -> None:
    topic = await kafka.create()
    async with producing(kafka, transactional_id=topic) as producer:
        await producer.begin_transaction()
        await fill(producer, topic, 0, b"aborted")
        await producer.abort_transaction()
        await producer.begin_transaction()
        await fill(producer, topic, 0, b"open")
        assert (await read_once(kafka, topic, a_group())).records() == []
        intake = await read_once(kafka, topic, a_group(), isolation="read_uncommitted")
        assert intake.records() == [b"aborted", b"open"]
        await producer.abort_transaction()
