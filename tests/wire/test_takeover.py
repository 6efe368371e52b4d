"""Streams that several collectors carry: where a sender goes on, what comes again, and when a connection ends."""

import asyncio
import math

import pytest
from support.processes import free_port
from support.wire import (
    INCARNATION,
    STREAM,
    MemoryIntake,
    MemoryMark,
    MemoryOutlet,
    RawSender,
    collector,
    frame,
    grpc_sink,
    hello,
    items,
    until,
)

from shipper.errors import SinkUnavailable
from shipper.sinks.base import Claimed
from shipper.sinks.blackhole import BlackholeSink
from shipper.sinks.sharing import Sharing
from shipper.spool.body import Mark
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.budget import ReceiveBudget
from shipper.wire.session import Session

DELIVERED = {"ack": "delivered"}


class FarSide(BlackholeSink):
    """A sink that shares streams; a test says how far they are there."""

    def setup(self) -> None:
        """See ``Sink``."""
        self.there = Mark(0, 0, b"", 0)
        self.fresh = True
        self.asked: list[tuple[bytes, int]] = []
        self.away = 0
        """So many claims fail."""

    @property
    def shares_streams(self) -> bool:
        """See ``Sink``."""
        return True

    async def claim(self, stream: bytes, floor: int) -> Claimed:
        """See ``Sink``."""
        if self.away:
            self.away -= 1
            raise SinkUnavailable("the brokers are away")
        self.asked.append((stream, floor))
        if self.there.next < floor:
            self.reach(floor)
        return Claimed(self.there, self.fresh)

    def held(self, stream: bytes) -> int:
        """See ``Sink``."""
        return self.there.next

    def reach(self, number: int, *, epoch: int = 0, check: int = 0) -> None:
        """Everything before ``number`` is there."""
        self.there = Mark(number, epoch, INCARNATION if epoch else b"", check, check)


@pytest.fixture
def far() -> FarSide:
    sink = FarSide()
    sink.setup()
    return sink


@pytest.fixture
def intake(far: FarSide) -> MemoryIntake:
    return MemoryIntake(sharing=Sharing([far]))


def holding(intake: MemoryIntake, after: int) -> MemoryMark:
    """The spool has everything of the stream before ``after``."""
    mark = MemoryMark(after, 1, INCARNATION, frame(after - 1).check, frame(after - 1).check)
    intake.marks[STREAM] = mark
    return mark


async def test_a_sender_goes_on_where_the_sinks_are_whoever_brought_it_there(
    intake: MemoryIntake, far: FarSide
) -> None:
    far.reach(7)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        assert (await sender.hello(floor=3)).next == 7
        assert far.asked == [(STREAM, 3)]
        await sender.frames(7, [frame(7)])
        await until(lambda: intake.entries)
        far.reach(8)
        intake.deliver()
        await sender.acked(8)
    assert intake.numbers() == [7]
    assert intake.entries[0].upstream.kept


async def test_no_acknowledgement_goes_out_before_the_welcome_however_long_the_sinks_are_away() -> None:
    sent: list[int] = []

    async def send(ack: pb.Ack) -> bool:
        sent.append(ack.next)
        return True

    session = Session(hello(floor=3), MemoryIntake(), ReceiveBudget(), send, lambda: None)
    session.tick(math.inf)  # its claim takes longer than the interval between Acks
    assert asyncio.all_tasks() == {asyncio.current_task()}, "something is on its way to the sender"
    assert session.start(None) == 3
    session.tick(math.inf)
    await until(lambda: sent)
    assert sent == [3]


async def test_what_another_collector_had_meanwhile_comes_again(intake: MemoryIntake, far: FarSide) -> None:
    holding(intake, 9)
    far.reach(5)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        welcome = await sender.hello()
        assert (welcome.next, welcome.last.number) == (5, 8), "the sender compares what is held before it goes on"
        await sender.frames(5, [frame(number) for number in (5, 6)])
        await until(lambda: len(intake.entries) == 2)
    assert intake.marks[STREAM].next == 7


async def test_what_waits_for_the_sinks_of_a_stream_that_stayed_here_does_not_come_twice(
    intake: MemoryIntake, far: FarSide
) -> None:
    async with collector(intake, config=DELIVERED) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, [frame(number) for number in (1, 2, 3)])
            await until(lambda: len(intake.entries) == 3)
        far.fresh = False
        async with RawSender(source.port) as sender:
            assert (await sender.hello()).next == 1
            await sender.frames(1, [frame(number) for number in (1, 2, 3, 4)])
            await until(lambda: len(intake.entries) == 4)
    assert intake.numbers() == [1, 2, 3, 4]


async def test_what_the_sinks_never_saw_comes_again_though_the_stream_stayed_here(
    intake: MemoryIntake, far: FarSide
) -> None:
    """It was dropped from the spool, or could not be read there: the sinks are past it, and it is not there."""
    async with collector(intake, config=DELIVERED) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, [frame(number) for number in (1, 2, 3)])
            await until(lambda: len(intake.entries) == 3)
            far.reach(2)
            intake.deliver()
            await sender.refused()
        far.fresh = False
        async with RawSender(source.port) as sender:
            assert (await sender.hello()).next == 2
            await sender.frames(2, [frame(number) for number in (2, 3)])
            await until(lambda: len(intake.entries) == 5)


async def test_nothing_is_acknowledged_that_is_not_at_the_far_side(intake: MemoryIntake, far: FarSide) -> None:
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(number) for number in (1, 2, 3)])
        await until(lambda: len(intake.entries) == 3)
        far.reach(3)
        intake.deliver(2)
        assert (await sender.acked(3)).next == 3


