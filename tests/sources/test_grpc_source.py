"""The gRPC source: what it takes, what it refuses, what it acknowledges, how connections end."""

import asyncio
import io
import json
import os
import socket
from contextlib import suppress
from typing import Any

import pytest
from support.wire import (
    DEADLINE,
    INCARNATION,
    STREAM,
    MemoryIntake,
    MemoryMark,
    MemoryOutlet,
    RawSender,
    big_frame,
    collector,
    deliver,
    frame,
    grpc_sink,
    hello,
    items,
    until,
)

from shipper import log
from shipper.errors import SourceError, SpoolFailed
from shipper.sinks.base import Gap
from shipper.sources.grpc import GrpcSource
from shipper.spool.frame import crc32c, extend_crc32c
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import CHANNEL_OPTIONS, METHOD, aio, grpc

OTHER = b"o" * 16


def frames(first: int, count: int) -> list[Any]:
    """Consecutive frames."""
    return [frame(number) for number in range(first, first + count)]


async def test_a_new_stream_begins_at_its_floor() -> None:
    async with collector(MemoryIntake()) as source, RawSender(source.port) as sender:
        welcome = await sender.hello(floor=17)
        assert welcome.next == 17
        assert not welcome.HasField("last")
        assert welcome.window_bytes > 0
        assert (welcome.limits.max_frame_bytes, welcome.protocol) == (4 * 1024 * 1024, 1)


async def test_a_known_stream_goes_on_where_it_is_and_hears_of_its_last_frame() -> None:
    intake = MemoryIntake()
    intake.marks[STREAM] = MemoryMark(9, 1, INCARNATION, 4711)
    async with collector(intake) as source, RawSender(source.port) as sender:
        welcome = await sender.hello(floor=3)
        assert welcome.next == 9
        assert (welcome.last.epoch, welcome.last.number, welcome.last.check) == (1, 8, 4711)


async def test_a_floor_beyond_what_the_collector_has_was_acknowledged_elsewhere() -> None:
    intake = MemoryIntake()
    intake.marks[STREAM] = MemoryMark(9, 1, INCARNATION, 4711)
    async with collector(intake) as source, RawSender(source.port) as sender:
        assert (await sender.hello(floor=30)).next == 30
        await sender.frames(30, frames(30, 2))
        await sender.acked(32)
    assert intake.numbers() == [30, 31]
    assert [taken.upstream.floor for taken in intake.entries] == [30, 30]


async def test_takes_are_pipelined_and_a_group_that_becomes_durable_gets_one_ack() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake, ack_interval=3600) as source, RawSender(source.port) as sender:
        await sender.hello()
        for first in range(1, 101, 10):
            await sender.frames(first, frames(first, 10))
        await until(lambda: len(intake.queued) == 100)
        intake.sync()
        assert (await sender.expect("ack")).ack.next == 101


async def test_duplicates_are_acknowledged_and_not_taken_again() -> None:
    intake = MemoryIntake()
    async with collector(intake, ack_interval=3600) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 5))
        await sender.acked(6)
        await sender.frames(2, frames(2, 3))
        assert (await sender.expect("ack")).ack.next == 6
        await sender.frames(4, frames(4, 4))
        await sender.acked(8)
    assert intake.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert intake.takes == 7


async def test_a_duplicate_of_a_frame_that_is_not_durable_yet_is_not_acknowledged() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 1))
        await until(lambda: intake.queued)
        await sender.frames(1, frames(1, 1))
        assert (await sender.expect("ack")).ack.next == 1
        intake.sync()
        await sender.acked(2)


async def test_a_stream_whose_mark_was_forgotten_goes_on_in_its_connection() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 2))
        await sender.acked(3)
        del intake.marks[STREAM]  # a hundred thousand other streams sent something since
        await sender.frames(3, frames(3, 1))
        await sender.acked(4)
    assert intake.numbers() == [1, 2, 3]


async def test_a_number_beyond_the_expected_one_is_a_protocol_error() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 2))
        await sender.frames(4, frames(4, 1))
        refused = await sender.refused()
        assert refused.reason == pb.Refused.PROTOCOL
        assert refused.text == "frame 4 came where 3 was expected"
        assert await sender.call.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert intake.numbers() == [1, 2]


