"""Runs the sources of a pipeline: each in a task of its own, started again when it failed for a while."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from shipper.budget import Budget
from shipper.chain.run import Chain
from shipper.config import Config
from shipper.errors import ConfigError, SourceError, SpoolError
from shipper.intake import SourceIntake
from shipper.log import get_logger
from shipper.metrics import Registry
from shipper.readiness import Readiness
from shipper.sinks.backoff import Delays
from shipper.sinks.base import Backoff
from shipper.spool.spool import Spool

if TYPE_CHECKING:
    from shipper.sources.base import Source

_BUDGET: Final = 4 * 1024 * 1024
_WORKERS: Final = 2
_RESTART: Final = Backoff()
log = get_logger("shipper")


class Sources:
    """The sources of one process, each with a chain and an intake of its own."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        metrics: Registry,
        readiness: Readiness,
        fatal: Callable[[BaseException], None],
        *,
        once: bool,
    ) -> None:
        """``fatal`` is told of an error with which the process must end."""
        self._config = config
        self._spool = spool
        self._metrics = metrics
        self._readiness = readiness
        self._fatal = fatal
        self._once = once
        self.failed: dict[str, str] = {}
        """Sources that ended, and why."""
        self.intakes: dict[str, SourceIntake] = {}
        self._chains: list[Chain] = []
        self._workers = ThreadPoolExecutor(min(_WORKERS, len(config.sources)), thread_name_prefix="chain")
        self._budget = Budget(_BUDGET)

    def start(self) -> list["asyncio.Task[None]"]:
        """One task a source; with ``run --once`` it ends when the source has read everything."""
        return [asyncio.create_task(self._source(name), name=f"source/{name}") for name in self._config.sources]

    @property
    def writing(self) -> bool:
        """The spool's writer has batches in hand."""
        return any(intake.in_hand > intake.working for intake in self.intakes.values())

    @property
    def settled(self) -> int:
        """Changes whenever the spool's writer finished one."""
        return sum(intake.settled for intake in self.intakes.values())

    def settling(self) -> list["asyncio.Task[None]"]:
        """Tasks that end once everything that was taken is durable."""
        return [asyncio.create_task(intake.settle()) for intake in self.intakes.values()]

    def close(self) -> bool:
        """Tear the chains down; True when a processor hangs in its worker thread, so that they cannot be."""
        stuck = any(intake.working for intake in self.intakes.values())
        if not stuck:
            for chain in self._chains:
                chain.teardown()
        self._workers.shutdown(wait=not stuck, cancel_futures=True)
        return stuck

    async def _source(self, name: str) -> None:
        """Run one source; start it again when it failed for a while."""
        source: Source = self._config.sources[name]
        delays = Delays(_RESTART)
        while True:
            began = time.monotonic()
            try:
                await self._run_source(name, source)
            except (SpoolError, ConfigError) as error:
                return self._fatal(error)
            except Exception as error:  # noqa: BLE001 - a source may be anybody's code; the others go on
                why = str(error) if isinstance(error, SourceError) else repr(error)
                self.failed[name] = why
                self._readiness.source_died(name, why)
                if isinstance(error, SourceError) and not error.retriable:
                    return self._fatal(error)
                if not isinstance(error, SourceError):
                    log.error("a source crashed", source=name, exc=error, every=60.0, key=(name, type(error)))
                    if self._once:
                        return self._fatal(SourceError(f"source {name} crashed: {why}"))
                else:
                    log.warning("a source is not available", source=name, why=why, every=60.0, key=name)
            else:
                if self._once:
                    return None
                log.info("a source has ended: there is nothing more to read", source=name)
                await asyncio.Event().wait()
            if time.monotonic() - began > _RESTART.max:
                delays.reset()
            await asyncio.sleep(delays.next())
            self.failed.pop(name, None)

    async def _run_source(self, name: str, source: "Source") -> None:
        """One life of a source, with a chain of its own that goes on from what is durable."""
        chain = self._chain(name, source)
        intake = self._intake(name, source, chain)
        try:
            await source.run(intake, once=self._once)
        except asyncio.CancelledError:
            raise  # the drain settles what was taken
        except BaseException:
            await intake.settle()
            self._chains.remove(chain)
            chain.teardown()
            raise

    def _chain(self, name: str, source: "Source") -> Chain:
        specs = [spec.fresh() for spec in (*source.processors, *self._config.processors)]  # sources share no instance
        return Chain(specs, name, lambda: self._spool.dead_letter_room, self._spool.state)

    def _intake(self, name: str, source: "Source", chain: Chain) -> SourceIntake:
        batch = self._config.batch
        intake = self.intakes[name] = SourceIntake(
            name,
            {**self._config.labels, "source": name, **source.labels},
            chain,
            self._spool,
            self._metrics,
            self._budget,
            self._workers,
            batch.max_bytes,
            batch.max_delay,
        )
        self._chains.append(chain)
        self._readiness.source_runs(name)
        self._metrics.gauge_function("shipper_source_problems", lambda: len(source.problems()), source=name)
        progress = partial(getattr, intake, "progress")
        self._readiness.watch("source", name, partial(getattr, intake, "unread"), progress)
        self._readiness.watch("chain", name, partial(getattr, intake, "in_hand"), progress)
        self._readiness.guard("chain", name, partial(getattr, intake, "working"), progress)
        return intake