async def test_the_connection_ends_when_the_sinks_passed_its_frames_over(intake: MemoryIntake, far: FarSide) -> None:
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(number) for number in (1, 2, 3)])
        await until(lambda: len(intake.entries) == 3)
        far.reach(2)
        intake.deliver()
        refused = await sender.refused()
        assert (refused.reason, "connect again" in refused.text) == (pb.Refused.REPLACED, True)


async def test_a_sender_that_has_closed_its_side_hears_that_its_frames_were_passed_over(
    intake: MemoryIntake, far: FarSide
) -> None:
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(1)])
        await sender.call.done_writing()
        await until(lambda: intake.entries)
        intake.deliver()
        assert (await sender.refused()).reason == pb.Refused.REPLACED


async def test_after_that_the_stream_begins_again_where_the_sinks_are(intake: MemoryIntake, far: FarSide) -> None:
    async with collector(intake, config=DELIVERED) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, [frame(number) for number in (1, 2, 3)])
            await until(lambda: len(intake.entries) == 3)
            far.reach(2)
            intake.deliver()
            await sender.refused()
        async with RawSender(source.port) as sender:
            assert (await sender.hello()).next == 2
            await sender.frames(2, [frame(number) for number in (2, 3)])
            await until(lambda: len(intake.entries) == 5)
            far.reach(4)
            intake.deliver()
            await sender.acked(4)


async def test_a_stream_that_cannot_be_had_is_refused_for_now(intake: MemoryIntake, far: FarSide) -> None:
    far.away = 99
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.send(pb.ShipRequest(hello=hello()))
        refused = await sender.refused()
        assert (refused.reason, "the brokers are away" in refused.text) == (pb.Refused.REPLACED, True)


async def test_a_sink_that_finds_only_now_that_it_was_shut_out_is_asked_again(
    intake: MemoryIntake, far: FarSide
) -> None:
    far.away = 1
    far.reach(7)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        assert (await sender.hello()).next == 7


async def test_an_agent_returns_to_its_preferred_collector_and_nothing_is_sent_twice(
    intake: MemoryIntake, far: FarSide
) -> None:
    """The collectors have one far side, and a spool each."""
    preferred = MemoryIntake(sharing=intake.sharing)
    port, outlet = free_port(), MemoryOutlet()
    async with collector(intake, config=DELIVERED) as other:
        sink = grpc_sink(port, other.port, return_after=0.05)
        await sink.connect(outlet)
        await sink.send(items(1, 3))
        await until(lambda: len(intake.entries) == 3)
        far.reach(4)
        intake.deliver()
        await outlet.reach(4)
        async with collector(preferred, f"127.0.0.1:{port}", config=DELIVERED):
            await until(lambda: sink.describe() == f"127.0.0.1:{port}", "the return")
            await sink.send(items(4, 2))
            await until(lambda: len(preferred.entries) == 2)
            far.reach(6)
            preferred.deliver()
            await outlet.reach(6)
            await sink.close()
    assert (intake.numbers(), preferred.numbers()) == ([1, 2, 3], [4, 5])


@pytest.mark.parametrize(
    ("changes", "epoch", "reason"),
    [
        ({"epoch": 3}, 4, pb.Refused.FENCED),
        ({"epoch": 4, "incarnation": b"x" * 16}, 4, pb.Refused.CLONED),
        ({"epoch": 5, "floor": 9, "floor_check": 1234}, 4, pb.Refused.DIVERGED),
    ],
)
async def test_another_history_of_the_stream_is_noticed_by_a_collector_that_never_saw_it(
    intake: MemoryIntake, far: FarSide, changes: dict[str, object], epoch: int, reason: int
) -> None:
    far.reach(9, epoch=epoch, check=77)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        await sender.send(pb.ShipRequest(hello=hello(**changes)))
        assert (await sender.refused()).reason == reason


async def test_the_sender_compares_the_last_frame_at_the_far_side(intake: MemoryIntake, far: FarSide) -> None:
    holding(intake, 4)
    far.reach(9, epoch=1, check=77)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        last = (await sender.hello()).last
        assert (last.number, last.original_check) == (8, 77)


async def test_beside_a_sink_that_shares_nothing_the_sender_goes_on_where_that_one_is(far: FarSide) -> None:
    intake = MemoryIntake(sharing=Sharing([far, BlackholeSink()]))
    far.reach(7)
    async with collector(intake, config=DELIVERED) as source, RawSender(source.port) as sender:
        assert (await sender.hello(floor=3)).next == 3, "what another collector took is not in this one's archive"
        await sender.frames(3, [frame(number) for number in range(3, 8)])
        await until(lambda: len(intake.entries) == 5)
        intake.deliver(4)
        await sender.acked(7)
        far.reach(8)
        intake.deliver()
        await sender.acked(8)


async def test_what_is_acknowledged_once_it_is_durable_is_not_claimed(intake: MemoryIntake, far: FarSide) -> None:
    async with collector(intake) as source, RawSender(source.port) as sender:
        assert (await sender.hello()).next == 1
        await sender.frames(1, [frame(1)])
        await sender.acked(2)
    assert not far.asked
    assert not intake.entries[0].upstream.kept


async def test_of_several_sinks_the_one_that_has_least_decides() -> None:
    ahead, behind = FarSide(), FarSide()
    for sink, number in ((ahead, 9), (behind, 4)):
        sink.setup()
        sink.reach(number)
    ahead.fresh = False
    both = Sharing([ahead, behind])
    assert await both.claim(STREAM, 1) == Claimed(behind.there, fresh=True)
    assert both.held(STREAM) == 4
