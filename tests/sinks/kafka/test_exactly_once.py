"""Exactly once into Kafka, one process: what is written, what is read at a start, what is refused."""

import asyncio
import io
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from support.delivering import Outpost, frame_draft, lines, ndjson, until
from support.kafka import Broker
from support.kafka_client import Kafka
from support.kafka_once import (
    BEGIN,
    COMMIT,
    QUICK,
    WRITE,
    FrameByFrame,
    connected,
    exactly_once_sink,
    hooked,
    until_decided,
    write_cursors,
)
from support.kafka_sinks import kafka_sink, texts

from shipper.sinks.kafka.exactly_once import ExactlyOnce


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path / "outpost")


@pytest.fixture
async def cursors(kafka: Kafka) -> str:
    return await kafka.create(settings={"cleanup.policy": "compact"})


async def test_each_record_is_readable_once_and_the_cursor_says_so(
    kafka: Kafka, outpost: Outpost, cursors: str
) -> None:
    topic = await kafka.create()
    async with outpost.opened() as spool:
        await outpost.append(frame_draft(lines("one", "two")), frame_draft(lines("three")))
        stream, epoch = spool.stream, spool.epoch
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert texts(await kafka.read(topic)) == ["one", "two", "three"]
    last = (await kafka.read(cursors))[-1]
    assert last.key == f"cursor/out/{stream.hex()}".encode()
    assert (json.loads(last.value or b"")["next"], json.loads(last.value or b"")["epoch"]) == (3, epoch + 1)


async def test_what_was_written_and_not_acknowledged_does_not_come_again(
    kafka: Kafka, outpost: Outpost, cursors: str
) -> None:
    topic = await kafka.create()
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")), frame_draft(lines("two")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    outpost.lose_cursor()
    async with outpost.opened():
        await outpost.append(frame_draft(lines("three")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert texts(await kafka.read(topic)) == ["one", "two", "three"]


async def test_many_frames_share_a_transaction(kafka: Kafka, outpost: Outpost, cursors: str) -> None:
    topic = await kafka.create(partitions=3)
    commits = 0

    async def counted(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        return await send()

    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(str(frame))) for frame in range(50)))
    with hooked(counted):
        await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert sorted(texts(await kafka.read(topic)), key=int) == [str(frame) for frame in range(50)]
    assert commits <= 3  # the first says where the stream begins


@pytest.mark.parametrize("step", ["InitProducerIdRequest", BEGIN, WRITE, COMMIT])
async def test_an_answer_that_is_lost_costs_and_doubles_nothing(
    kafka: Kafka, outpost: Outpost, cursors: str, step: str
) -> None:
    topic = await kafka.create()
    lost = 0

    async def losing(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal lost
        answer = await send()
        lost += request == step
        if request == step and lost % 2:
            raise KafkaConnectionError("the answer is lost")
        return answer

    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(str(frame))) for frame in range(4)))
    with hooked(losing):
        await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, FrameByFrame))
    assert lost > 1
    assert texts(await kafka.read(topic)) == ["0", "1", "2", "3"]


async def test_frames_that_the_sinks_condition_empties_move_the_cursor(
    kafka: Kafka, outpost: Outpost, cursors: str
) -> None:
    topic = await kafka.create()
    async with outpost.opened():
        await outpost.append(*(frame_draft(ndjson({"message": "no"}, {"message": text})) for text in ("a", "no", "b")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, where="message != 'no'"))
    outpost.lose_cursor()
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, where="message != 'no'"))
    assert texts(await kafka.read(topic)) == ["a", "b"]


async def test_another_shippers_open_transaction_does_not_hold_up_a_start(
    kafka: Kafka, outpost: Outpost, cursors: str
) -> None:
    """Who asks the brokers for committed records gets none after the begin of an open transaction."""
    topic = await kafka.create()
    async with connected(kafka) as cluster:
        await write_cursors(cluster, cursors, "cursor/other/somebody", "{}", commit=False)
        async with outpost.opened():
            await outpost.append(frame_draft(lines("one")))
        await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
        outpost.lose_cursor()
        await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert await kafka.read(cursors) == []
    assert texts(await kafka.read(topic)) == ["one"]


async def test_a_transaction_that_takes_too_long_is_written_again(kafka: Kafka, outpost: Outpost, cursors: str) -> None:
    topic = await kafka.create()
    commits = 0

    async def late(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        if request == COMMIT and commits == 2:
            await until_decided(kafka, cursors)
        return await send()

    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
    with hooked(late):
        await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, transaction_timeout=3, **QUICK))
    assert texts(await kafka.read(topic)) == ["one"]
    assert texts(await kafka.read(topic, committed=False)) == ["one", "one"]


async def test_a_transaction_that_is_full_does_not_linger(kafka: Kafka, outpost: Outpost, cursors: str) -> None:
    topic = await kafka.create()
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(str(frame))) for frame in range(3)))
    start = time.monotonic()
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, FrameByFrame, linger=10))
    assert time.monotonic() - start < 20  # three transactions
    assert texts(await kafka.read(topic)) == ["0", "1", "2"]


