"""Members of one group share partitions, take over from each other and stay while they cannot read."""

import asyncio
import io
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from support.intake import MemoryIntake, running
from support.kafka_client import Kafka
from support.kafka_producer import fill, produce, producing
from support.kafka_sources import a_group, committed, kafka_source, offsets, set_offset

PARTITIONS = 4
QUICK = 4.0
"""Seconds of a session, more than a busy machine holds a member up; a quarter of it between two
heartbeats, by which members hear of a rebalance.
"""


@asynccontextmanager
async def load(kafka: Kafka, topic: str) -> AsyncIterator[list[int]]:
    """Records that come to all partitions meanwhile, numbered in each; in the list, at the end, how many to each."""
    stop, written = asyncio.Event(), [0] * PARTITIONS

    async def write() -> None:
        async with producing(kafka) as producer:
            while not stop.is_set():
                for partition in range(PARTITIONS):
                    first = written[partition]
                    await fill(producer, topic, partition, *(b"%d" % at for at in range(first, first + 20)))
                    written[partition] += 20

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        stop.set()
        await task


def members_of(intakes: list[MemoryIntake]) -> int:
    """How many of them have read something."""
    return sum(bool(intake.records()) for intake in intakes)


def check_each_partition(intakes: list[MemoryIntake], written: list[int]) -> None:
    """Every record once, and for each member in the order of its offsets."""
    read = Counter(at for intake in intakes for at in offsets(intake))
    assert read == Counter((partition, at) for partition, count in enumerate(written) for at in range(count))
    for intake in intakes:
        for partition in range(PARTITIONS):
            own = [at for of, at in offsets(intake) if of == partition]
            assert own == sorted(own)


async def test_members_that_come_and_go_under_load_read_every_record_once(kafka: Kafka) -> None:
    """What is on its way when partitions are given back becomes durable and is committed first."""
    topic, group = await kafka.create(partitions=PARTITIONS), a_group()
    intakes = [MemoryIntake(name=f"m{number}", max_delay=0.0) for number in range(3)]

    def member(number: int) -> AbstractAsyncContextManager[object]:
        return running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), intakes[number])

    async with member(0):
        async with load(kafka, topic) as written:
            await intakes[0].have(200)
            async with member(1):
                await intakes[1].have(200)
                async with member(2):
                    await intakes[2].have(200)
                before = len(intakes[0].records())
                await intakes[0].have(before + 200)
        await intakes[0].until(lambda: sum(len(intake.records()) for intake in intakes) >= sum(written))
    check_each_partition(intakes, written)


async def test_a_member_takes_back_what_it_had_without_reading_it_again(kafka: Kafka) -> None:
    topic, group = await kafka.create(partitions=2), a_group()
    first, second = MemoryIntake(), MemoryIntake()
    async with running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), first):
        await produce(kafka, topic, b"a", b"b")
        await first.have(2)
        async with running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), second):
            await produce(kafka, topic, b"c")
            await produce(kafka, topic, b"d", partition=1)
            await first.until(lambda: len(first.records()) + len(second.records()) >= 4)
        await produce(kafka, topic, b"e")
        await first.until(lambda: len(first.records()) + len(second.records()) >= 5)
    assert sorted(first.records() + second.records()) == [b"a", b"b", b"c", b"d", b"e"]


async def test_a_member_that_died_between_sync_and_commit_does_not_read_again(kafka: Kafka) -> None:
    """Its own position is ahead of the group's: the batch that became durable at the last moment is not doubled."""
    topic, group = await kafka.create(), a_group()
    intake = MemoryIntake(hold=True)
    await produce(kafka, topic, b"a", b"b")
    async with running(kafka_source(kafka, topic, hasty=True, group=group, session_timeout=QUICK), intake):
        await intake.have(2)
    intake.sync()
    assert await committed(kafka, group, topic) == 0
    intake = intake.restarted()
    await produce(kafka, topic, b"c")
    async with running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), intake):
        await intake.have(3)
    assert intake.records() == [b"a", b"b", b"c"]


async def test_another_member_reads_again_what_was_not_committed_and_its_offsets_tell(
    kafka: Kafka, lines: io.StringIO
) -> None:
    """The one kind of doubles: known by topic, partition and offset. And it is said."""
    topic, group = await kafka.create(), a_group()
    stuck, other = MemoryIntake(hold=True), MemoryIntake()
    await produce(kafka, topic, b"a", b"b")
    async with running(kafka_source(kafka, topic, hasty=True, group=group, session_timeout=QUICK), stuck):
        await stuck.have(2)
        async with running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), other):
            await other.until(lambda: "before all that was read of them is durable" in lines.getvalue())
    async with running(kafka_source(kafka, topic, group=group, session_timeout=QUICK), other):
        await other.have(2)
    assert offsets(other) == offsets(stuck) == [(0, 0), (0, 1)]


async def test_what_an_operator_sets_is_obeyed_back_and_forth(kafka: Kafka) -> None:
    """Also by a member that has its own position."""
    topic, group = await kafka.create(), a_group()
    await produce(kafka, topic, *(b"%d" % at for at in range(10)))
    intake = MemoryIntake()
    await kafka_source(kafka, topic, group=group, session_timeout=QUICK).run(intake, once=True)
    for offset in (4, 8):
        await set_offset(kafka, group, topic, offset)
        intake = intake.restarted()
        before = len(intake.records())
        await kafka_source(kafka, topic, group=group, session_timeout=QUICK).run(intake, once=True)
        assert intake.records()[before:] == [b"%d" % at for at in range(offset, 10)]


async def test_a_full_spool_keeps_the_partitions_for_longer_than_a_session(kafka: Kafka) -> None:
    """Nobody else is given them, and when there is room all is read, once."""
    topic, group = await kafka.create(partitions=PARTITIONS), a_group()
    intake, other = MemoryIntake(), MemoryIntake()
    source = kafka_source(kafka, topic, group=group, session_timeout=2.0)
    values = [random.Random(at).randbytes(1000) for at in range(1000)]
    async with running(source, intake):
        await produce(kafka, topic, b"first")
        await intake.have(1)
        intake.block()
        for partition in range(PARTITIONS):
            await produce(kafka, topic, *values, partition=partition, max_batch_size=100_000)
        await asyncio.sleep(2.5)  # the session's time-out is what this is about
        assert f"({PARTITIONS} partitions" in source.describe()
        intake.unblock()
        await intake.have(1 + PARTITIONS * len(values))
    await kafka_source(kafka, topic, group=group).run(other, once=True)
    assert Counter(intake.records()) == Counter([b"first", *values * PARTITIONS])
    assert other.records() == []


async def test_more_members_than_partitions_wait_until_they_are_needed(kafka: Kafka) -> None:
    topic, group = await kafka.create(), a_group()
    intakes = [MemoryIntake(), MemoryIntake()]
    sources = [kafka_source(kafka, topic, group=group, session_timeout=QUICK) for _ in intakes]
    async with running(sources[1], intakes[1]):
        async with running(sources[0], intakes[0]):
            await intakes[0].until(lambda: all(source.greeting() for source in sources))
            await produce(kafka, topic, b"a")
            await intakes[0].until(lambda: members_of(intakes))
        await produce(kafka, topic, b"b")
        await intakes[0].until(lambda: sum(len(intake.records()) for intake in intakes) == 2)
    assert sorted(intakes[0].records() + intakes[1].records()) == [b"a", b"b"]
