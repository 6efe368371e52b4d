"""What a collector's operator sees of its port, while real senders come and go."""

import asyncio
import math

from support.wire import MemoryIntake, RawSender, collector, frame, until

from shipper.v1 import ingest_pb2 as pb
from shipper.wire.meter import REASONS


async def test_senders_their_bytes_and_what_is_held_are_counted() -> None:
    intake = MemoryIntake(hold=True)
    value = intake.metrics.value
    first = frame(1)
    async with collector(intake) as source:
        budget = source.budget_bytes
        assert value("shipper_source_connections", source="edge") == 0
        assert value("shipper_source_receive_budget_bytes", source="edge") == budget
        async with RawSender(source.port) as sender:
            await sender.hello()
            assert value("shipper_source_connections", source="edge") == 1
            await sender.frames(1, [first])
            await until(lambda: intake.queued)
            assert value("shipper_source_receive_used_bytes", source="edge") == len(first.raw)
            intake.sync()
            await sender.acked(2)
            assert value("shipper_source_receive_used_bytes", source="edge") == 0
            await sender.frames(1, [first])
            await until(lambda: value("shipper_source_received_bytes_total", source="edge") == 2 * len(first.raw))
        await until(lambda: value("shipper_source_connections", source="edge") == 0)
    assert 0 < value("shipper_source_window_bytes", source="edge") <= budget
    assert value("shipper_source_certificate_ends_seconds", source="edge") == math.inf


async def test_refusals_are_counted_by_the_reason_that_the_log_names() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        assert f'reason="{pb.Refused.Reason.Name(pb.Refused.PROTOCOL)}"}} 0\n' in intake.metrics.render()
        await sender.hello()
        await sender.frames(4, [frame(4)])
        await sender.refused()
        _, writer = await asyncio.open_connection("127.0.0.1", source.port)
        writer.close()
    counted = {
        reason: intake.metrics.value("shipper_source_refused_total", source="edge", reason=reason) for reason in REASONS
    }
    assert counted == {reason: int(reason == "PROTOCOL") for reason in REASONS}


async def test_a_collector_that_stops_refuses_nobody() -> None:
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
    assert all(
        intake.metrics.value("shipper_source_refused_total", source="edge", reason=reason) == 0 for reason in REASONS
    )