async def test_records_out_of_order_begin_a_new_producer(kafka: Kafka, outpost: Outpost, cursors: str) -> None:
    topic = await kafka.create()
    sink = exactly_once_sink(kafka, topic, cursors, **QUICK)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: delivery.caught_up)
        assert sink._once is not None
        sink._once._transactions._sequences[topic, 0] += 7
        await outpost.append(frame_draft(lines("two")))
        await until(lambda: delivery.caught_up)
    assert texts(await kafka.read(topic)) == ["one", "two"]


@pytest.mark.parametrize("code", [90, 120])
async def test_a_producer_that_is_shut_out_writes_nothing_more(
    kafka: Kafka, outpost: Outpost, cursors: str, code: int
) -> None:
    topic = await kafka.create()
    refused = False
    after: list[str] = []

    async def shut_out(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal refused
        if request == WRITE and delivery.up and not refused:
            refused = True
            return SimpleNamespace(topics=[(topic, [(0, code, -1, -1)])])
        after.extend([request] * refused)
        return await send()

    with hooked(shut_out):
        async with outpost.opened(), outpost.delivering(exactly_once_sink(kafka, topic, cursors, **QUICK)) as delivery:
            await until(lambda: delivery.up)
            await outpost.append(frame_draft(lines("one")))
            await until(lambda: delivery.caught_up)
    assert after.index("InitProducerIdRequest") < after.index(WRITE)
    assert texts(await kafka.read(topic)) == ["one"]


async def test_the_producer_begins_anew_before_its_numbers_are_used_up(
    kafka: Kafka, outpost: Outpost, cursors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExactlyOnce, "renew_after", 5)
    topic = await kafka.create()
    sink = exactly_once_sink(kafka, topic, cursors, FrameByFrame)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(*(frame_draft(lines(f"{frame}a", f"{frame}b")) for frame in range(6)))
        await until(lambda: delivery.caught_up)
        assert sink._once is not None
        assert sink._once._transactions._epoch == 2
    assert texts(await kafka.read(topic)) == [f"{frame}{part}" for frame in range(6) for part in "ab"]


async def test_a_record_that_the_brokers_find_too_large_goes_to_the_dead_letters_and_the_rest_is_written_once(
    kafka: Kafka, outpost: Outpost, cursors: str
) -> None:
    topic = await kafka.create(settings={"max.message.bytes": "3000"})
    sent = [*(f"before {n} {'x' * 100}" for n in range(40)), "large " * 2000, "after"]
    async with outpost.opened():
        await outpost.append(frame_draft(lines(*sent)))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, compression="none"))
    outpost.lose_cursor()
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, compression="none"))
    assert texts(await kafka.read(topic)) == [text for text in sent if not text.startswith("large")]
    (letter,) = outpost.dead_letters()
    assert letter.raw.startswith(b"large")
    assert "max.message.bytes" in letter.error


@pytest.mark.parametrize("once", [True, False])
async def test_no_label_leads_into_the_cursor_topic(kafka: Kafka, outpost: Outpost, cursors: str, once: bool) -> None:
    """A record there could be taken for a cursor."""
    topic = await kafka.create()
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines("one"), {"to": name}) for name in (cursors, topic)))
    await outpost.deliver_all(kafka_sink(kafka, "{to}", exactly_once=once, cursor_topic=cursors))
    assert texts(await kafka.read(topic)) == ["one"]
    (letter,) = outpost.dead_letters()
    assert letter.error == f"topic {cursors}: shippers keep there how far they are (cursor_topic)"
    assert all((message.key or b"").startswith(b"cursor/out/") for message in await kafka.read(cursors))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cursor_topic": "logs"}, "topic and cursor_topic are both logs"),
        ({"cursor_topic": "cursors-{host}"}, "expected a name without labels"),
        ({"transaction_timeout": 0.5}, "expected 1s to 24d"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kafka_sink(["127.0.0.1:9092"], "logs", exactly_once=True, **settings)


async def test_a_broker_that_is_killed_in_a_transaction_leaves_every_record_once(
    own_kafka: Broker, outpost: Outpost, request: pytest.FixtureRequest
) -> None:
    """And the log says what is waited for."""
    logged: io.StringIO = request.getfixturevalue("lines")
    kafka = own_kafka.client
    topic, cursors = await kafka.create(), await kafka.create(settings={"cleanup.policy": "compact"})
    commits = 0

    async def killed(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        if request == COMMIT and commits == 2:
            own_kafka.kill()
            own_kafka.start()
        return await send()

    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(f"{frame}a", f"{frame}b")) for frame in range(4)))
    sink = exactly_once_sink(kafka, topic, cursors, FrameByFrame, **QUICK)
    with hooked(killed):
        async with outpost.opened(), outpost.delivering(sink) as delivery:
            await asyncio.wait_for(delivery.wait_caught_up(), 180)  # a broker takes its time to start
    assert texts(await kafka.read(topic)) == [f"{frame}{part}" for frame in range(4) for part in "ab"]
    assert "records are not taken; trying again" in logged.getvalue()