async def test_a_gap_is_durable_before_it_is_acknowledged() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.send(gap(1, 10, records=99))
        await sender.frames(11, frames(11, 1))
        await until(lambda: len(intake.queued) == 2)
        await sender.send(gap(1, 10))
        assert (await sender.expect("ack")).ack.next == 1
        intake.sync()
        await sender.acked(12)
    assert intake.entries[0].body == Gap(1, 10, 99, "test")
    assert intake.marks[STREAM].next == 12


@pytest.mark.parametrize(("first", "last"), [(2, 5), (1, 0)])
async def test_a_gap_that_does_not_follow_is_a_protocol_error(first: int, last: int) -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.send(gap(first, last))
        assert (await sender.refused()).reason == pb.Refused.PROTOCOL
    assert not intake.entries


async def test_a_gap_may_begin_before_the_expected_number() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 3))
        await sender.send(gap(2, 6))
        await sender.acked(7)
    assert intake.marks[STREAM].next == 7


def damaged(how: str) -> bytes:
    """Frame 2, but not whole."""
    raw = bytearray(frame(2, "x" * 50).raw)
    if how == "payload":
        raw[-5] ^= 1
    elif how == "metadata":
        raw[80] ^= 1
    elif how == "cut":
        del raw[-1:]
    elif how == "future":
        raw[4] = 200
        meta_size = int.from_bytes(raw[44:48], "little")
        check = extend_crc32c(crc32c(bytes(raw[:64])), bytes(raw[68 : 68 + meta_size]))
        raw[64:68] = check.to_bytes(4, "little")
    elif how == "rubbish":
        raw[:] = os.urandom(len(raw))
    elif how == "empty":
        raw.clear()
    else:
        raw += bytes(4 * 1024 * 1024)
    return bytes(raw)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("payload", pb.Refused.DAMAGED),
        ("metadata", pb.Refused.DAMAGED),
        ("cut", pb.Refused.DAMAGED),
        ("rubbish", pb.Refused.DAMAGED),
        ("empty", pb.Refused.DAMAGED),
        ("future", pb.Refused.UNSUPPORTED),
        ("large", pb.Refused.TOO_LARGE),
    ],
)
async def test_a_bad_frame_ends_its_connection_by_name_and_harms_no_other(how: str, reason: pb.Refused.Reason) -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender, RawSender(source.port) as other:
        await other.hello(stream=OTHER)
        await sender.hello()
        await sender.frames(1, [frame(1), damaged(how), frame(3)])
        refused = await sender.refused()
        assert refused.reason == reason
        assert "frame 2" in refused.text
        await other.frames(1, frames(1, 3))
        await other.acked(4)
        async with RawSender(source.port) as again:
            assert (await again.hello()).next == 2
            await again.frames(2, frames(2, 2))
            await again.acked(4)
    assert intake.numbers() == [1, 2, 3]
    assert intake.numbers(OTHER) == [1, 2, 3]


async def test_a_message_over_the_limit_ends_its_connection() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source:
        channel = aio.insecure_channel(f"127.0.0.1:{source.port}", options=[("grpc.max_send_message_length", -1)])
        method: aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
        call = method()
        await call.write(pb.ShipRequest(hello=hello()).SerializeToString())
        await call.read()
        await call.write(pb.ShipRequest(frames=pb.Frames(first=1, frames=[bytes(9 << 20)])).SerializeToString())
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await channel.close()
        await deliver(grpc_sink(source.port), MemoryOutlet(), items(1, 3))
    assert intake.numbers() == [1, 2, 3]


@pytest.mark.parametrize(
    "message",
    [
        pb.ShipRequest(frames=pb.Frames(first=1, frames=[frame(1).raw])),
        pb.ShipRequest(gap=pb.Gap(first=1, last=2)),
        pb.ShipRequest(),
        pb.ShipRequest(hello=hello(stream=b"short")),
        b"\xff\xff\xff\xff",
    ],
)
async def test_a_call_that_does_not_begin_with_a_hello_is_refused(message: pb.ShipRequest | bytes) -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.send(message)
        assert (await sender.refused()).reason == pb.Refused.PROTOCOL
    assert not intake.takes


