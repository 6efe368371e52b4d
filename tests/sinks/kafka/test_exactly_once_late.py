"""Exactly once into Kafka: requests that arrive late, or twice."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import DuplicateSequenceNumber, KafkaConnectionError
from support.delivering import Outpost, frame_draft, lines, until
from support.kafka_client import Kafka
from support.kafka_once import BEGIN, COMMIT, QUICK, WRITE, exactly_once_sink, hooked
from support.kafka_sinks import texts

from shipper.sinks.kafka.exactly_once import ExactlyOnce


async def test_a_commit_that_arrives_late_does_not_end_the_next_transaction_in_its_midst(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that hung takes from its socket what was given up there: what was written by then would be readable
    without its cursor, and be written again.
    """
    monkeypatch.setattr(ExactlyOnce, "group_bytes", 1)  # each frame has a request of its own
    topic, cursors = await kafka.create(), await kafka.create(settings={"cleanup.policy": "compact"})
    late: list[Callable[[], Awaitable[Any]]] = []
    outpost = Outpost(tmp_path / "outpost")
    delivered = False
    writes = 0

    async def delayed(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal delivered, writes
        if request == COMMIT and not late:  # that of where the stream begins
            late.append(send)
            await outpost.append(*(frame_draft(lines(text)) for text in ("one", "two", "three")))
            raise KafkaConnectionError("no answer yet")
        writes = 0 if request == COMMIT else writes + (request == WRITE)
        if writes == 2 and late and not delivered:
            delivered = True
            await late[0]()
        return await send()

    sink = exactly_once_sink(kafka, topic, cursors, **QUICK)
    with hooked(delayed):
        async with outpost.opened(), outpost.delivering(sink) as delivery:
            await until(lambda: delivery.cursor == 4)
    assert delivered
    assert texts(await kafka.read(topic)) == ["one", "two", "three"]


async def test_a_batch_that_the_brokers_call_a_duplicate_is_written(kafka: Kafka, tmp_path: Path) -> None:
    """Brokers of today answer a batch that comes twice as they did the first time; older ones say that it is a
    duplicate. The transaction goes on.
    """
    topic, cursors = await kafka.create(), await kafka.create(settings={"cleanup.policy": "compact"})
    requests: list[str] = []

    async def twice(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        requests.append(request)
        answer = await send()
        if request == WRITE and _codes(answer) == {0}:
            assert _codes(await send()) == {0}
            duplicate = DuplicateSequenceNumber.errno
            answer.topics = [
                (name, [(at, duplicate, *rest) for at, _, *rest in parts]) for name, parts in answer.topics
            ]
        return answer

    outpost = Outpost(tmp_path / "outpost")
    with hooked(twice):
        async with outpost.opened(), outpost.delivering(exactly_once_sink(kafka, topic, cursors, **QUICK)) as delivery:
            await outpost.append(*(frame_draft(lines(text)) for text in ("one", "two", "three")))
            await until(lambda: delivery.cursor == 4)
    assert texts(await kafka.read(topic)) == ["one", "two", "three"]
    assert "InitProducerIdRequest" not in requests[requests.index(BEGIN) :]


def _codes(answer: Any) -> set[int]:
    """Of all partitions that a request wrote to."""
    return {code for _, partitions in answer.topics for _, code, *_ in partitions}
