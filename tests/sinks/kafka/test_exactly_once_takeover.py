"""Exactly once into Kafka when a data directory is moved, copied or put back: who goes on, and who stops."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.delivering import Outpost, frame_draft, lines, until
from support.kafka_client import Kafka
from support.kafka_once import COMMIT, QUICK, exactly_once_sink, hooked
from support.kafka_sinks import texts


@pytest.fixture
async def cursors(kafka: Kafka) -> str:
    return await kafka.create(settings={"cleanup.policy": "compact"})


def copied(outpost: Outpost, to: Path) -> Outpost:
    """The spool as another host has it, its files as they are now."""
    shutil.copytree(outpost.root, to)
    return Outpost(to)


async def test_a_process_whose_spool_was_moved_to_another_host_stops_writing(
    kafka: Kafka, tmp_path: Path, cursors: str
) -> None:
    topic = await kafka.create()
    old = Outpost(tmp_path / "old")
    sink = exactly_once_sink(kafka, topic, cursors)
    async with old.opened(), old.delivering(sink) as delivery:
        await old.append(frame_draft(lines("before")))
        await until(lambda: delivery.caught_up)
        new = copied(old, tmp_path / "new")
        await new.deliver_all(exactly_once_sink(kafka, topic, cursors))
        await old.append(frame_draft(lines("late")))
        await until(lambda: "another process has opened a copy of this data directory" in delivery.state)
        async with new.opened():
            await new.append(frame_draft(lines("after")))
        await new.deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert texts(await kafka.read(topic)) == ["before", "after"]


async def test_a_process_that_was_replaced_does_not_disturb_its_successor(
    kafka: Kafka, tmp_path: Path, cursors: str
) -> None:
    """It looks again and again whether it may go on, and shuts nobody out for that."""
    topic = await kafka.create()
    old = Outpost(tmp_path / "old")
    async with old.opened(), old.delivering(exactly_once_sink(kafka, topic, cursors, **QUICK)) as replaced:
        await old.append(frame_draft(lines("before")))
        await until(lambda: replaced.caught_up)
        new = copied(old, tmp_path / "new")
        async with new.opened(), new.delivering(exactly_once_sink(kafka, topic, cursors)) as delivery:
            await until(lambda: delivery.up)
            await old.append(frame_draft(lines("late")))
            await until(lambda: old.metrics.value("shipper_sink_retries_total", sink="out", reason="refused") >= 3)
            await new.append(frame_draft(lines("after")))
            await until(lambda: delivery.caught_up)
            assert new.metrics.value("shipper_sink_retries_total", sink="out", reason="unavailable") == 0
    assert texts(await kafka.read(topic)) == ["before", "after"]


async def test_what_a_process_commits_until_it_is_shut_out_is_not_written_again(
    kafka: Kafka, tmp_path: Path, cursors: str
) -> None:
    topic = await kafka.create()
    old = Outpost(tmp_path / "old")
    committed = False

    async def last_moment(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal committed
        if request == "InitProducerIdRequest" and not committed:
            committed = True  # now, for this delivery asks for its producer id, too
            async with old.delivering(exactly_once_sink(kafka, topic, cursors)) as delivery:
                await until(lambda: delivery.caught_up)
        return await send()

    async with old.opened():
        await old.append(frame_draft(lines("one")), frame_draft(lines("two")))
        with hooked(last_moment):
            await copied(old, tmp_path / "new").deliver_all(exactly_once_sink(kafka, topic, cursors))
    assert committed
    assert texts(await kafka.read(topic)) == ["one", "two"]


async def test_what_a_replaced_process_had_not_committed_is_written_by_the_other_one(
    kafka: Kafka, tmp_path: Path, cursors: str
) -> None:
    topic = await kafka.create()
    old = Outpost(tmp_path / "old")
    new = Outpost(tmp_path / "new")
    commits = 0

    async def taken_over(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        if request == COMMIT and commits == 2:
            shutil.copytree(old.root, new.root)
            await new.deliver_all(exactly_once_sink(kafka, topic, cursors))
        return await send()

    async with old.opened():
        await old.append(frame_draft(lines("one", "two")))
        with hooked(taken_over):
            async with old.delivering(exactly_once_sink(kafka, topic, cursors)) as delivery:
                await until(lambda: "another process has opened a copy" in delivery.state)
    assert texts(await kafka.read(topic)) == ["one", "two"]
    assert len(await kafka.read(topic, committed=False)) == 4


async def test_a_copy_that_runs_beside_the_original_goes_on_under_a_stream_of_its_own(
    kafka: Kafka, tmp_path: Path, cursors: str
) -> None:
    topic = await kafka.create()
    original = Outpost(tmp_path / "original")
    await original.deliver_all(exactly_once_sink(kafka, topic, cursors))
    copy = copied(original, tmp_path / "copy")
    async with original.opened() as spool, original.delivering(exactly_once_sink(kafka, topic, cursors)) as delivery:
        stream = spool.stream
        await original.append(frame_draft(lines("original")))
        await until(lambda: delivery.caught_up)
        async with copy.opened() as other, copy.delivering(exactly_once_sink(kafka, topic, cursors)) as beside:
            await copy.append(frame_draft(lines("copy")))
            await until(lambda: beside.caught_up)
            assert other.stream != stream
        await original.append(frame_draft(lines("original, later")))
        await until(lambda: delivery.caught_up)
    assert texts(await kafka.read(topic)) == ["original", "copy", "original, later"]


@pytest.mark.parametrize("grown", [1, 2, 3])
async def test_a_backup_that_was_put_back_loses_nothing_of_what_it_writes_then(
    kafka: Kafka, tmp_path: Path, cursors: str, grown: int
) -> None:
    """Its next numbers are taken, by frames that it does not have; how many it wrote when it is found out differs."""
    topic = await kafka.create()
    outpost = Outpost(tmp_path / "outpost")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("old")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    backup = copied(outpost, tmp_path / "backup")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("lost 1")), frame_draft(lines("lost 2")))
    await outpost.deliver_all(exactly_once_sink(kafka, topic, cursors))
    for frame in range(grown):  # so often that its epoch is no smaller than the one in the topic
        async with backup.opened():
            await backup.append(frame_draft(lines(f"new {frame}")))
    async with backup.opened():
        pass
    await backup.deliver_all(exactly_once_sink(kafka, topic, cursors))
    wanted = ["old", "lost 1", "lost 2", *(f"new {frame}" for frame in range(grown))]
    assert texts(await kafka.read(topic)) == wanted
