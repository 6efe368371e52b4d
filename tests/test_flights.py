"""Batches that are in workers land in their order, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.bad_processors import Broken, Obey
from support.engine import engine, frames
from support.in_workers import batch, working

from shipper.batch import Batch, Payload, Upstream
from shipper.chain.decode import records_of
from shipper.chain.line import WorkerError
from shipper.sinks.base import Gap
from shipper.spool.frame import FrameMeta, decode, draft
from shipper_processors.drop import Drop


async def test_batches_land_in_their_order_and_their_tickets_say_where(tmp_path: Path) -> None:
    """The largest first, so that the others overtake it."""
    sizes = [5000, 1, 1, 800, 1, 2, 3000, 1]
    async with working(2, Obey()) as line, engine(tmp_path, [Obey()], line=line) as intake:
        waiting = iter([batch([f"{number}:{at}" for at in range(size)], number) for number, size in enumerate(sizes)])
        tickets = []
        while (ticket := await intake.take(lambda: next(waiting, None), 3)) is not None:
            tickets.append(ticket)
        numbers = [await ticket.durable for ticket in tickets]
        await intake.settle()
        assert (intake.in_hand, intake.taken) == (0, len(sizes))
        assert intake.metrics.value("shipper_records_total", source="app", stage="kept") == sum(sizes)
    found = frames(tmp_path)
    texts = [record["message"] for frame in found for record in records_of(frame.payload() or [])]
    assert texts == [f"{number}:{at}" for number, size in enumerate(sizes) for at in range(size)]
    assert [number + ticket.numbers - 1 for number, ticket in zip(numbers, tickets, strict=True)][-1] == len(found)


async def test_after_a_batch_that_failed_none_lands(tmp_path: Path) -> None:
    """A restart reads from what is durable: a later batch must not move that."""
    async with working(2, Broken()) as line, engine(tmp_path, [Broken()], line=line) as intake:
        waiting = iter([batch(["a"]), batch(["break"], 2), batch(["b"], 8), batch(["c"], 10)])
        ticket = await intake.take(lambda: next(waiting, None), 4)
        assert ticket is not None
        with pytest.raises(WorkerError, match="no state"):
            await ticket.durable
        assert intake.broken is not None
        with pytest.raises(WorkerError, match="no state"):
            await intake.broken
        with pytest.raises(WorkerError, match="no state"):
            await intake.take(lambda: batch(["d"], 12))
        await intake.settle()
    assert [frame.records for frame in frames(tmp_path)] == [1]


def upstream_frame(seq: int, lines: Sequence[str]) -> Batch:
    """A frame as it comes from another shipper."""
    sent = batch(lines)
    assert isinstance(sent.payload, Payload)
    raw, check = draft(sent.payload, FrameMeta({"host": "edge"}, sent.ranges), 5).stamp(STREAM, seq)
    frame = decode(raw)
    upstream = Upstream(STREAM, seq, 1, b"i" * 16, check)
    return Batch("app", frame.labels, frame, [], 5, upstream=upstream)


STREAM = b"s" * 16


async def test_frames_and_gaps_of_other_shippers_keep_their_order(tmp_path: Path) -> None:
    """A gap waits for the frames before it; a frame that nobody changes goes on as it came."""
    processor = Drop(where="message == 'drop'")
    sizes = [3000, 1, 10]
    async with working(2, processor) as line, engine(tmp_path, [processor], line=line) as intake:
        tickets = [
            await intake.take_frame(upstream_frame(seq, [f"{seq}:{at}" for at in range(size)] + ["drop"] * (seq == 1)))
            for seq, size in enumerate(sizes)
        ]
        tickets.append(await intake.take_gap(Upstream(STREAM, 3, 1, b"i" * 16, 0), Gap(3, 5, 20, "evicted"), {}))
        tickets.append(await intake.take_frame(upstream_frame(6, ["last"])))
        numbers = [await ticket.durable for ticket in tickets]
    assert numbers == [1, 2, 3, 4, 5]
    found = frames(tmp_path)
    texts = [[record["message"] for record in records_of(frame.payload() or [])] for frame in found]
    assert texts == [[f"{seq}:{at}" for at in range(size)] for seq, size in enumerate(sizes)] + [["last"]]
