"""The cursor topic at the brokers: which ones the sink refuses, and with what words."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.delivering import Outpost, frame_draft, lines, until
from support.kafka import Broker
from support.kafka_client import Kafka
from support.kafka_once import QUICK, connected, exactly_once_sink, until_decided, write_cursors
from support.kafka_sinks import texts

from shipper.errors import SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.sinks.kafka.books import Books
from shipper.sinks.kafka.cursor_topic import CursorTopic, settings_for
from shipper.sinks.kafka.cursors import Cursor
from shipper.sinks.kafka.destinations import CreateTopics
from shipper.sinks.kafka.records import Batch
from shipper.sinks.kafka.transactions import Transactions


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path / "outpost")


async def said(kafka: Kafka, outpost: Outpost, cursors: str, *words: str) -> None:
    """The sink does not connect, and its state says why."""
    sink = exactly_once_sink(kafka, await kafka.create(), cursors, **QUICK)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await until(lambda: all(word in delivery.state for word in words), delivery.state)
        assert not delivery.up


async def test_a_topic_that_is_missing_is_waited_for_by_name(kafka: Kafka, outpost: Outpost) -> None:
    cursors, topic = f"test-{uuid.uuid4().hex}", await kafka.create()
    async with outpost.opened(), outpost.delivering(exactly_once_sink(kafka, topic, cursors, **QUICK)) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: f"the cursor topic {cursors}: there is no such topic" in delivery.state)
        await kafka.create(cursors, settings={"cleanup.policy": "compact"})
        await until(lambda: delivery.caught_up)
    assert texts(await kafka.read(topic)) == ["one"]


async def test_it_is_made_where_topics_may_be_made(kafka: Kafka, outpost: Outpost) -> None:
    cursors, topic = f"test-{uuid.uuid4().hex}", f"test-{uuid.uuid4().hex}"
    sink = exactly_once_sink(kafka, topic, cursors, create_topics=CreateTopics(partitions=3), **QUICK)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
    await outpost.deliver_all(sink)
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))  # which sees to it that it is compacted
    assert {message.partition for message in await kafka.read(cursors)} == {0}


async def test_a_topic_that_is_not_compacted_is_refused(kafka: Kafka, outpost: Outpost) -> None:
    cursors = await kafka.create(settings={"cleanup.policy": "delete"})
    await said(kafka, outpost, cursors, f"{cursors} has cleanup.policy=delete", "set it to compact")


async def test_a_topic_with_several_partitions_is_refused(kafka: Kafka, outpost: Outpost) -> None:
    cursors = await kafka.create(partitions=2, settings={"cleanup.policy": "compact"})
    await said(kafka, outpost, cursors, f"{cursors} has 2 partitions", "with one partition and cleanup.policy=compact")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"v":2,"now":7}', ["has format 2; this shipper reads up to 1: upgrade it"]),
        ("seven", ["is none that a shipper writes", "give the sink a cursor_topic of its own"]),
    ],
)
async def test_records_that_cannot_be_read_are_refused(
    kafka: Kafka, outpost: Outpost, value: str, words: list[str]
) -> None:
    cursors = await kafka.create(settings={"cleanup.policy": "compact"})
    key = f"cursor/out/{'0' * 32}"
    async with connected(kafka) as cluster:
        await write_cursors(cluster, cursors, key, value)
    await said(kafka, outpost, cursors, key, *words)


async def test_a_record_that_cannot_be_read_ends_a_connection_that_comes_upon_it(
    kafka: Kafka, outpost: Outpost
) -> None:
    """The next claim would go on without the records behind it, and deliver again what those say is there."""
    cursors = await kafka.create(settings={"cleanup.policy": "compact"})
    sink = exactly_once_sink(kafka, await kafka.create(), cursors, **QUICK)
    async with outpost.opened(), outpost.delivering(sink) as delivery, connected(kafka) as cluster:
        await until(lambda: delivery.up)
        await write_cursors(cluster, cursors, f"cursor/out/{'0' * 32}", "seven")
        with pytest.raises(SinkUnavailable, match="is none that a shipper writes"):
            await sink.claim(b"s" * 16, 0)
        await until(lambda: "is none that a shipper writes" in delivery.state)


async def test_records_of_other_sinks_and_programs_are_none_of_its_business(kafka: Kafka, outpost: Outpost) -> None:
    cursors, topic = await kafka.create(settings={"cleanup.policy": "compact"}), await kafka.create()
    async with connected(kafka) as cluster:
        await write_cursors(cluster, cursors, f"cursor/other/{'0' * 32}", '{"v":2}')
        await write_cursors(cluster, cursors, "something else", "seven")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert texts(await kafka.read(topic)) == ["one"]


async def test_a_topic_that_was_made_anew_is_noticed(kafka: Kafka) -> None:
    """Claims that are written to it stand before the place where reading would go on."""
    settings = {"cleanup.policy": "compact"}
    cursors = await kafka.create(settings=settings)
    async with connected(kafka) as cluster:
        for value in ("seven", "eight"):
            await write_cursors(cluster, cursors, "something else", value)
        topic = CursorTopic(cluster, cursors)
        await topic.read()
        async with kafka._admin() as admin:
            await admin.delete_topics([cursors])
        while cursors in await kafka.topics():
            pass  # it is gone in a moment
        await kafka.create(cursors, settings=settings)
        await write_cursors(cluster, cursors, "something else", "nine")
        with pytest.raises(SinkUnavailable, match="lost records while it was read; it is read again"):
            await topic.read()


@pytest.mark.parametrize(("replication", "in_sync"), [(-1, None), (1, None), (2, None), (3, "2"), (5, "2")])
def test_a_topic_that_is_made_with_three_copies_asks_for_two_that_are_in_sync(
    replication: int, in_sync: str | None
) -> None:
    """As the guide has it made by hand; with fewer copies the loss of one would stop it."""
    assert dict(settings_for(replication)).get("min.insync.replicas") == in_sync


async def test_records_that_the_brokers_have_and_do_not_send_are_not_waited_for_forever(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursors = await kafka.create(settings={"cleanup.policy": "compact"})

    async def nothing(_: CursorTopic, __: int) -> bytes:
        return b""

    async with connected(kafka) as cluster:
        await write_cursors(cluster, cursors, "something else", "seven")
        await until_decided(kafka, cursors)
        topic = CursorTopic(cluster, cursors)
        with monkeypatch.context() as silent:
            silent.setattr(CursorTopic, "_fetch", nothing)
            silent.setattr(CursorTopic, "patience", 0.0)
            with pytest.raises(SinkUnavailable, match=f"{cursors}: the brokers send nothing from offset 0 on"):
                await topic.read()
        assert [record.value for record in await topic.read()] == [b"seven"]


async def test_a_compacted_topic_says_the_same(start_kafka: Callable[..., Broker]) -> None:
    """Of committed transactions the last record of each key stays, of aborted ones and of markers nothing."""
    kafka = start_kafka(settings={"log.cleaner.backoff.ms": "100"}).client
    often = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"}
    cursors = await kafka.create(settings={"cleanup.policy": "compact", **often})
    wanted: dict[bytes, Cursor] = {}
    written = 0
    async with connected(kafka) as cluster, asyncio.timeout(180):
        writers = [Writer(cluster, cursors, number) for number in range(3)]
        await cluster.refresh([cursors])
        while written < 50 or len(await CursorTopic(cluster, cursors).read()) > written / 2:
            writer, stream, cursor = writers[written % 3], bytes([written % 7]) * 16, Cursor(next=written)
            if await writer.write(stream, cursor, commit=written % 5 < 4):
                wanted[stream] = cursor
            written += 1
        for writer in writers:
            await writer.end()
        books = Books("out")
        await books.catch_up(CursorTopic(cluster, cursors), everybody=True)
    assert {stream: books.cursor(stream) for stream in wanted} == wanted


class Writer:
    """Somebody who writes cursors, and does not always commit."""

    def __init__(self, cluster: Cluster, cursors: str, number: int) -> None:
        self._transactions = Transactions(cluster, f"{cursors}-{number}", timeout=60, patience=60)
        self._cursors = cursors
        self._initialised = False

    async def end(self) -> None:
        """Abort what is open, and wait for what was committed."""
        await self._transactions.initialise()

    async def write(self, stream: bytes, cursor: Cursor, *, commit: bool) -> bool:
        if not self._initialised:
            await self.end()
        batch = Books("out").batch(self._cursors, {stream: cursor}, {}, "")
        await self._transactions.write([batch], never)
        if commit:
            await self._transactions.end()
        self._initialised = commit
        return commit


async def never(batch: Batch, error: Exception) -> Sequence[Batch]:
    raise AssertionError(f"{batch.topic} refuses a batch") from error
