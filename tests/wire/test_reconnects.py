"""Whatever happens to the connection and to the collector, each number is at the collector once, in order."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.proxy import Proxy
from support.wire import DEADLINE, MemoryIntake, MemoryOutlet, collector, deliver, frame, grpc_sink, until

from shipper.sinks.base import Gap, Item

FAULTS = ["cut", "stall", "stall up", "stall down", "slow", "door", "hold", "sync some", "rest"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    faults=st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 3)), max_size=8),
    gaps=st.sets(st.integers(1, 60), max_size=5),
    budget=st.sampled_from([64 * 1024, 64 * 1024 * 1024]),
)
def test_any_interleaving_of_faults_gives_each_number_once_in_order(
    faults: list[tuple[str, int]], gaps: set[int], budget: int
) -> None:
    asyncio.run(_deliver_under(faults, gaps, budget))


async def _deliver_under(faults: list[tuple[str, int]], gaps: set[int], budget: int) -> None:
    intake, outlet = MemoryIntake(), MemoryOutlet()
    sent = [Item(n, Gap(n, n, 1, "lost") if n in gaps else frame(n, "x" * 30)) for n in range(1, 61)]
    async with collector(intake, budget_bytes=budget, ack_interval=0.05) as source, Proxy(source.port) as proxy:
        sink = grpc_sink(proxy.port, ack_deadline=0.3, connect_timeout=0.3)
        delivering = asyncio.create_task(_in_small_steps(sink, outlet, sent))
        for fault, pause in faults:
            await _inject(fault, proxy, intake)
            await asyncio.sleep(pause * 0.01)
        proxy.resume()
        proxy.delay = 0.0
        await proxy.open_door()
        intake.hold = False
        intake.sync()
        await asyncio.wait_for(delivering, DEADLINE)
    assert intake.numbers() == list(range(1, 61))
    assert outlet.cursor == 61


async def _in_small_steps(sink: Any, outlet: MemoryOutlet, sent: list[Item]) -> None:
    for end in range(5, len(sent) + 1, 5):
        await deliver(sink, outlet, sent[:end])


async def _inject(fault: str, proxy: Proxy, intake: MemoryIntake) -> None:
    def hold() -> None:
        intake.hold = True

    def slow() -> None:
        proxy.delay = 0.01

    actions: dict[str, Callable[[], object]] = {
        "cut": proxy.cut,
        "stall": proxy.stall,
        "stall up": lambda: proxy.stall("up"),
        "stall down": lambda: proxy.stall("down"),
        "slow": slow,
        "hold": hold,
        "sync some": lambda: intake.sync(3),
        "rest": proxy.resume,
    }
    if fault == "door":
        await proxy.close_door()
    else:
        actions[fault]()


async def test_a_collector_that_is_killed_with_frames_queued_gets_them_again() -> None:
    intake, outlet = MemoryIntake(hold=True), MemoryOutlet()
    sent = [Item(n, frame(n)) for n in range(1, 31)]
    async with Proxy(0) as proxy:
        sink = grpc_sink(proxy.port)
        delivering = asyncio.create_task(deliver(sink, outlet, sent))
        for durable in (7, 12):
            async with collector(intake, stop_grace=0.0) as source:
                proxy.target = source.port
                await until(lambda: len(intake.queued) >= 5)
                intake.sync(durable)
                for taken in intake.queued:
                    taken.durable.cancel()
                intake.queued.clear()
            proxy.cut()
        intake.hold = False
        async with collector(intake) as source:
            proxy.target = source.port
            await asyncio.wait_for(delivering, DEADLINE)
    assert intake.numbers() == list(range(1, 31))
