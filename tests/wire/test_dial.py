"""Which collector a sender connects to, and what an address that does not answer costs."""

import asyncio
import io
import socket
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import free_port
from support.proxy import Proxy
from support.wire import (
    DEADLINE,
    MemoryIntake,
    MemoryMark,
    MemoryOutlet,
    big_frame,
    collector,
    deliver,
    grpc_sink,
    items,
    until,
)

from shipper.errors import SinkError, SinkUnavailable, StreamDisowned
from shipper.sinks.base import Item
from shipper.sinks.grpc import GrpcSink
from shipper.sources.grpc import GrpcSource
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.dial import Order, ranked

NAMES = [f"collector-{n}:7420" for n in range(5)]
streams = st.binary(min_size=16, max_size=16)


@given(streams)
def test_failover_keeps_the_order_as_it_is_written(stream: bytes) -> None:
    assert ranked(NAMES, "failover", stream) == NAMES


@given(streams, st.sampled_from(NAMES))
def test_spread_is_stable_and_an_address_that_goes_changes_nothing_for_the_others(stream: bytes, gone: str) -> None:
    order = ranked(NAMES, "spread", stream)
    assert sorted(order) == sorted(NAMES)
    assert ranked(NAMES[::-1], "spread", stream) == order
    left = [name for name in NAMES if name != gone]
    assert ranked(left, "spread", stream) == [name for name in order if name != gone]


def test_spread_shares_a_fleet_evenly_and_also_the_part_of_a_collector_that_is_away() -> None:
    orders = [ranked(NAMES, "spread", n.to_bytes(16)) for n in range(5000)]
    assert all(900 < share < 1100 for share in Counter(order[0] for order in orders).values())
    seconds = Counter(order[1] for order in orders if order[0] == NAMES[0])
    assert all(200 < share < 300 for share in seconds.values())


@given(st.integers(1, 5), st.integers(0, 4))
def test_an_address_that_got_nothing_done_is_tried_last_and_then_first_again(count: int, failed: int) -> None:
    preferred, order = NAMES[:count], Order()
    order.failed(NAMES[min(failed, count - 1)], preferred)
    first = order.next(preferred)
    assert sorted(first) == sorted(preferred)
    assert first[-1] == NAMES[min(failed, count - 1)]
    assert order.next(preferred) == preferred


async def test_an_address_that_refuses_or_hangs_holds_up_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        intake = MemoryIntake()
        async with collector(intake) as source:
            ports = [silent.getsockname()[1], free_port(), source.port]
            sink = grpc_sink(*ports, patience=0.05, connect_timeout=3600)
            await asyncio.wait_for(sink.connect(MemoryOutlet()), DEADLINE)
            assert sink.describe() == f"127.0.0.1:{source.port}"
            await sink.close()


async def test_an_address_that_answers_late_is_still_taken_when_no_other_does() -> None:
    async with collector(MemoryIntake()) as source, Proxy(source.port) as proxy:
        proxy.delay = 0.1
        sink = grpc_sink(proxy.port, free_port(), patience=0.01)
        await asyncio.wait_for(sink.connect(MemoryOutlet()), DEADLINE)
        assert sink.describe() == f"127.0.0.1:{proxy.port}"
        await sink.close()