@pytest.mark.parametrize("message", [pb.ShipRequest(hello=hello()), pb.ShipRequest(), b"\x12\x05abc"])
async def test_after_the_hello_only_frames_and_gaps_may_come(message: pb.ShipRequest | bytes) -> None:
    async with collector(MemoryIntake()) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.send(message)
        assert (await sender.refused()).reason == pb.Refused.PROTOCOL


async def test_a_call_without_a_hello_is_ended() -> None:
    async with collector(MemoryIntake(), hello_timeout=0.05) as source, RawSender(source.port) as sender:
        refused = await sender.refused()
        assert "no Hello" in refused.text


async def test_a_sender_that_closes_its_side_gets_the_rest_acknowledged() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 4))
        await sender.call.done_writing()
        await until(lambda: len(intake.queued) == 4)
        intake.sync()
        await sender.acked(5)
        assert await sender.call.code() == grpc.StatusCode.OK


async def test_a_new_hello_waits_until_the_old_connections_frames_are_durable() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source, RawSender(source.port) as old, RawSender(source.port) as new:
        await old.hello()
        await old.frames(1, frames(1, 5))
        await until(lambda: len(intake.queued) == 5)
        answer = asyncio.create_task(new.hello())
        assert (await old.refused()).reason == pb.Refused.REPLACED
        assert await old.call.code() == grpc.StatusCode.ABORTED
        assert not answer.done()
        intake.sync()
        assert (await answer).next == 6
        await new.frames(6, frames(6, 1))
        await until(lambda: intake.queued)
        intake.sync()
        await new.acked(7)
    assert intake.numbers() == [1, 2, 3, 4, 5, 6]


async def test_a_frame_that_waits_for_room_is_discarded_when_a_new_connection_comes() -> None:
    intake = MemoryIntake()
    intake.room.clear()
    async with collector(intake) as source, RawSender(source.port) as old, RawSender(source.port) as new:
        await old.hello()
        await old.frames(1, frames(1, 1))
        await until(lambda: intake.takes == 1)
        assert (await new.hello()).next == 1
        intake.room.set()
        await new.frames(1, frames(1, 2))
        await new.acked(3)
    assert intake.numbers() == [1, 2]


async def test_many_hellos_at_once_leave_one_connection() -> None:
    async with collector(MemoryIntake()) as source:
        senders = [RawSender(source.port) for _ in range(10)]
        for sender in senders:
            await sender.send(pb.ShipRequest(hello=hello()))
        readers = [asyncio.create_task(read_to_the_end(sender)) for sender in senders]
        await until(lambda: sum(reader.done() for reader in readers) == 9)
        assert {reader.result() for reader in readers if reader.done()} == {grpc.StatusCode.ABORTED}
        [left] = [at for at, reader in enumerate(readers) if not reader.done()]
        await senders[left].frames(5, frames(5, 1))  # out of order: it is heard, so it is the one connection
        assert await readers[left] == grpc.StatusCode.FAILED_PRECONDITION
        for sender in senders:
            await sender.__aexit__()


async def read_to_the_end(sender: RawSender) -> grpc.StatusCode:
    """The status that the call ends with."""
    with suppress(grpc.RpcError):
        while isinstance(await sender.call.read(), bytes):
            pass
    return await sender.call.code()


