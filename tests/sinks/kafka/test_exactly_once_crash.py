"""Exactly once into Kafka through kill -9: of the process at every step of a transaction, of a leading broker."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path

import pytest
from support.delivering import Outpost, frame_draft, lines, ndjson, until
from support.kafka import Cluster
from support.kafka_client import Kafka
from support.kafka_once import BEGIN, COMMIT, QUICK, WRITE, FrameByFrame, die_delivering, exactly_once_sink
from support.kafka_sinks import texts


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path / "outpost")


@pytest.mark.parametrize(
    ("step", "moment", "committed"),
    [
        (BEGIN, "before", {2}),
        (BEGIN, "answered", {2}),
        (WRITE, "on the way", {2}),
        (WRITE, "answered", {2}),
        (COMMIT, "on the way", {2, 4}),
        (COMMIT, "answered", {4}),
    ],
)
async def test_a_process_killed_at_any_step_leaves_every_record_once(
    kafka: Kafka, outpost: Outpost, step: str, moment: str, committed: set[int]
) -> None:
    topic = await kafka.create()
    cursors = await kafka.create(settings={"cleanup.policy": "compact"})
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(f"{frame}a", f"{frame}b")) for frame in range(4)))
    # The first transaction writes where the stream begins; the third is that of the second frame.
    await asyncio.to_thread(die_delivering, outpost.root, kafka, topic, cursors, step, moment, 3)
    assert len(await kafka.read(topic)) in committed
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors, FrameByFrame))
    wanted = [f"{frame}{part}" for frame in range(4) for part in "ab"]
    assert texts(await kafka.read(topic)) == wanted
    values = kafka.kcat("-C", "-t", topic, "-X", "isolation.level=read_committed", "-e", "-q").splitlines()
    assert len(values) == len(wanted)


async def test_a_leader_and_a_coordinator_that_are_killed_leave_every_record_once(
    kafka_cluster: Cluster, outpost: Outpost
) -> None:
    """And the records of each key in order, on the way from one leader to the next."""
    kafka = kafka_cluster.client
    settings = {"min.insync.replicas": "2"}
    topic = await kafka.create(partitions=3, copies=3, settings=settings)
    cursors = await kafka.create(copies=3, settings=settings | {"cleanup.policy": "compact"})
    sink = exactly_once_sink(kafka, topic, cursors, FrameByFrame, key="field:id", **QUICK)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        for number in range(100):
            await outpost.append(frame_draft(ndjson(*({"id": i % 9, "n": number * 30 + i} for i in range(30)))))
        await until(lambda: outpost.subscription.cursor > 10)
        (await kafka_cluster.leader("__transaction_state")).kill()
        await asyncio.wait_for(delivery.wait_caught_up(), 180)
    found = defaultdict(list)
    for message in await kafka.read(topic):
        found[message.key].append(json.loads(message.value or b"")["n"])
    assert found == {
        str(key).encode(): [number * 30 + i for number in range(100) for i in range(30) if i % 9 == key]
        for key in range(9)
    }
