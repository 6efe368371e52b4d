"""Wires a config into a running pipeline.

Start: spool, deliveries, sources, admin: a sink is ready before anything is read. Stop is the other way round: sources
first; then what they took becomes durable; then the sinks may catch up for ``shutdown_timeout``; then the spool is
sealed. Whatever is cut short comes again after the next start, because positions become durable with their data.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from shipper import lean
from shipper.admin import Admin
from shipper.config import Config
from shipper.control import Control
from shipper.errors import ShipperError, SinkUnavailable, SourceError, SpoolError
from shipper.gauges import follow
from shipper.log import get_logger
from shipper.losses import Losses, limits
from shipper.metrics import Registry
from shipper.notify import ServiceManager
from shipper.pace import Pace
from shipper.readiness import STALL, Readiness
from shipper.sinks.delivery import Delivery
from shipper.spool.files import Damage
from shipper.spool.spool import Spool
from shipper.status import headline, status
from shipper.supervise import Sources

if TYPE_CHECKING:
    from shipper.ledger.keeper import Keeper
    from shipper.replay import Replays

_SETTLE: Final = 20
"""Tenths of a second that the start-up line waits for the sources to look around and the sinks to connect."""
_STARTED: Final = 2.0
"""Seconds after which what only the start needed is given back."""
log = get_logger("shipper")


class Pipeline:
    """One agent or collector. ``run`` is its whole life."""

    def __init__(self, config: Config, *, once: bool = False) -> None:
        """Open the spool; nothing is read or sent yet.

        :raises SpoolError: the data directory cannot be used; the message says why.
        :raises FutureFormat: a newer shipper wrote it.
        """
        self.config = config
        self.once = once
        self.metrics = Registry()
        self.started = time.monotonic()
        self.spool = Spool(
            config.data_dir / "spool",
            config.spool.max_bytes,
            config.dead_letters.max_bytes,
            list(config.sinks),
            config.spool.min_free,
            limits=limits(config.sinks),
        )
        self.ledger: Keeper | None = None
        if any(source.collects for source in config.sources.values()):
            from shipper.ledger import keeper  # and with it SQLite, which no agent needs

            self.ledger = keeper.Keeper(config.data_dir, self.spool)
        self.feeds = {name: self.spool.subscribe(name) for name in config.sinks}
        self.deliveries = {name: self._delivery(name) for name in config.sinks}
        self._stop = asyncio.Event()
        self._deadline = 0.0
        self.stuck = False
        """After ``run``: a processor hangs in its worker thread. Only the end of the process ends it."""
        self._error: ShipperError | None = None
        self.spool.on_damage = self._damaged
        self.spool.on_failure = self._fatal
        self.spool.upkeep.on_dropped = Losses(self.metrics, self.spool, config.sinks).dropped
        self.pace = Pace(self.feeds, config.spool.max_bytes, lambda: self.spool.blocked, lambda: self.spool.disk_room)
        follow(self.metrics, self.spool, self.feeds, self.pace)
        self.readiness = Readiness(self.metrics, spool_fill=self._fill, blocked_by=lambda: self.spool.blocked_by)
        for name, feed in self.feeds.items():
            waiting, cursor = partial(getattr, feed, "backlog_bytes"), partial(getattr, feed, "cursor")
            self.readiness.watch("sink", name, waiting, cursor, partial(getattr, self.deliveries[name], "state"))
            self.readiness.guard("sink", name, partial(self._must_move, name), cursor)
        self.sources = Sources(config, self.spool, self.metrics, self.readiness, self._fatal, once=once)
        self.readiness.guard(
            "spool", "writer", lambda: self.sources.writing and not self.spool.blocked, lambda: self.sources.settled
        )
        self.control = Control(config.data_dir, {"forget": self._forget, "replay": self._replay})
        self.replays: Replays | None = None
        """Made when dead letters are first replayed."""
        self.manager = ServiceManager()
        self.admin = (
            Admin(
                config.admin.listen,
                self.metrics,
                self.readiness.check,
                partial(status, self),
                partial(self.readiness.alive, STALL),
            )
            if config.admin
            else None
        )

    def _delivery(self, name: str) -> Delivery:
        return Delivery(
            name,
            self.config.sinks[name],
            self.feeds[name],
            self.spool,
            labels=self.config.labels,
            state_dir=self.config.data_dir / "sinks" / name,
            metrics=self.metrics,
            once=self.once,
        )

    def _must_move(self, name: str) -> bool:
        """The sink has frames to deliver, and neither the far side nor the disk holds it up."""
        delivery = self.deliveries[name]
        room = self.spool.blocked_by in {None, "max_bytes"}  # else not even a refusal can be noted
        return delivery.up and not delivery.caught_up and room and not self.config.sinks[name].held_up()

    def _fill(self) -> float:
        return 1.0 if self.spool.blocked else self.spool.used / self.spool.max_bytes

    def _damaged(self, damage: Damage) -> None:
        size = damage.end - damage.start
        if not damage.acknowledged:
            log.warning("the end of the spool is unknown after a crash: files are read again from there", bytes=size)
            return
        self.metrics.counter("shipper_lost_bytes_total", reason="corrupt").add(size)
        log.error(
            "part of the spool is damaged: a copy is in quarantine, the rest goes on",
            segment=damage.segment,
            offset=damage.start,
            bytes=size,
            first=damage.first,
            last=damage.last,
            reason=damage.reason,
        )

    async def _forget(self, request: dict[str, Any]) -> dict[str, Any]:
        """The command ``shipper spool forget``."""
        return {"freed_bytes": await self.spool.forget(str(request.get("sink")))}

    async def _replay(self, request: dict[str, Any]) -> dict[str, Any]:
        """The command ``shipper dlq replay``."""
        if self.replays is None:
            from shipper.replay import Replays  # what few processes are ever asked for

            self.replays = Replays(self.config, self.spool, self.sources, self.metrics)
        return await self.replays.handle(request)

    def stop(self) -> None:
        """Begin to drain and stop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until ``stop`` is called, or with ``once`` until everything is acknowledged.

        :raises ShipperError: it had to end: a source cannot be used as configured, or the disk refused.
        """
        await self.sources.prepare()
        if self.admin is not None:
            await self.admin.start()
        await self.control.start()
        self.spool.start()
        for damage in self.spool.damages:
            self._damaged(damage)
        deliveries = [asyncio.create_task(d.run(), name=f"sink/{n}") for n, d in self.deliveries.items()]
        for task in deliveries:
            task.add_done_callback(self._delivery_ended)
        sources = self.sources.start()
        others = [
            asyncio.create_task(self._greet()),
            asyncio.create_task(_forget_start()),
            asyncio.create_task(self.readiness.run()),
            asyncio.create_task(self.pace.run()),
            asyncio.create_task(self.manager.run(self.readiness.alive, partial(headline, self))),
        ]
        if self.ledger is not None:
            others.append(asyncio.create_task(self.ledger.run()))
        try:
            await self._wait(sources)
        finally:
            self.manager.stopping()
            self._deadline = time.monotonic() + self.config.shutdown_timeout
            reading = [*sources, *(self.replays.stop() if self.replays is not None else ())]
            await self._at_most([asyncio.ensure_future(_cancel(reading))])
            await self._drain(deliveries)
            await _cancel(others)
            self.manager.close()
            if self.admin is not None:
                await self.admin.close()
        if self._error is not None:
            raise self._error

    async def _wait(self, sources: Sequence["asyncio.Task[None]"]) -> None:
        """Until stopped; with ``once`` until the sources have read everything."""
        waits: list[asyncio.Future[Any]] = [asyncio.create_task(self._stop.wait())]
        if self.once:
            waits.append(asyncio.ensure_future(asyncio.wait(sources)))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(waits)

    async def _drain(self, deliveries: Sequence["asyncio.Task[None]"]) -> None:
        """Let what was taken become durable, let the sinks catch up, stop them, seal the spool."""
        if not self.spool.blocked or not self._stop.is_set():  # run --once waits for room
            await self._at_most(self.sources.settling())
        if self._error is None:
            await self._catch_up()
        self._say_what_is_left()
        await _cancel(deliveries)
        self.stuck = self.sources.close()
        await self.control.close()
        try:
            await self.spool.close()
        except SpoolError as error:
            self._error = self._error or error
        if self.ledger is not None:
            await self.ledger.close()

    async def _at_most(self, tasks: Sequence["asyncio.Future[Any]"]) -> None:
        """Wait for tasks; once a stop was asked for, no longer than ``shutdown_timeout`` says."""
        if tasks and not self._stop.is_set():
            await self._until_stopped(tasks)
        if tasks:
            left = max(0.0, self._deadline - time.monotonic())
            await asyncio.wait(tasks, timeout=left)

    async def _until_stopped(self, tasks: Sequence["asyncio.Future[Any]"]) -> None:
        """Wait for tasks, or until a stop is asked for; what is left then has ``shutdown_timeout``."""
        everything = asyncio.ensure_future(asyncio.wait(tasks))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({everything, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await _cancel([everything, stopped])
        self._deadline = time.monotonic() + self.config.shutdown_timeout

    def _say_what_is_left(self) -> None:
        left = sum(feed.backlog_frames for feed in self.feeds.values())
        if left and self.once and self._error is None:
            text = f"stopped before everything was delivered: {left} frames go with the next run"
            self._error = SinkUnavailable(text)
        elif left:
            log.warning("stopped before everything was delivered; the rest goes after the next start", frames=left)
        elif self.once and self._error is None:
            value, names = self.metrics.value, self.config.sources
            read = sum(value("shipper_records_total", source=name, stage="read") or 0 for name in names)
            if problems := [problem for source in names.values() for problem in source.problems()]:
                self._error = SourceError(f"not everything was read, the rest is delivered: {'; '.join(problems)}")
            else:
                log.info("everything is delivered", read=int(read))

    async def _catch_up(self) -> None:
        """Wait for the sinks: ``run --once`` for every acknowledgement, a stop for at most ``shutdown_timeout``."""
        waiting = [asyncio.create_task(delivery.wait_caught_up()) for delivery in self.deliveries.values()]
        if not self._stop.is_set():
            await self._until_stopped(waiting)
        if self._error is None:  # it may have come meanwhile: then nobody waits for what a deadline allows
            await self._at_most(waiting)
        await _cancel(waiting)

    def _delivery_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    def _fatal(self, error: BaseException) -> None:
        self._error = self._error or (error if isinstance(error, ShipperError) else SpoolError(repr(error)))
        self._stop.set()

    async def _greet(self) -> None:
        """Say that it runs, and what is seen: ``watching 3 files (2 MiB) → central collector:7420 connected``."""
        for _ in range(_SETTLE):
            await asyncio.sleep(0.1)
            known = all(source.greeting() is not None for source in self.config.sources.values())
            if known and all(delivery.up for delivery in self.deliveries.values()):
                break
        sinks = ", ".join(
            " ".join(filter(None, (name, self.config.sinks[name].describe(), delivery.state)))
            for name, delivery in self.deliveries.items()
        )
        for name, source in self.config.sources.items():
            seen = "; ".join(filter(None, (source.greeting() or source.describe(), self.sources.failed.get(name))))
            line = f"{seen} → {sinks}"
            log.info(line, source=name)
        self.manager.ready()


async def _forget_start() -> None:
    await asyncio.sleep(_STARTED)
    lean.forget_start()


async def _cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