async def test_an_older_epoch_and_a_clone_do_not_disturb_the_connection_that_is_there() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as live:
        await live.hello(epoch=5)
        for changes, reason in (
            ({"epoch": 4}, pb.Refused.FENCED),
            ({"epoch": 5, "incarnation": OTHER}, pb.Refused.CLONED),
        ):
            async with RawSender(source.port) as intruder:
                await intruder.send(pb.ShipRequest(hello=hello(**changes)))
                assert (await intruder.refused()).reason == reason
        await live.frames(1, frames(1, 1))
        await live.acked(2)
        async with RawSender(source.port) as newer:
            await newer.hello(epoch=6, incarnation=OTHER, floor=2)
            assert (await live.refused()).reason == pb.Refused.REPLACED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epoch": 4}, pb.Refused.FENCED),
        ({"epoch": 5, "incarnation": OTHER}, pb.Refused.CLONED),
        ({"epoch": 6, "floor": 9, "floor_check": 78}, pb.Refused.DIVERGED),
    ],
)
async def test_a_second_history_is_refused_by_a_collector_that_knows_the_first_from_its_spool_alone(
    changes: dict[str, Any], reason: int
) -> None:
    intake = MemoryIntake(marks={STREAM: MemoryMark(9, 5, INCARNATION, 77)})
    async with collector(intake) as source:
        async with RawSender(source.port) as intruder:
            await intruder.send(pb.ShipRequest(hello=hello(**changes)))
            assert (await intruder.refused()).reason == reason
        async with RawSender(source.port) as sender:
            assert (await sender.hello(epoch=6, incarnation=OTHER, floor=9, floor_check=77)).next == 9


async def test_frames_queued_when_the_connection_breaks_are_not_sent_twice() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source:
        async with RawSender(source.port) as sender:
            await sender.hello()
            await sender.frames(1, frames(1, 3))
            await until(lambda: len(intake.queued) == 3)
        async with RawSender(source.port) as again:
            answer = asyncio.create_task(again.hello())
            await asyncio.sleep(0)
            intake.sync()
            assert (await answer).next == 4
    assert intake.numbers() == [1, 2, 3]


async def test_a_failed_spool_acknowledges_nothing_and_says_so() -> None:
    intake = MemoryIntake(hold=True)
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 3))
        await until(lambda: len(intake.queued) == 3)
        intake.sync(1)
        await sender.acked(2)
        intake.failure = SpoolFailed("the disk is gone")
        intake.sync()
        refused = await sender.refused()
        assert refused.reason == pb.Refused.SPOOL_FAILED
        assert "the disk is gone" in refused.text


async def test_an_idle_connection_is_acknowledged_at_every_interval() -> None:
    async with collector(MemoryIntake(), ack_interval=0.05) as source, RawSender(source.port) as sender:
        await sender.hello(floor=8)
        for _ in range(5):
            assert (await sender.expect("ack")).ack.next == 8


async def test_heartbeats_go_on_and_say_why_while_the_spool_is_full() -> None:
    intake = MemoryIntake()
    intake.room.clear()
    async with collector(intake, ack_interval=0.1) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, frames(1, 1))
        while (ack := (await sender.expect("ack")).ack).reason != pb.Ack.SPOOL_FULL:
            pass
        assert ack.next == 1
        intake.room.set()
        await sender.acked(2)


async def test_a_sender_that_keeps_to_no_window_is_not_read_beyond_the_budget() -> None:
    intake = MemoryIntake(hold=True)
    limit = 4_000_000
    async with collector(intake, budget_bytes=limit) as source, RawSender(source.port) as greedy:
        await greedy.hello()

        async def pour() -> None:
            for number in range(1, 41):
                await greedy.frames(number, [big_frame(number, 500_000)])

        pouring = asyncio.create_task(pour())
        await until(lambda: len(intake.queued) == 8)
        async with RawSender(source.port) as modest:
            await modest.hello(stream=OTHER)
            await asyncio.sleep(0.1)
            assert len(intake.queued) == 8
            assert not pouring.done()
            while not intake.numbers()[39:]:
                intake.sync()
                await asyncio.sleep(0)
            await pouring
            await modest.frames(1, frames(1, 1))
            await until(lambda: intake.queued)
            intake.sync()
            await modest.acked(2)


async def test_windows_shrink_when_many_senders_are_connected() -> None:
    async with collector(MemoryIntake(), budget_bytes=1_000_000, ack_interval=0.05) as source:
        senders = [RawSender(source.port) for _ in range(4)]
        windows = [(await sender.hello(stream=bytes([n]) * 16)).window_bytes for n, sender in enumerate(senders)]
        assert windows == [1_000_000, 500_000, 333_333, 250_000]
        acks: list[pb.Ack] = []  # the first may be from before the last of them came
        while not acks or acks[-1].window_bytes > 250_000:
            acks.append((await senders[0].expect("ack")).ack)
        assert (acks[-1].window_bytes, acks[-1].reason) == (250_000, pb.Ack.SHARED)
        for sender in senders:
            await sender.__aexit__()