@pytest.mark.parametrize("reason", [pb.Refused.OVERLOADED, pb.Refused.STOPPING, pb.Refused.UNSUPPORTED])
async def test_a_collector_that_refuses_costs_only_the_next_address(
    reason: pb.Refused.Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = MemoryIntake()
    async with collector(refusing) as first, collector(MemoryIntake()) as second:
        refuse(first, reason, monkeypatch)
        sink = grpc_sink(first.port, second.port)
        await sink.connect(MemoryOutlet())
        assert sink.describe() == f"127.0.0.1:{second.port}"
        await sink.close()


def refuse(source: GrpcSource, reason: pb.Refused.Reason, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a collector refuse every Hello."""
    from shipper.wire.refusal import Refusal

    async def hello(_: Any, __: object) -> pb.Hello:
        raise Refusal(reason, "not now")

    monkeypatch.setattr(source, "_hello", hello)


async def test_final_refusals_of_all_addresses_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collector(MemoryIntake()) as first, collector(MemoryIntake()) as second:
        refuse(first, pb.Refused.UNSUPPORTED, monkeypatch)
        refuse(second, pb.Refused.UNSUPPORTED, monkeypatch)
        with pytest.raises(SinkError, match=r"UNSUPPORTED.*; .*UNSUPPORTED") as caught:
            await grpc_sink(first.port, second.port).connect(MemoryOutlet())
        assert not caught.value.retriable
        with pytest.raises(SinkUnavailable):
            await grpc_sink(first.port, free_port()).connect(MemoryOutlet())


async def test_a_collector_that_is_passed_over_is_logged_with_the_sink(lines: io.StringIO) -> None:
    away = free_port()
    async with collector(MemoryIntake()) as source:
        sink = GrpcSink(addresses=[f"127.0.0.1:{away}", f"127.0.0.1:{source.port}"])
        sink.setup()
        await sink.connect(MemoryOutlet(name="north"))
        await sink.close()
    (line,) = [line for line in lines.getvalue().splitlines() if "a collector is passed over" in line]
    assert "north" in line
    assert f"127.0.0.1:{away}" in line


async def test_a_collector_that_disowns_the_stream_is_not_passed_over() -> None:
    """Another collector would take the frames, and nobody would know that two histories share one name."""
    disowning = MemoryIntake(marks={MemoryOutlet().stream: MemoryMark(9, 5, b"x" * 16, 1)})
    async with collector(disowning) as first, collector(MemoryIntake()) as second:
        with pytest.raises(StreamDisowned) as caught:
            await grpc_sink(first.port, second.port).connect(MemoryOutlet())
        assert caught.value.kind == "fenced"


async def test_a_collector_that_welcomes_and_acknowledges_nothing_is_left_for_the_next() -> None:
    stuck, fine, outlet = MemoryIntake(hold=True), MemoryIntake(), MemoryOutlet()
    async with collector(stuck) as first, Proxy(first.port) as proxy, collector(fine) as second:
        sink = grpc_sink(proxy.port, second.port)
        await sink.connect(outlet)
        await sink.send(items(1, 3))
        proxy.cut()
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(sink.broken(), DEADLINE)
        await deliver(sink, outlet, items(1, 5))
    assert fine.numbers() == [1, 2, 3, 4, 5]


async def test_from_a_to_b_and_back_to_a_jumps_are_acknowledged_elsewhere() -> None:
    a, b, outlet, sent = MemoryIntake(), MemoryIntake(), MemoryOutlet(), items(1, 30)
    async with collector(a) as first, collector(b) as second:
        sink = grpc_sink(first.port)
        await deliver(sink, outlet, sent[:10])
        await deliver(grpc_sink(second.port), outlet, sent[:20])
        await deliver(sink, outlet, sent)
    assert a.numbers() == [*range(1, 11), *range(21, 31)]
    assert b.numbers() == list(range(11, 21))


async def test_a_shipper_moves_back_to_its_preferred_collector_and_sends_nothing_twice() -> None:
    a, b, outlet, sent = MemoryIntake(), MemoryIntake(), MemoryOutlet(), items(1, 40)
    async with collector(a) as first, collector(b) as second, Proxy(first.port) as door:
        sink = grpc_sink(door.port, second.port, return_after=0.02)
        await sink.connect(outlet)
        await sink.send(sent[:10])
        await outlet.reach(11)
        await door.close_door()
        door.cut()
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(sink.broken(), DEADLINE)
        assert await sink.connect(outlet) == 11
        assert sink.describe() == f"127.0.0.1:{second.port}"
        watching = asyncio.ensure_future(sink.broken())
        await sink.send(sent[10:20])
        await door.open_door()
        at = 20
        while at < 40:
            await sink.send(sent[at : at + 1])
            at += 1
            await asyncio.sleep(0.03)
        await outlet.reach(41)
        await until(lambda: sink.describe() == f"127.0.0.1:{door.port}", "the preferred collector is used again")
        assert not watching.done()
        await sink.send(items(41, 5))
        await outlet.reach(46)
        watching.cancel()
        await sink.close()
    assert b.numbers()[:10] == list(range(11, 21))
    assert sorted(a.numbers() + b.numbers()) == list(range(1, 46))


async def test_a_preferred_collector_that_is_ahead_is_reached_by_connecting_anew() -> None:
    """It holds frames whose acknowledgement was lost: the delivery has to read over them."""
    outlet = MemoryOutlet()
    a = MemoryIntake(marks={outlet.stream: MemoryMark(9, 1, outlet.incarnation, 0)})
    async with collector(a) as first, collector(MemoryIntake()) as second, Proxy(first.port) as door:
        await door.close_door()
        sink = grpc_sink(door.port, second.port, return_after=0.02)
        assert await sink.connect(outlet) == 1
        await door.open_door()
        with pytest.raises(SinkUnavailable, match="is there again"):
            await asyncio.wait_for(sink.broken(), DEADLINE)
        assert await sink.connect(outlet) == 9
        await sink.close()


async def test_a_move_waits_for_what_is_under_way_and_gives_up_when_it_does_not_get_through() -> None:
    slow, outlet = MemoryIntake(hold=True), MemoryOutlet()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(collector(MemoryIntake()))
        second = await stack.enter_async_context(collector(slow))
        door = await stack.enter_async_context(Proxy(first.port))
        await door.close_door()
        sink = grpc_sink(door.port, second.port, return_after=0.02)
        await sink.connect(outlet)
        type(sink).connect_timeout = 0.2  # of the looks at the other one: to connect takes longer on a busy machine
        await sink.send([Item(1, big_frame(1, 1000))])
        await door.open_door()
        await until(lambda: door.connections >= 3, "three looks at the preferred collector")
        assert sink.describe() == f"127.0.0.1:{second.port}"
        await until(lambda: slow.queued)
        slow.hold = False
        slow.sync()
        await until(lambda: sink.describe() == f"127.0.0.1:{door.port}", "the move")
        assert outlet.cursor == 2
        await sink.close()


def test_an_address_that_is_named_twice_is_a_config_error() -> None:
    with pytest.raises(ValueError, match="named twice"):
        grpc_sink(7420, 7420)
