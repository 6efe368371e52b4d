"""Runs the sources of a pipeline: each in a task of its own, started again when it failed for a while."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

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
from shipper.sinks.sharing import Sharing
from shipper.spool.spool import Spool

if TYPE_CHECKING:
    from shipper.chain.line import Line
    from shipper.chain.parcels import Recipe
    from shipper.chain.workers import Workers
    from shipper.config import ProcessorSpec
    from shipper.sources.base import Source

_BUDGET: Final = 4 * 1024 * 1024
_THREADS: Final = 2
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
        self._threads = ThreadPoolExecutor(min(_THREADS, len(config.sources)), thread_name_prefix="chain")
        self._own_threads: dict[str, ThreadPoolExecutor] = {}
        """Sources with a processor in a process of its own: waiting for that must not hold up others."""
        self._workers: Workers | None = None
        self._budget = Budget(_BUDGET)

    async def prepare(self) -> None:
        """Start the worker processes, where the config asks for some and has something for them to do.

        :raises ConfigError: they cannot be started.
        """
        specs = {name: self._config.chain_of(name) for name in self._config.sources}
        chains = {name: chain for name, chain in specs.items() if chain and not _isolated(chain)}
        if self._config.workers and chains:
            from shipper.chain.workers import Workers  # what few configs need

            workers = Workers(self._config.workers, self._fatal)
            await workers.start([self._recipe(name) for name in chains])
            self._workers = workers

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
        if self._workers is not None:
            self._workers.close()
        for threads in (self._threads, *self._own_threads.values()):
            threads.shutdown(wait=not stuck, cancel_futures=True)
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
                    return self._fatal(SourceError(f"source {name}: {why}"))
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
        chain = await self._chain(name)
        intake = self._intake(name, source, chain)
        try:
            await _unless_broken(source.run(intake, once=self._once), intake.broken)
        except asyncio.CancelledError:
            raise  # the drain settles what was taken
        except BaseException:
            await intake.end()
            await intake.settle()
            intake.close()
            self._chains.remove(chain)
            chain.teardown()
            raise

    async def _chain(self, name: str) -> Chain:
        specs = [spec.fresh() for spec in self._config.chain_of(name)]  # sources share no instance
        make = partial(Chain, specs, name, lambda: self._spool.dead_letter_room, self._spool.state)
        if not _isolated(specs):
            return make()
        self._own_threads.setdefault(name, ThreadPoolExecutor(1, thread_name_prefix=f"chain-{name}"))
        making = asyncio.get_running_loop().run_in_executor(self._own_threads[name], make)  # it waits for a process
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_tear_down)
            raise

    def _recipe(self, name: str) -> "Recipe":
        from shipper.chain.parcels import Recipe, Step

        steps = tuple(Step(spec.name, spec.place, spec.fresh().processor) for spec in self._config.chain_of(name))
        return Recipe(name, self._config.labels_of(name), steps, self._spool.max_frame)

    def _line(self, name: str, chain: Chain) -> "Line | None":
        """The chain's place in the workers, where it has one: those that wait for processes of their own have none."""
        if self._workers is None or chain.empty or chain.isolated:
            return None
        mine = {key: value for key, value in self._spool.state.items() if key.startswith(f"processor/{name}/")}
        return self._workers.open(self._recipe(name), mine, bound=chain.stateful)

    def _intake(self, name: str, source: "Source", chain: Chain) -> SourceIntake:
        batch = self._config.batch
        line = self._line(name, chain)
        if line is not None:
            chain.teardown()  # it was made to see whether it can be
        intake = self.intakes[name] = SourceIntake(
            name,
            self._config.labels_of(name),
            chain,
            self._spool,
            self._metrics,
            self._budget,
            self._own_threads.get(name, self._threads),
            batch.max_bytes,
            batch.max_delay,
            line,
            self._workers.room if self._workers is not None else 0,
            Sharing(self._config.sinks.values()),
        )
        self._chains.append(chain)
        self._readiness.source_runs(name)
        self._metrics.gauge_function("shipper_source_problems", lambda: len(source.problems()), source=name)
        progress = partial(getattr, intake, "progress")
        self._readiness.watch("source", name, partial(getattr, intake, "unread"), progress)
        self._readiness.watch("chain", name, partial(getattr, intake, "in_hand"), progress)
        self._readiness.guard("chain", name, lambda: intake.processing > 0, progress)
        return intake


def _isolated(specs: "list[ProcessorSpec]") -> bool:
    return any(spec.processor.isolation is not None for spec in specs)


def _tear_down(making: "asyncio.Future[Chain]") -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().teardown()


async def _unless_broken(run: Coroutine[Any, Any, None], broken: "asyncio.Future[None] | None") -> None:
    """Run a source to its end, or until ``broken`` fails: it may wait for news that have come already."""
    if broken is None:
        return await run
    running = asyncio.ensure_future(run)
    try:
        await asyncio.wait({running, broken}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        running.cancel()
        await asyncio.wait({running})
    if broken.done():
        broken.result()
    return running.result()
