"""The gRPC sink, against the real source behind a proxy that misbehaves, and servers that break the contract."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.ports import lasting_port
from support.proxy import Proxy
from support.wire import (
    DEADLINE,
    MemoryIntake,
    MemoryMark,
    MemoryOutlet,
    big_frame,
    collector,
    deliver,
    frame,
    grpc_sink,
    items,
    until,
)

from shipper.errors import SinkError, SinkUnavailable, StreamDisowned
from shipper.sinks.base import Gap, Item
from shipper.sinks.grpc import GrpcSink
from shipper.sinks.thin import Thinner
from shipper.sources.grpc import GrpcSource
from shipper.spool.frame import Frame
from shipper.v1 import ingest_pb2 as pb
from shipper.version import VERSION
from shipper.wire.channel import METHOD, PROTOCOL, SERVER_OPTIONS, aio, grpc
from shipper.wire.window import MESSAGE_BYTES

NONE = "message == 'nothing is this'"
"""A condition that no record meets."""


async def test_frames_arrive_byte_for_byte_in_order_and_are_acknowledged() -> None:
    intake, outlet, sent = MemoryIntake(), MemoryOutlet(), items(1, 300)
    async with collector(intake) as source:
        await deliver(grpc_sink(source.port), outlet, sent)
    assert [taken.body.raw for taken in intake.entries if isinstance(taken.body, Frame)] == [
        item.body.raw for item in sent if isinstance(item.body, Frame)
    ]
    assert intake.numbers() == list(range(1, 301))
    assert outlet.cursor == 301


async def test_what_the_collector_learns_of_a_frame_is_what_the_hop_says_not_the_origin() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet(cursor=40, epoch=7)
    relayed = frame(9, stream=b"o" * 16)
    async with collector(intake) as source:
        await deliver(grpc_sink(source.port), outlet, [Item(40, relayed)])
    [taken] = intake.entries
    upstream = taken.upstream
    assert (upstream.stream, upstream.seq, upstream.epoch, upstream.incarnation, upstream.crc, upstream.floor) == (
        outlet.stream,
        40,
        7,
        outlet.incarnation,
        relayed.check,
        40,
    )
    assert taken.labels == {"host": "edge-1"}


async def test_a_hello_says_who_sends_and_from_where_on() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet(cursor=40, cursor_crc=4711, epoch=7)
    outlet.labels = {"host": "edge-1", "rack": 4}
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        await sink.connect(outlet)
        hello = source._sessions[outlet.stream].hello
        await sink.close()
    assert hello == pb.Hello(
        stream=outlet.stream,
        epoch=7,
        incarnation=outlet.incarnation,
        protocol=PROTOCOL,
        agent_version=VERSION,
        labels={"host": "edge-1", "rack": "4"},
        floor=40,
        floor_check=4711,
    )


async def test_an_ack_is_due_every_5_seconds_and_its_absence_is_no_haste() -> None:
    """As they are in a config that says nothing; how they work is tested with shorter ones."""
    assert GrpcSource.ack_interval == 5
    assert GrpcSink.ack_deadline >= 2 * GrpcSource.ack_interval, "one that is late must not end a connection"


async def test_a_gap_travels_in_place_of_frames() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    sent = [*items(1, 2), Item(3, Gap(3, 7, 50, "corruption")), Item(8, Gap(8, 8, -1, "unknown")), *items(9, 1)]
    async with collector(intake) as source:
        await deliver(grpc_sink(source.port), outlet, sent)
    assert intake.numbers() == list(range(1, 10))
    gaps = [taken.body for taken in intake.entries if isinstance(taken.body, Gap)]
    assert gaps == [sent[2].body, sent[3].body]


async def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    intake, outlet = MemoryIntake(hold=True), MemoryOutlet()
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        await sink.connect(outlet)
        await sink.send(items(1, 10))
        await until(lambda: len(intake.queued) == 10)
        assert outlet.cursor == 1
        intake.sync(4)
        await outlet.reach(5)
        assert outlet.cursor == 5
        intake.sync()
        await outlet.reach(11)
        await sink.close()


async def test_a_full_window_holds_send_back_until_an_acknowledgement() -> None:
    intake, outlet = MemoryIntake(hold=True), MemoryOutlet()
    async with collector(intake, budget_bytes=64 * 1024) as source:
        sink = grpc_sink(source.port)
        await sink.connect(outlet)
        big = [Item(seq, big_frame(seq, 40_000)) for seq in range(1, 4)]
        sending = asyncio.create_task(sink.send(big))
        await until(lambda: len(intake.queued) == 1)
        assert not sending.done()
        while not sending.done():
            intake.sync()
            await asyncio.sleep(0)
        await sending
        await until(lambda: len(intake.queued) + len(intake.entries) == 3)
        intake.sync()
        await outlet.reach(4)
        await sink.close()


async def test_a_frame_larger_than_the_window_goes_alone() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake, budget_bytes=64 * 1024) as source:
        await deliver(grpc_sink(source.port), outlet, [Item(seq, big_frame(seq, 900_000)) for seq in (1, 2, 3)])
    assert intake.numbers() == [1, 2, 3]


async def test_a_connection_that_is_cut_surfaces_in_send_and_in_broken() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source, Proxy(source.port) as proxy:
        sink = grpc_sink(proxy.port)
        await sink.connect(outlet)
        await sink.send(items(1, 1))
        await outlet.reach(2)
        proxy.cut()
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(sink.broken(), DEADLINE)
        with pytest.raises(SinkUnavailable):
            await sink.send(items(2, 1))
        await deliver(sink, outlet, items(1, 5))
    assert intake.numbers() == [1, 2, 3, 4, 5]


async def test_a_half_open_connection_is_given_up_after_the_deadline_even_when_idle() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source, Proxy(source.port) as proxy:
        sink = grpc_sink(proxy.port, ack_deadline=0.3)
        await sink.connect(outlet)
        proxy.stall("down")
        with pytest.raises(SinkUnavailable, match=r"acknowledged nothing for 0\.3 s"):
            await asyncio.wait_for(sink.broken(), DEADLINE)
        proxy.resume()
        await deliver(sink, outlet, items(1, 3))
    assert intake.numbers() == [1, 2, 3]


async def test_the_deadline_frees_a_send_that_waits_in_a_stalled_write() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source, Proxy(source.port) as proxy:
        sink = grpc_sink(proxy.port, ack_deadline=0.5)
        await sink.connect(outlet)
        proxy.stall()
        frames = [Item(seq, big_frame(seq, 1_000_000)) for seq in range(1, 8)]
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(sink.send(frames), DEADLINE)
        await sink.close()


async def test_heartbeats_keep_an_idle_connection_past_the_deadline() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake, ack_interval=0.1) as source:
        sink = grpc_sink(source.port, ack_deadline=2.0)
        await sink.connect(outlet)
        broken = asyncio.ensure_future(sink.broken())
        await until(lambda: len(outlet.acks) >= 30, "thirty heartbeats")
        assert set(outlet.acks) == {1}
        assert not broken.done()
        broken.cancel()
        await sink.close()


async def test_lost_acknowledgements_cost_no_second_copy() -> None:
    intake, outlet, sent = MemoryIntake(), MemoryOutlet(), items(1, 20)
    async with collector(intake) as source, Proxy(source.port) as proxy:
        sink = grpc_sink(proxy.port)
        await sink.connect(outlet)
        proxy.stall("down")
        await sink.send(sent)
        await until(lambda: len(intake.entries) == 20)
        assert outlet.cursor == 1
        proxy.cut()
        proxy.resume()
        await deliver(sink, outlet, sent)
    assert intake.numbers() == list(range(1, 21))
    assert outlet.cursor == 21


async def test_the_frame_that_the_collector_has_last_is_compared_and_not_sent_again() -> None:
    intake, outlet, sent = MemoryIntake(), MemoryOutlet(), items(1, 5)
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        await deliver(sink, outlet, sent[:3])
        outlet.cursor = 1
        assert await sink.connect(outlet) == 1
        await sink.send(sent[:2])
        assert outlet.cursor == 1
        await sink.send(sent[2:3])
        assert outlet.cursor == 4
        await sink.send(sent[3:])
        await outlet.reach(6)
        await sink.close()
    assert intake.takes == 5


async def test_what_a_collector_acknowledges_before_its_last_frame_is_compared_does_not_count_yet() -> None:
    sent, got = items(1, 5), list[int]()

    async def serve(_: object, context: Any) -> None:
        await context.read()
        check = frame(3).check
        last = pb.FramePosition(epoch=1, number=3, check=check, original_check=check)
        await context.write(response(welcome=pb.Welcome(next=4, last=last, window_bytes=1 << 23, protocol=1)))
        await context.write(response(ack=ack(4, window=1 << 22)))
        while isinstance(data := await context.read(), bytes):
            message = pb.ShipRequest.FromString(data).frames
            got.extend(range(message.first, message.first + len(message.frames)))
            await context.write(response(ack=ack(got[-1] + 1)))

    outlet = MemoryOutlet()
    async with server_of(serve) as port:
        sink = grpc_sink(port)
        assert await sink.connect(outlet) == 1
        connection = sink._connection
        assert connection is not None
        await until(lambda: connection._window.limit == 1 << 22, "the Ack is read")
        await sink.send(sent[:2])
        assert outlet.cursor == 1, "it may be another history"
        await sink.send(sent[2:])
        await outlet.reach(6)
        await sink.close()
    assert got == [4, 5], "the collector has the others"


async def test_a_restored_backup_that_grew_is_noticed_before_it_sends_anything() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        await deliver(sink, outlet, items(1, 3))
        outlet.cursor = 2
        grown = [Item(seq, frame(seq, "after the restore")) for seq in (2, 3, 4, 5)]
        start = await sink.connect(outlet)
        with pytest.raises(StreamDisowned, match="another frame 3") as caught:
            await sink.send([item for item in grown if item.seq >= start])
        assert caught.value.kind == "diverged"
        assert outlet.cursor == 2, "what only this history has would be lost"
        await sink.close()
    assert intake.takes == 3


async def test_a_collector_that_holds_more_than_was_ever_written_is_noticed() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        await deliver(sink, outlet, items(1, 8))
        outlet.cursor, outlet.next_seq = 2, 5
        with pytest.raises(StreamDisowned, match="another frame 8") as caught:
            await sink.connect(outlet)
        assert not caught.value.retriable
        await sink.close()


def thinned(where: str, all_items: list[Item]) -> list[Item]:
    """What a delivery sends of these with a condition."""
    return Thinner(where).thin(all_items)[0]


@pytest.mark.parametrize(("before", "after"), [(NONE, NONE), (NONE, None), (None, NONE), ("message != '1 '", NONE)])
async def test_thinned_frames_are_compared_by_their_originals_whatever_the_condition_is_and_was(
    before: str | None, after: str | None
) -> None:
    intake, outlet, whole = MemoryIntake(), MemoryOutlet(), items(1, 5)
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        sink.where = before
        await deliver(sink, outlet, whole[:3] if before is None else thinned(before, whole[:3]))
        sink.where = after
        last = whole[2].body
        assert isinstance(last, Frame)
        outlet.cursor_crc = last.original_check
        assert await sink.connect(outlet) == 4, "the cursor's is the same"
        outlet.cursor_crc += 1
        with pytest.raises(StreamDisowned, match="frame 3"):
            await sink.connect(outlet)
        outlet.cursor, outlet.cursor_crc = 1, 0
        await deliver(sink, outlet, whole if after is None else thinned(after, whole))
        assert outlet.cursor == 6
        await sink.close()
    assert intake.takes == 5


async def test_a_restored_backup_that_grew_is_noticed_behind_a_condition_too() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        sink.where = NONE
        await deliver(sink, outlet, thinned(NONE, items(1, 3)))
        assert [taken.body.records for taken in intake.entries if isinstance(taken.body, Frame)] == [0, 0, 0]
        outlet.cursor = 2
        grown = thinned(NONE, [Item(seq, frame(seq, "after the restore")) for seq in (2, 3, 4, 5)])
        await sink.connect(outlet)
        with pytest.raises(StreamDisowned, match="another frame 3"):
            await sink.send(grown)
        assert outlet.cursor == 2
        await sink.close()


@pytest.mark.parametrize("same", [True, False])
async def test_a_collector_that_keeps_no_originals_is_compared_without_a_condition_only(same: bool) -> None:
    """A mark of an older collector, or of a frame that an older shipper thinned, says only how the frame came."""
    intake, outlet, sent = MemoryIntake(), MemoryOutlet(), items(1, 3)
    body = sent[2].body
    assert isinstance(body, Frame)
    intake.marks[outlet.stream] = MemoryMark(4, 1, outlet.incarnation, body.check if same else 12345)
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        sink.where = NONE
        assert await sink.connect(outlet) == 4
        sink.where = None
        assert await sink.connect(outlet) == 1
        if same:
            await sink.send(sent)
            assert outlet.cursor == 4
        else:
            with pytest.raises(StreamDisowned, match="another frame 3"):
                await sink.send(sent)
        await sink.close()
    assert intake.takes == 0


async def test_the_collectors_own_judgement_reaches_the_sink_as_a_final_error() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet(cursor=4, cursor_crc=99)
    intake.marks[outlet.stream] = MemoryMark(4, 1, outlet.incarnation, 98)
    async with collector(intake) as source:
        sink = grpc_sink(source.port)
        with pytest.raises(StreamDisowned, match="DIVERGED") as caught:
            await sink.connect(outlet)
        assert not caught.value.retriable


async def test_the_first_address_that_answers_is_used() -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    async with collector(intake) as source:
        sink = grpc_sink(lasting_port(), source.port)
        assert sink.describe() == ", ".join(sink.addresses)
        await sink.connect(outlet)
        assert sink.describe() == f"127.0.0.1:{source.port}"
        await sink.close()


async def test_every_address_is_named_when_none_answers() -> None:
    sink = grpc_sink(lasting_port(), lasting_port())
    with pytest.raises(SinkUnavailable) as caught:
        await sink.connect(MemoryOutlet())
    assert str(caught.value) == "; ".join(f"{address}: UNAVAILABLE: Connection refused" for address in sink.addresses)


async def test_an_attempt_that_failed_knocks_no_more_on_a_collector_that_is_there_again() -> None:
    port = lasting_port()
    knocks = 0

    def knock(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    sink, kept = grpc_sink(port), []
    for _ in range(3):
        with pytest.raises(SinkUnavailable) as caught:
            await sink.connect(MemoryOutlet())
        kept.append(caught.value)  # with its traceback: what garbage is collected when does not matter
    server = await asyncio.start_server(knock, "127.0.0.1", port)
    await asyncio.sleep(1.5)  # gRPC tries again after 0.8 to 1.2 seconds
    server.close()
    assert knocks == 0


async def test_a_collector_that_accepts_and_says_nothing_costs_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = grpc_sink(silent.getsockname()[1], connect_timeout=0.2)
        with pytest.raises(SinkUnavailable, match=r"did not answer within 0\.2 s"):
            await sink.connect(MemoryOutlet())


async def test_what_is_no_grpc_server_is_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        with suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    sink = grpc_sink(server.sockets[0].getsockname()[1])
    with pytest.raises(SinkUnavailable):
        await sink.connect(MemoryOutlet())
    server.close()


async def test_sending_without_a_connection_is_an_error_not_a_wait() -> None:
    sink = grpc_sink(lasting_port())
    with pytest.raises(SinkUnavailable):
        await sink.send(items(1, 1))
    with pytest.raises(SinkUnavailable):
        await sink.broken()
    await sink.close()


@pytest.mark.parametrize("addresses", [[], ["collector"], ["a:1", "b"]])
def test_a_config_without_usable_addresses_is_refused(addresses: list[str]) -> None:
    with pytest.raises(ValueError, match="collector:7420"):
        GrpcSink(addresses=addresses).setup()


async def test_small_frames_that_wait_together_share_a_message() -> None:
    got: list[pb.Frames] = []

    async def serve(_: object, context: Any) -> None:
        await context.read()
        await context.write(response(welcome=pb.Welcome(next=1, window_bytes=1 << 23, protocol=1)))
        while isinstance(data := await context.read(), bytes):
            got.append(pb.ShipRequest.FromString(data).frames)
            await context.write(response(ack=ack(got[-1].first + len(got[-1].frames))))

    outlet = MemoryOutlet()
    async with server_of(serve) as port:
        sink = grpc_sink(port)
        await sink.connect(outlet)
        await sink.send([Item(seq, big_frame(seq, 100_000)) for seq in range(1, 31)])
        await outlet.reach(31)
        await sink.close()
    assert [len(message.frames) for message in got] == [10, 10, 10]
    assert all(sum(map(len, message.frames)) <= MESSAGE_BYTES for message in got)


async def test_a_window_of_zero_stops_the_sender_until_another_comes() -> None:
    opened = asyncio.Event()
    got: list[int] = []

    async def serve(_: object, context: Any) -> None:
        await context.read()
        await context.write(response(welcome=pb.Welcome(next=1, window_bytes=0, protocol=1)))
        await opened.wait()
        await context.write(response(ack=ack(1, window=1)))
        while isinstance(data := await context.read(), bytes):
            got.append(pb.ShipRequest.FromString(data).frames.first)
            await context.write(response(ack=ack(got[-1] + 1, window=1)))

    outlet = MemoryOutlet()
    async with server_of(serve) as port:
        sink = grpc_sink(port)
        await sink.connect(outlet)
        sending = asyncio.create_task(sink.send(items(1, 3)))
        await asyncio.sleep(0.05)
        assert not sending.done()
        opened.set()
        await sending
        await outlet.reach(4)
        await sink.close()
    assert got == [1, 2, 3]


@pytest.mark.parametrize(
    ("answers", "says", "retriable"),
    [
        ([b"\xff\xff\xff"], "not a ShipResponse", False),
        ([b""], "did not answer with Welcome", False),
        (["ack"], "did not answer with Welcome", False),
        (["no version"], "wants to speak version 0 of the protocol, this shipper speaks 1 to 1", False),
        (["higher"], "wants to speak version 2 of the protocol, this shipper speaks 1 to 1", False),
        (["unknown"], "wants to speak version 4294967295 of the protocol", False),
        (["behind"], "breaks the protocol", False),
        (["welcome", "welcome"], "not an Ack", False),
        (["welcome", "ahead"], "only 1 was sent", False),
        (["welcome", b"\xff"], "not a ShipResponse", False),
        (["welcome", "refused"], "come back later", True),
        ([], "closed the connection", True),
    ],
)
async def test_a_collector_that_breaks_the_contract_is_left(
    answers: list[str | bytes], says: str, retriable: bool
) -> None:
    known = {
        "welcome": response(welcome=pb.Welcome(next=1, window_bytes=1000, protocol=1)),
        "no version": response(welcome=pb.Welcome(next=1, window_bytes=1000, protocol=0)),
        "higher": response(welcome=pb.Welcome(next=1, window_bytes=1000, protocol=2)),
        "unknown": response(welcome=pb.Welcome(next=1, window_bytes=1000, protocol=2**32 - 1)),
        "behind": response(welcome=pb.Welcome(next=0, window_bytes=1000, protocol=1)),
        "ack": response(ack=ack(1)),
        "ahead": response(ack=ack(2)),
        "refused": response(refused=pb.Refused(reason=pb.Refused.OVERLOADED, text="come back later")),
    }

    async def serve(_: object, context: Any) -> None:
        await context.read()
        for answer in answers:
            await context.write(answer if isinstance(answer, bytes) else known[answer])
        if answers:
            await context.read()

    async with server_of(serve) as port:
        sink = grpc_sink(port)

        async def connect_and_wait() -> None:
            await sink.connect(MemoryOutlet())
            await asyncio.wait_for(sink.broken(), DEADLINE)

        with pytest.raises(SinkError, match=says) as caught:
            await connect_and_wait()
        assert caught.value.retriable == retriable
        await sink.close()


@pytest.mark.parametrize(
    ("code", "retriable"),
    [
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, True),
        (grpc.StatusCode.INTERNAL, True),
        (grpc.StatusCode.UNAUTHENTICATED, False),
        (grpc.StatusCode.PERMISSION_DENIED, False),
        (grpc.StatusCode.UNIMPLEMENTED, False),
    ],
)
async def test_a_status_says_whether_trying_again_helps(code: grpc.StatusCode, retriable: bool) -> None:
    async def serve(_: object, context: Any) -> None:
        await context.read()  # a write that meets the status on its way would hide it from gRPC's client
        await context.abort(code, "no")

    async with server_of(serve) as port:
        with pytest.raises(SinkError, match=code.name) as caught:
            await grpc_sink(port).connect(MemoryOutlet())
        assert caught.value.retriable == retriable


async def test_closing_while_a_send_waits_for_the_window_leaves_nothing_behind() -> None:
    async def serve(_: object, context: Any) -> None:
        await context.read()
        await context.write(response(welcome=pb.Welcome(next=1, window_bytes=0, protocol=1)))
        await context.read()

    async with server_of(serve) as port:
        sink = grpc_sink(port)
        await sink.connect(MemoryOutlet())
        sending = asyncio.create_task(sink.send(items(1, 1)))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await sink.close()
        await sink.close()


def response(**message: Any) -> bytes:
    """A ShipResponse, encoded."""
    return pb.ShipResponse(**message).SerializeToString()


def ack(number: int, window: int = 1 << 23) -> pb.Ack:
    """An Ack."""
    return pb.Ack(next=number, window_bytes=window)


@asynccontextmanager
async def server_of(serve: Any) -> AsyncIterator[int]:
    """A gRPC server whose Ship is ``serve``, with messages as bytes; gives its port."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
            assert handler_call_details.method == METHOD
            return grpc.stream_stream_rpc_method_handler(serve)

    server = aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
