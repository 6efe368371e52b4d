"""What counts as durable, without a broker: what is committed is never read again."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from support.intake import MemoryIntake

from shipper.errors import SourceUnavailable, SpoolFailed
from shipper.kafka.batch import Draft, headers, stamp
from shipper.kafka.settings import Access
from shipper.sources.kafka.client import Client
from shipper.sources.kafka.connect import Limits
from shipper.sources.kafka.partition import Partition
from shipper.sources.kafka.position import Position
from shipper.sources.kafka.reader import Reader
from shipper.sources.kafka.records import Maker, Names
from shipper.sources.kafka.sealed import split
from shipper.sources.kafka.unpack import Fetch, Missing


@pytest.fixture
def partition() -> Partition:
    return Partition.at(("topic", 0), Position(0, b"g" * 16, -1))


def fetch(end: int, *, damaged: bool = False) -> Fetch:
    """Batches of one record each up to an offset; the one in their middle damaged."""
    data = b""
    for offset in range(end):
        draft = Draft(0)
        draft.add(0, b"\x01", [b"%d" % offset], headers([]), [])
        made = draft.build("none")
        struct.pack_into(">q", made, 0, offset)
        stamp(made, 7, 0, 0)
        if damaged and offset == end // 2:
            made[-2] ^= 1
        data += made
    return Fetch(0, end, split(data), [], len(data))


def a_reader(intake: MemoryIntake) -> Reader:
    client = Client(Access(["127.0.0.1:9"], None, None), "group", Limits(1, 1, 1.0, 1.0), "read_committed")
    return Reader(intake, client, Maker(Names("key", "headers", None, None), lambda _: None))


async def test_what_is_durable_moves_with_what_was_synced(partition: Partition) -> None:
    intake = MemoryIntake(hold=True)
    reader = a_reader(intake)
    for start in (0, 5):
        await reader.hand_over({partition: [Missing(start, start + 5)]})
    assert partition.durable == 0
    intake.sync()
    await reader.settle(None)
    assert partition.durable == 10


@pytest.mark.parametrize(
    "lose", [lambda durable: durable.set_exception(SpoolFailed("the disk refused")), asyncio.Future.cancel]
)
async def test_nothing_is_durable_behind_what_was_not_written(
    partition: Partition, lose: Callable[[asyncio.Future[int]], Any]
) -> None:
    intake = MemoryIntake(hold=True)
    reader = a_reader(intake)
    for start in (0, 5):
        await reader.hand_over({partition: [Missing(start, start + 5)]})
    lose(intake._tickets[0].durable)
    intake.sync()
    await reader.settle(None)
    assert partition.durable == 0
    await reader.hand_over({partition: [Missing(10, 15)]})
    intake.sync()
    await reader.settle(None)
    assert partition.durable == 0


@pytest.mark.parametrize("max_bytes", [1, 4, 1000])
async def test_what_stands_before_damage_is_durable_and_passed_before_it_is_raised(
    partition: Partition, max_bytes: int
) -> None:
    """However it was cut, nothing of it depends on what an operator does about the damage."""
    intake = MemoryIntake(max_bytes=max_bytes)
    reader = a_reader(intake)
    with pytest.raises(SourceUnavailable, match="the records at offsets 3 to 3 cannot be read"):
        await reader.hand_over({partition: [fetch(6, damaged=True)]})
    assert intake.records() == [b"0", b"1", b"2"]
    assert [(span.start, span.end) for span in intake.ranges()][-1][1] == 3
    assert (partition.taken, partition.passed, partition.durable) == (3, 3, 3)


async def test_damage_in_one_partition_holds_up_nothing_that_was_fetched_of_others(partition: Partition) -> None:
    """Whichever comes first."""
    intake = MemoryIntake()
    other = Partition.at(("topic", 1), Position(0, b"h" * 16, -1))
    with pytest.raises(SourceUnavailable, match="topic/0: the records at offsets 0 to 0"):
        await a_reader(intake).hand_over({partition: [fetch(1, damaged=True)], other: [fetch(2)]})
    assert intake.records() == [b"0", b"1"]
    assert (partition.durable, other.durable) == (0, 2)
