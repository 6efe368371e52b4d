"""What a delivery does when the far side knows another history of the stream."""

import asyncio
from pathlib import Path

import pytest
from support.delivering import DEADLINE, Outpost, frame_draft, lines, until

from shipper.errors import StreamDisowned
from shipper.sinks.base import Backoff, Frame, Outlet
from shipper.units import Duration

from .test_delivery import NEVER_OPEN, ScriptedSink


def sink_that_knows_other_histories(times: int) -> tuple[ScriptedSink, list[bytes]]:
    """A sink whose far side disowns so many streams, and the ids under which it was asked."""
    sink = ScriptedSink(backoff=Backoff(min=Duration(30), max=Duration(60)), breaker=NEVER_OPEN)
    sink.setup()
    asked: list[bytes] = []

    def connect(outlet: Outlet) -> int:
        asked.append(outlet.stream)
        if len(asked) <= times:
            raise StreamDisowned("cloned", "a copy runs")
        return outlet.cursor

    sink.on_connect = connect
    return sink, asked


async def test_the_spool_takes_a_new_stream_id_and_goes_on_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        await outpost.append(frame_draft(lines("one")), frame_draft(lines("two")))
        old, incarnation = spool.stream, spool.incarnation
        sink, asked = sink_that_knows_other_histories(1)
        async with outpost.delivering(sink) as delivery:
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        assert asked == [old, spool.stream]
        assert spool.stream != old
        assert spool.incarnation != incarnation
        assert [item.seq for item in sink.given] == [1, 2]
        assert {item.body.stream for item in sink.given if isinstance(item.body, Frame)} == {spool.stream}
    assert outpost.metrics.value("shipper_sink_alarms_total", sink="out", kind="cloned") == 1
    assert outpost.metrics.value("shipper_sink_retries_total", sink="out", reason="disowned") == 1
    said = capsys.readouterr().err
    assert "a copy runs; the spool goes on under a new stream id, so nothing is lost" in said


async def test_a_far_side_that_disowns_every_stream_is_not_asked_without_end(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
        sink, asked = sink_that_knows_other_histories(1000)
        async with outpost.delivering(sink, uniform=lambda low, high: high):
            await until(lambda: len(asked) == 2)
            await asyncio.sleep(0.2)
            assert len(asked) == 2, "the second time it waits like after any other failure"


async def test_a_sink_that_was_happy_goes_on_under_the_new_id_at_its_own_cursor(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        await outpost.append(frame_draft(lines("one")))
        sink, asked = sink_that_knows_other_histories(0)
        async with outpost.delivering(sink) as delivery:
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
            old = spool.stream
            await spool.take_new_stream("another sink's collector disowned it")
            await until(lambda: len(asked) == 2)
            await outpost.append(frame_draft(lines("two")))
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        assert asked == [old, spool.stream]
        assert [(item.seq, item.body.stream) for item in sink.given if isinstance(item.body, Frame)] == [
            (1, old),
            (2, spool.stream),
        ]
    assert outpost.metrics.value("shipper_sink_retries_total", sink="out", reason="unavailable") == 0
