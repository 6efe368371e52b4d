"""Agents and collectors on simulated machines: shipper's own parts, put together as its pipeline does."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from simulation.network import Network
from simulation.padding import Pad, Step
from simulation.process import Machine, Process
from support.simdisk import SimDisk, Survival

from shipper.budget import Budget
from shipper.chain.run import Chain
from shipper.errors import ShipperError, SpoolError
from shipper.intake import SourceIntake
from shipper.metrics import Registry
from shipper.sinks.base import Sink
from shipper.sinks.delivery import Delivery
from shipper.sinks.sharing import Sharing
from shipper.spool.spool import Spool

MAX_BYTES: Final = 2 * 1024 * 1024
"""Of a spool: segments of 128 KiB, so that they end often."""
LATENCY: Final[tuple[float, ...]] = (0.0, 0.0, 0.0, 0.0005, 0.01)
"""Seconds that steps of a disk take."""
_LETTERS: Final = 64 * 1024
_BUDGET: Final = 256 * 1024
_SHUTDOWN: Final = 5.0
MOST_HELD: Final = _BUDGET + 4 * 64 * 1024
"""Bytes that a node may hold of what is not durable: its budget, and the batches that it may take at once."""
MOST_ON_DISK: Final = 2 * MAX_BYTES
"""A spool, and what stands beside it."""


class Node(Machine):
    """A machine with a spool on its disk, and the process that has it open."""

    def __init__(self, network: Network, name: str, *, framed: bool) -> None:
        """``framed``: it has a processor, and makes frames anew."""
        super().__init__(network.world, name)
        self._framed = framed
        self.network = network
        self.disk = SimDisk()
        self.process: Process | None = None
        self.spool: Spool | None = None
        self.lives = 0
        self.failures = 0
        """Times that the process ended because its disk refused."""
        self._budget = Budget(_BUDGET)
        self.latency = LATENCY
        """Seconds that a step of the disk takes: one of these."""
        self._fuse = 0
        self._burns: Callable[[], object] = lambda: None
        self._stop = asyncio.Event()

    @property
    def held(self) -> int:
        """Bytes that it took and that are not durable."""
        return self._budget._used

    # What happens to it

    def start(self) -> None:
        """Start the process, if it is not there."""
        if self.process is None:
            self.lives += 1
            self.spool = None
            self._stop = asyncio.Event()
            self.disk.before = self._before_step
            self.disk.trace.clear()
            self.process = Process(self, self._main())
            self.process.main.add_done_callback(lambda _: self.world.at(0.0, f"{self.name} ends", self._ended))

    def kill(self) -> None:
        """As kill -9 does; the next process sees all that this one wrote."""
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            self.disk.kill()
            self.network.died(process, silently=False)

    def cut_power(self, data: Survival, names: Survival) -> None:
        """The machine is gone with all that was not synced."""
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            self.network.died(process, silently=True)
        capacity = self.disk.capacity
        self.disk = self.disk.power_cut(data, names, self.world.dice)
        self.disk.capacity = capacity

    def stop(self) -> None:
        """SIGTERM: drain and end."""
        self._stop.set()

    def _ended(self) -> None:
        process = self.process
        if process is None or not process.main.done():
            return
        error = process.main.exception()
        if isinstance(error, ShipperError):
            self.failures += 1
        elif error is not None:
            self.world.complain(f"{self.name} ended with {error!r}")
        self.kill()
        self.world.at(self.world.dice.uniform(0.2, 3.0), f"{self.name} starts", self.start)

    def after_steps(self, steps: int, action: Callable[[], object]) -> None:
        """Do something once the disk has made so many more steps: that is when a process is at work."""
        self._fuse, self._burns = steps, action

    def _before_step(self) -> None:
        self._fuse -= 1
        if self._fuse == 0:
            self.world.at(0.0, f"{self.name} fuse", self._burns)
        strand = self.world.strand
        if strand is not None:
            strand.pause(self.world.dice.choice(self.latency))

    # The process

    async def _main(self) -> None:
        spool = await asyncio.to_thread(self._open)
        self.spool = spool
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_failure(error: SpoolError) -> None:
            if not failed.done():
                failed.set_exception(error)

        spool.on_failure = on_failure
        sources, deliveries = self._begin(spool)
        spool.start()
        reading = [asyncio.ensure_future(one) for one in sources]
        delivering = [asyncio.ensure_future(one.run()) for one in deliveries]
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            done, _ = await asyncio.wait([failed, stopping, *reading, *delivering], return_when=asyncio.FIRST_COMPLETED)
            for one in done - {stopping}:
                await one
            await _cancel(reading)
            settled = [asyncio.ensure_future(intake.settle()) for intake in self.intakes]
            settled += [asyncio.ensure_future(one.wait_caught_up()) for one in deliveries]
            await asyncio.wait(settled, timeout=_SHUTDOWN)
            await _cancel(settled)
        finally:
            await _cancel([*reading, *delivering, stopping, failed])
            await spool.close()

    def _open(self) -> Spool:
        return Spool(
            Path("/simulated"), MAX_BYTES, _LETTERS, self.sinks, limits=self.limits, disk=lambda _root: self.disk
        )

    @property
    def sinks(self) -> Sequence[str]:
        """Their names."""
        return ("central",)

    @property
    def limits(self) -> dict[str, int | None]:
        """The sinks that may drop."""
        return {}

    @abstractmethod
    def _begin(self, spool: Spool) -> tuple[list[Any], list[Delivery]]:
        """What runs the sources, and the deliveries."""

    def _intake(self, spool: Spool, source: str, sharing: Sharing) -> SourceIntake:
        chain = Chain([Step("pad", Pad())] if self._framed else [], source, lambda: 0)
        self.metrics = Registry()
        self._budget = Budget(_BUDGET)
        intake = SourceIntake(
            source,
            {"host": self.name},
            chain,
            spool,
            self.metrics,
            self._budget,
            cast(Any, None),
            64 * 1024,
            0.1,
            sharing=sharing,
        )
        self.intakes = [intake]
        return intake

    def _delivery(self, name: str, sink: Sink, spool: Spool) -> Delivery:
        return Delivery(
            name,
            sink,
            spool.subscribe(name),
            spool,
            labels={"host": self.name},
            state_dir=Path("/simulated/sinks"),
            metrics=self.metrics,
            once=False,
            clock=self.monotonic,
            uniform=self.world.dice.uniform,
        )


async def _cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
