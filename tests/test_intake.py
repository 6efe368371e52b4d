"""The engine's side of a source: what a batch becomes in the spool."""

import json
from pathlib import Path

import pytest
from support.bad_processors import Numbered
from support.engine import engine, frames
from support.entries import entries_on

from shipper.batch import Batch, Loss, Payload, SourceRange, Upstream
from shipper.errors import SourceUnavailable
from shipper.spool.body import decode_body
from shipper.spool.frame import FrameMeta, decode, draft
from shipper.spool.inspect import look
from shipper.spool.real_disk import RealDisk
from shipper.spool.segment import EntryType
from shipper.spool.upstream import DUPLICATE

SPAN = SourceRange("app", b"g" * 16, 0, 4, 1, 1)
LOSS = Loss("/b.log", b"h" * 16, 7, 9, "vanished")


@pytest.mark.parametrize(
    ("batch", "records"),
    [
        (Batch("app", {"file": "/a.log"}, Payload.lines(b"one\n"), [SPAN], 5, losses=[LOSS]), [0, 1]),
        (Batch("app", {}, [{"message": "one"}], [SPAN], 5, losses=[LOSS]), [0, 1]),
        (Batch("app", {}, Payload.lines(b""), [SPAN], 5, losses=[LOSS]), [0, 0]),
        (Batch("app", {}, Payload.lines(b""), [], 5, losses=[LOSS]), [0]),
        (Batch("app", {}, Payload.lines(b""), [], 5), [0]),
    ],
    ids=["lines", "records", "a range", "nothing else", "no loss"],
)
async def test_losses_stand_in_frames_of_their_own_before_those_of_their_batch(
    tmp_path: Path, batch: Batch, records: list[int]
) -> None:
    async with engine(tmp_path) as intake:
        ticket = await intake.take(lambda: batch)
        assert ticket is not None
        assert await ticket.durable == 1
        assert ticket.numbers == len(records)
    found = frames(tmp_path)
    assert [frame.records for frame in found] == records
    lost = [
        (frame.labels.get("file"), span.start, span.end) for frame in found for span in frame.meta.ranges if span.lost
    ]
    assert lost == [("/b.log", 7, 9)] * len(batch.losses)
    assert [span for frame in found for span in frame.meta.ranges if not span.lost] == batch.ranges


async def test_a_loss_is_counted_when_it_is_durable(tmp_path: Path) -> None:
    async with engine(tmp_path) as intake:
        ticket = await intake.take(lambda: Batch("app", {}, Payload.lines(b""), [], 5, losses=[LOSS]))
        assert ticket is not None
        assert intake.metrics.value("shipper_lost_bytes_total", reason="vanished") == 0
        await ticket.durable
        assert intake.metrics.value("shipper_lost_bytes_total", reason="vanished") == 2


async def test_batches_taken_together_keep_their_order_and_become_durable_in_one_go(tmp_path: Path) -> None:
    """The receipt is that of the last one; no more are asked for than were wanted."""
    batches = [Batch("app", {}, Payload.lines(b"%d\n" % number), [SPAN], 5) for number in range(5)]
    waiting = iter(batches)
    async with engine(tmp_path) as intake:
        ticket = await intake.take(lambda: next(waiting, None), 3)
        assert ticket is not None
        assert await ticket.durable == 3
        assert intake.taken == 3
        ticket = await intake.take(lambda: next(waiting, None), 3)
        assert ticket is not None
        assert await ticket.durable == 5
        assert await intake.take(lambda: next(waiting, None), 3) is None
    records = [payload.raw() for frame in frames(tmp_path) if (payload := frame.payload()) is not None]
    assert records == [[b"%d" % number] for number in range(5)]


async def test_batches_that_were_read_go_on_when_the_next_cannot_be_read(tmp_path: Path) -> None:
    """Their source has passed them."""
    waiting = [Batch("app", {}, Payload.lines(b"one\n"), [SPAN], 5)]

    def read() -> Batch:
        if not waiting:
            raise ValueError("torn")
        return waiting.pop()

    async with engine(tmp_path) as intake:
        with pytest.raises(ValueError, match="torn"):
            await intake.take(read, 2)
        await intake.settle()
    assert [frame.records for frame in frames(tmp_path)] == [1]


async def test_an_intake_that_has_ended_lets_nothing_pass_its_chain(tmp_path: Path) -> None:
    """Dead letters may come from elsewhere while the source is started again."""
    async with engine(tmp_path) as intake:
        await intake.end()
        with pytest.raises(SourceUnavailable, match="source app is being started again"):
            await intake.take(lambda: Batch("app", {}, Payload.lines(b"one\n"), [SPAN], 5))
    assert frames(tmp_path) == []


async def test_a_batch_and_the_position_behind_it_stand_in_one_entry(tmp_path: Path) -> None:
    async with engine(tmp_path) as intake:
        batch = Batch("app", {}, Payload.lines(b"one\n"), [SPAN], 5, {"a": b"1"})
        ticket = await intake.take(lambda: batch)
        assert ticket is not None
        await ticket.durable
    entries = [entry for entry in entries_on(RealDisk(tmp_path)) if entry.envelope.type is EntryType.DATA]
    assert [(bool(entry.frame), decode_body(entry.body).state) for entry in entries] == [(True, {"source/app/a": b"1"})]


async def test_what_a_batch_replays_becomes_durable_with_it_under_the_key_of_the_spool(tmp_path: Path) -> None:
    async with engine(tmp_path) as intake:
        batch = Batch("app", {}, Payload.lines(b"one\n"), [SPAN], 5, {"a": b"1"}, replayed=b"these")
        ticket = await intake.take(lambda: batch)
        assert ticket is not None
        await ticket.durable
    state = look(RealDisk(tmp_path)).state
    assert (state["source/app/a"], state["dead_letters/replayed"]) == (b"1", b"these")


async def test_a_frame_that_came_before_is_not_seen_by_processors_again(tmp_path: Path) -> None:
    """One with a state would count its records twice."""

    def sent(seq: int) -> Batch:
        stream = b"s" * 16
        frame = decode(draft(Payload.lines(b"one\n"), FrameMeta({}, []), 5).stamp(stream, seq)[0])
        upstream = Upstream(stream, seq, 1, b"i" * 16, frame.check)
        return Batch("app", {}, frame, [SourceRange("app", stream, seq, seq + 1, 1, 1)], 5, upstream=upstream)

    async with engine(tmp_path, [Numbered()]) as intake:
        assert await (await intake.take_frame(sent(0))).durable == 1
        assert await (await intake.take_frame(sent(0))).durable == DUPLICATE
        assert await (await intake.take_frame(sent(1))).durable == 2
    payloads = [frame.payload() for frame in frames(tmp_path)]
    assert [json.loads(payload.data)["number"] for payload in payloads if payload] == [1, 2]
