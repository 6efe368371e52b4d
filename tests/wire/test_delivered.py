"""``ack: delivered``: nothing is acknowledged that not all sinks have, through reconnects and restarts."""

import asyncio
import contextlib
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ports import lasting_port
from support.proxy import Proxy
from support.wire import (
    INCARNATION,
    STREAM,
    MemoryIntake,
    MemoryMark,
    MemoryOutlet,
    RawSender,
    collector,
    deliver,
    frame,
    grpc_sink,
    items,
    until,
)

from shipper.errors import StreamDisowned
from shipper.sinks.base import Gap, Item
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.delivered import Delivered

DELIVERED = {"ack": "delivered"}


async def test_what_is_durable_is_acknowledged_once_the_sinks_have_it() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        assert (await sender.hello()).next == 1
        await sender.frames(1, [frame(number) for number in (1, 2, 3)])
        await until(lambda: len(intake.entries) == 3)
        await sender.frames(1, [frame(1)])  # a duplicate is answered at once
        assert (await sender.expect("ack")).ack.next == 1
        intake.deliver(2)
        assert (await sender.acked(3)).next == 3
        intake.deliver()
        assert (await sender.acked(4)).next == 4


async def test_the_heartbeat_goes_on_while_the_sinks_stand_still() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED, ack_interval=0.05) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(1)])
        await until(lambda: intake.entries)
        for _ in range(3):
            assert (await sender.expect("ack")).ack.next == 1


async def test_what_nobody_may_rely_on_comes_again_and_is_written_once() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, [frame(number) for number in (1, 2, 3)])
            await until(lambda: len(intake.entries) == 3)
            intake.deliver(1)
            await sender.acked(2)
        async with RawSender(source.port) as sender:
            welcome = await sender.hello(floor=1)
            assert (welcome.next, welcome.last.number) == (2, 3)
            await sender.frames(2, [frame(number) for number in (2, 3, 4)])
            await until(lambda: len(intake.entries) == 4)
            intake.deliver(1)
            assert (await sender.acked(3)).next == 3, "each duplicate counts as its original does"
            intake.deliver()
            await sender.acked(5)
    assert intake.numbers() == [1, 2, 3, 4]


async def test_after_a_restart_duplicates_count_once_all_that_was_there_is_delivered() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(number) for number in (1, 2)])
        await until(lambda: len(intake.entries) == 2)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        assert (await sender.hello()).next == 1
        await sender.frames(1, [frame(number) for number in (1, 2, 3)])
        await until(lambda: len(intake.entries) == 3)
        intake.deliver(1)
        await sender.frames(1, [frame(1)])
        assert (await sender.expect("ack")).ack.next == 1
        intake.deliver(1)
        assert (await sender.acked(3)).next == 3
        intake.deliver()
        await sender.acked(4)
    assert intake.numbers() == [1, 2, 3]


async def test_the_acknowledgement_says_no_more_than_what_this_connection_sent() -> None:
    """A sender whose floor is behind: it learns by Welcome, or by sending again, how far it is delivered."""
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, [frame(number) for number in range(1, 6)])
            await until(lambda: len(intake.entries) == 5)
        async with RawSender(source.port) as sender:
            assert (await sender.hello()).next == 1
            intake.deliver()
            await sender.frames(1, [frame(1), frame(2)])
            assert (await sender.acked(3)).next == 3
        async with RawSender(source.port) as sender:
            assert (await sender.hello()).next == 6


async def test_a_gap_is_acknowledged_once_the_sinks_have_it() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.send(pb.ShipRequest(gap=pb.Gap(first=1, last=9, reason="drop_oldest")))
        await until(lambda: intake.entries)
        await sender.send(pb.ShipRequest(gap=pb.Gap(first=1, last=9, reason="drop_oldest")))
        assert (await sender.expect("ack")).ack.next == 1
        intake.deliver()
        await sender.acked(10)


async def test_a_sender_that_closes_its_side_waits_until_all_is_delivered() -> None:
    intake = MemoryIntake()
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(1)])
        await sender.call.done_writing()
        await until(lambda: intake.entries)
        intake.deliver()
        await sender.acked(2)
        assert (await sender.call.code()).name == "OK"


async def test_a_collector_that_stops_does_not_wait_for_its_sinks() -> None:
    intake = MemoryIntake()
    async with contextlib.AsyncExitStack() as senders:
        async with collector(intake, config=DELIVERED) as source:
            sender = await senders.enter_async_context(RawSender(source.port))
            await sender.hello()
            await sender.frames(1, [frame(1)])
            await until(lambda: intake.entries)
        assert (await sender.refused()).reason == pb.Refused.STOPPING


async def test_the_sender_goes_on_in_the_middle_and_moves_its_cursor_by_acknowledgements_alone() -> None:
    intake, outlet, sent = MemoryIntake(), MemoryOutlet(), items(1, 6)
    async with collector(intake, config=DELIVERED) as source:
        sink = grpc_sink(source.port)
        await sink.connect(outlet)
        await sink.send(sent[:4])
        await until(lambda: len(intake.entries) == 4)
        await sink.close()
        intake.deliver(2)
        assert await sink.connect(outlet) == 1, "the collector's last frame is compared first"
        await sink.send(sent[:3])
        assert outlet.cursor == 1
        await sink.send(sent[3:])
        await outlet.reach(3)
        assert outlet.cursor == 3
        intake.deliver(2)
        await outlet.reach(5)
        await until(lambda: len(intake.entries) == 6)
        intake.deliver()
        await outlet.reach(7)
        await sink.close()
    assert intake.numbers() == [1, 2, 3, 4, 5, 6]