async def test_shutdown_lets_what_is_queued_become_durable_and_acknowledges_it() -> None:
    intake = MemoryIntake(hold=True)
    source = GrpcSource(listen="127.0.0.1:0")
    source.setup()
    running = asyncio.create_task(source.run(intake, once=False))
    await until(lambda: source.serving)
    async with RawSender(source.port) as sender, RawSender(source.port) as silent:
        await silent.call.wait_for_connection()
        await sender.hello()
        await sender.frames(1, frames(1, 3))
        await until(lambda: len(intake.queued) == 3)
        running.cancel()
        await asyncio.sleep(0)
        intake.sync()
        await sender.acked(4)
        refused = await sender.refused()
        assert refused.reason == pb.Refused.STOPPING
        assert await sender.call.code() == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_with_once_there_is_nothing_to_wait_for() -> None:
    source = GrpcSource(listen="127.0.0.1:0")
    source.setup()
    async with asyncio.timeout(DEADLINE):
        await source.run(MemoryIntake(), once=True)


async def test_a_port_in_use_is_one_clear_sentence_and_grpc_itself_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    async with collector(MemoryIntake()) as source:
        second = GrpcSource(listen=f"127.0.0.1:{source.port}")
        second.setup()
        with pytest.raises(SourceError, match=rf"cannot listen on 127\.0\.0\.1:{source.port}: Address already in use"):
            await second.run(MemoryIntake(), once=False)
    assert "add_port" not in capfd.readouterr().err


async def test_an_address_of_another_machine_is_one_clear_sentence() -> None:
    source = GrpcSource(listen="192.0.2.1:7420")
    source.setup()
    with pytest.raises(SourceError, match=r"192\.0\.2\.1:7420: Cannot assign"):
        await source.run(MemoryIntake(), once=False)


def test_what_is_no_address_is_a_config_error() -> None:
    with pytest.raises(ValueError, match="host:port"):
        GrpcSource(listen="7420").setup()


async def test_the_start_up_line_names_the_port() -> None:
    async with collector(MemoryIntake()) as source:
        assert source.describe() == f"listening on 127.0.0.1:{source.port}"


RUBBISH = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: collector\r\n\r\n",
    "random bytes": os.urandom(5000),
    "a TLS greeting": bytes.fromhex("16030100f8010000f40303") + os.urandom(240),
    "HTTP/2 and then rubbish": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(5000),
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("kind", RUBBISH)
async def test_rubbish_on_the_port_is_cut_off_and_harms_no_sender(kind: str) -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        for number in range(1, 4):
            with socket.create_connection(("127.0.0.1", source.port)) as stranger:
                stranger.setblocking(False)
                loop = asyncio.get_running_loop()
                try:
                    await loop.sock_sendall(stranger, RUBBISH[kind])
                    while await asyncio.wait_for(loop.sock_recv(stranger, 4096), DEADLINE):
                        pass
                except ConnectionError:
                    pass
            await sender.frames(number, frames(number, 1))
            await sender.acked(number + 1)
    assert intake.numbers() == [1, 2, 3]


async def test_a_stranger_is_refused_and_logged_once_a_minute() -> None:
    lines = io.StringIO()
    log.configure(stream=lines, force_json=True)
    try:
        async with collector(MemoryIntake()) as source:
            channel = aio.insecure_channel(f"127.0.0.1:{source.port}", options=CHANNEL_OPTIONS)
            other: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
            for _ in range(5):
                with pytest.raises(aio.AioRpcError, match=r"serves /shipper\.v1\.Ingest/Ship only"):
                    await other(b"")
            await channel.close()
    finally:
        log.configure()
    refused = [line for line in map(json.loads, lines.getvalue().splitlines()) if "refused" in line["msg"]]
    assert len(refused) <= 1  # none when an earlier test used up the minute of 127.0.0.1


def gap(first: int, last: int, records: int | None = None) -> pb.ShipRequest:
    """A Gap."""
    return pb.ShipRequest(gap=pb.Gap(first=first, last=last, records=records, reason="test"))
