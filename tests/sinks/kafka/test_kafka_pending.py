"""What waits in the Kafka sink to be built into batches is bounded. Without a broker."""

import asyncio
from pathlib import Path

from support.delivering import Outpost
from support.kafka_sinks import kafka_sink

from shipper.sinks.base import Gap, Item
from shipper.sinks.kafka.session import Session


async def test_items_without_a_record_count_too(tmp_path: Path) -> None:
    """A ``where`` that leaves nothing of most frames, and brokers that are away: else memory would grow."""
    sink, outpost = kafka_sink(["127.0.0.1:9"], "logs"), Outpost(tmp_path)
    async with outpost.opened():
        session = Session(sink._plan, outpost.delivery(sink), sink._worker, careful=False)
        taken = 0

        async def pump() -> None:
            nonlocal taken
            for taken in range(100_000):
                await session.send([Item(taken, Gap(taken, taken, 0, "thinned"))])

        task = asyncio.create_task(pump())
        await asyncio.sleep(0)
        assert not task.done()
        assert taken < 20_000
        task.cancel()
        await session.close()