async def test_a_restored_backup_that_grew_is_noticed_among_frames_that_come_again() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake, config=DELIVERED) as source:
        sink = grpc_sink(source.port)
        await sink.connect(outlet)
        await sink.send(items(1, 4))
        await until(lambda: len(intake.entries) == 4)
        await sink.close()
        intake.deliver(1)
        grown = [*items(1, 2), *(Item(seq, frame(seq, "after the restore")) for seq in (3, 4, 5))]
        await sink.connect(outlet)
        intake.deliver()
        await sink.send(grown[:3])
        await until(lambda: not sink.held_up(), "the acknowledgement of all that was sent")
        with pytest.raises(StreamDisowned, match="another frame 4"):
            await sink.send(grown[3:])
        assert outlet.cursor == 1, "what only this history has would be lost"
        await sink.close()
    assert intake.numbers() == [1, 2, 3, 4]


async def test_a_sender_that_was_put_back_is_noticed_though_the_collector_welcomes_it_further_back() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet(next_seq=4)
    intake.marks[STREAM] = MemoryMark(9, 1, INCARNATION, 4711, 4711)
    async with collector(intake, config=DELIVERED) as source:
        intake.entries = [None] * 3  # type: ignore[list-item]
        sink = grpc_sink(source.port)
        with pytest.raises(StreamDisowned, match="another frame 8"):
            await sink.connect(outlet)
        await sink.close()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_breaks_and_restarts_nothing_is_acknowledged_before_it_is_delivered(seed: int) -> None:
    asyncio.run(_deliver_under(random.Random(seed)))


async def _deliver_under(dice: random.Random) -> None:
    intake, early = MemoryIntake(), []

    class Watched(MemoryOutlet):
        def acked(self, next_seq: int) -> None:
            super().acked(next_seq)
            if next_seq > intake.floor:  # each number is one entry
                early.append((next_seq, intake.floor))

    outlet = Watched()
    sent = [Item(n, Gap(n, n, 1, "lost") if dice.random() < 0.1 else frame(n, "x" * 30)) for n in range(1, 61)]
    tasks: list[asyncio.Task[None]] = []

    async def sinks() -> None:
        while True:
            await asyncio.sleep(dice.random() * 0.01)
            intake.deliver(min(dice.randrange(4), intake.next_number - intake.floor))

    tasks.append(asyncio.create_task(sinks()))
    try:
        async with Proxy(lasting_port()) as proxy:  # each collector takes over the port of the one before
            while outlet.cursor < 61:
                listen = f"127.0.0.1:{proxy.target}"
                async with collector(intake, listen, config=DELIVERED, stop_grace=0.01) as source:
                    proxy.target = source.port
                    sink = grpc_sink(proxy.port, connect_timeout=0.5)
                    delivering = asyncio.create_task(deliver(sink, outlet, sent))
                    for _ in range(dice.randrange(4)):
                        await asyncio.sleep(dice.random() * 0.02)
                        proxy.cut()
                    await asyncio.wait([delivering], timeout=dice.random() * 0.1)
                    delivering.cancel()
                    await asyncio.wait([delivering])
                    await sink.close()
                    if not delivering.cancelled():
                        delivering.result()
    finally:
        for task in tasks:
            task.cancel()
    assert intake.numbers() == list(range(1, 61))
    assert not early


class Hop:
    """A spool whose sinks stand at ``floor``."""

    floor = 1
    next_number = 1


@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=60),
    moves=st.lists(st.integers(0, 5), max_size=60),
)
def test_each_stream_is_delivered_as_far_as_its_frames_are(steps: list[tuple[str, int]], moves: list[int]) -> None:
    hop = Hop()
    delivered = Delivered(hop)
    streams = {name: delivered.follow(name.encode(), 0, 1, lambda: None) for name in "abc"}
    numbers: dict[str, list[int]] = defaultdict(list)
    """Of each stream's frames, this spool's numbers."""
    for at, (name, frames) in enumerate(steps):
        for _ in range(frames):
            numbers[name].append(hop.next_number)
            hop.next_number += 1
            delivered.keep(streams[name], len(numbers[name]) + 1, hop.next_number)
        hop.floor = min(hop.next_number, hop.floor + (moves[at] if at < len(moves) else 1))
        delivered.advance()
        for each, progress in streams.items():
            assert progress.next == 1 + sum(number < hop.floor for number in numbers[each])


def test_streams_that_wait_for_nothing_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.wire.delivered.STREAMS_KEPT", 2)
    hop = Hop()
    delivered = Delivered(hop)
    waiting = delivered.follow(b"waiting", 0, 1, lambda: None)
    delivered.keep(waiting, 2, 2)
    waiting.leave()
    for number in range(10):
        delivered.follow(b"%d" % number, 0, 1, lambda: None).leave()
    assert delivered.follow(b"waiting", 2, 1, lambda: None) is waiting
    assert len(delivered) <= 3
