"""What counts as durable, without a broker: what is committed is never read again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.intake import MemoryIntake

from shipper.errors import SpoolFailed
from shipper.kafka.settings import Access
from shipper.sources.kafka.client import Client
from shipper.sources.kafka.connect import Limits
from shipper.sources.kafka.partition import Partition
from shipper.sources.kafka.position import Position
from shipper.sources.kafka.reader import Reader
from shipper.sources.kafka.records import Maker, Names
from shipper.sources.kafka.unpack import Missing


@pytest.fixture
def partition() -> Partition:
    return Partition.at(("topic", 0), Position(0, b"g" * 16, -1))


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
