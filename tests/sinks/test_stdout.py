"""The stdout sink, on a real pipe."""

import asyncio
import json
import os
import select
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.delivering import DEADLINE, Outpost, frame_draft, lines, ndjson, until

from shipper.sinks.stdout import StdoutSink


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path)


def sink_on(fd: int, **options: Any) -> StdoutSink:
    class PipeSink(StdoutSink):
        descriptor: ClassVar[int] = fd

    sink = PipeSink(**options)
    sink.setup()
    return sink


async def output_of(outpost: Outpost, **options: Any) -> list[dict[str, Any]]:
    reading, writing = os.pipe()
    await outpost.deliver_all(sink_on(writing, **options))
    os.close(writing)
    data = os.read(reading, 65536)
    os.close(reading)
    return [json.loads(line) for line in data.splitlines()]


async def test_each_record_is_a_line_with_its_identity(outpost: Outpost) -> None:
    async with outpost.opened() as spool:
        seq, stream = spool.next_seq, spool.stream.hex()
        await outpost.append(frame_draft(lines("a", "b")), frame_draft(ndjson({"n": 2**70})))
    found = await output_of(outpost)
    assert [(r.get("message", r.get("n")), r["_stream"], r["_seq"], r["_index"]) for r in found] == [
        ("a", stream, seq, 0),
        ("b", stream, seq, 1),
        (2**70, stream, seq + 1, 0),
    ]
    assert all("_read_at" in record for record in found)


async def test_identity_and_time_can_be_switched_off(outpost: Outpost) -> None:
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")))
    assert await output_of(outpost, identity=False, read_at=False) == [{"message": "a", "host": "edge-1"}]


async def test_a_reader_that_has_ended_is_told_and_the_process_lives_on(outpost: Outpost) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    async with outpost.opened(), outpost.delivering(sink_on(writing)) as delivery:
        await outpost.append(frame_draft(lines("a")))
        await until(lambda: delivery.state == "open: standard output is closed; what reads it has ended")
        assert not delivery.caught_up
    os.close(writing)


async def test_a_pipe_that_nobody_reads_holds_up_this_sink_alone(outpost: Outpost) -> None:
    """The loop goes on, the delivery can be stopped, and once somebody reads, the write that was begun is whole."""
    reading, writing = os.pipe()
    text = "x" * 100_000
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines(f"{n}{text}")) for n in range(3)))
        async with outpost.delivering(sink_on(writing)) as delivery:
            await until(lambda: select.select([reading], [], [], 0)[0])
            assert not delivery.caught_up
        records = await asyncio.wait_for(asyncio.to_thread(read_records, reading, 3), DEADLINE)
    os.close(writing)
    os.close(reading)
    assert [record["message"] for record in records] == [f"{n}{text}" for n in range(3)]


def read_records(fd: int, count: int) -> list[dict[str, Any]]:
    data = b""
    while data.count(b"\n") < count:
        data += os.read(fd, 65536)
    return [json.loads(line) for line in data.splitlines()]


async def test_a_non_blocking_pipe_is_waited_for(outpost: Outpost) -> None:
    """Somebody who shares the terminal or pipe may have made it so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    async with outpost.opened(), outpost.delivering(sink_on(writing)) as delivery:
        await outpost.append(frame_draft(lines("x" * 200_000)), frame_draft(lines("end")))
        records = await asyncio.wait_for(asyncio.to_thread(read_records, reading, 2), DEADLINE)
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    os.close(writing)
    os.close(reading)
    assert [len(record["message"]) for record in records] == [200_000, 3]
