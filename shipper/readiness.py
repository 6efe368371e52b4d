"""Is this process doing its work? The answer behind ``/readyz``.

It believes facts, not the tasks that do the work: bytes that wait, and a position that moves when they are
acknowledged. When bytes wait and the position has stood still for ``STALL`` seconds the answer is no, whatever anybody
thinks of their own state; so a stuck task cannot be "Ready but dead". It is asked by whoever fetches ``/readyz`` and by
its own ticker, which nothing in the pipeline can hold up. (A stuck event loop answers nobody: that is a no as well.)

It is red when
- bytes wait for a sink, or a lot of them in a source, and nothing moved for ``STALL`` seconds;
- a batch is in the chain or on its way to the disk, and none got on for ``STALL`` seconds;
- the spool is ``FULL`` full: at 100 % the sources stop reading;
- a source died.

Beside it stands a second question, that of the service manager's watchdog and of ``/healthz``: ``alive``. It is not
about the work, which an outage of the network holds up for hours, but about this process: does something stand still
here that nobody outside holds up? Then a restart helps, and nothing else does.

No I/O and no clock of its own: ``check`` is a function of what the probes say and of the clock that it was given.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shipper.log import get_logger
from shipper.metrics import Registry

STALL: Final = 30.0
"""Seconds without progress, while something waits, after which the answer is no."""
FULL: Final = 0.8
"""The share of the spool's max_bytes from which on the answer is no."""
HALF_LINES: Final = 1024 * 1024
"""Bytes that may lie in a source unread for ever: a file may end in half a line, and a line that is not whole is not
read. It is what one line can have; more than that in the half lines of many files would be odd.
"""
TICK: Final = 5.0
"""Seconds between two looks of the ticker."""

_HANGS: Final = {
    "sink": "is connected, has frames to send, and neither sends nor waits for an answer",
    "chain": "a processor has not returned",
    "spool": "the writer has frames and room for them, and finishes none",
}
"""What it means when a place stands still that nobody outside holds up."""
_WORDS: Final = {"sink": ("bytes", "acknowledged"), "source": ("bytes", "read"), "chain": ("batches", "finished")}
"""What waits in each kind of place, and what should become of it."""

log = get_logger("readiness")


@dataclass(slots=True)
class _Watch:
    pending: Callable[[], int]
    position: Callable[[], int]
    harmless: int
    """So many bytes may wait for ever."""
    says: Callable[[], str] | None = None
    last: int = 0
    since: float | None = None
    """When bytes were first seen waiting at ``last``; None: nothing waits."""


class Readiness:
    """Answers for one process. All methods are called on the event loop's thread."""

    def __init__(
        self,
        registry: Registry,
        *,
        spool_fill: Callable[[], float] = lambda: 0.0,
        blocked_by: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``spool_fill`` is the used share of the spool, 0 to 1; ``blocked_by`` says why it takes nothing, while it
        does not; ``clock`` counts seconds and never goes back.
        """
        self._gauge = registry.gauge("shipper_ready")
        self._fill = spool_fill
        self._blocked_by = blocked_by
        self._clock = clock
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._guards: dict[tuple[str, str], _Watch] = {}
        self._dead: dict[str, str] = {}
        self._was: bool | None = None

    def watch(
        self,
        kind: str,
        name: str,
        pending: Callable[[], int],
        position: Callable[[], int],
        says: Callable[[], str] | None = None,
    ) -> None:
        """Look after one place where bytes may wait.

        ``kind`` is ``sink``, ``source`` or ``chain``; ``pending`` says how many bytes (``chain``: batches) wait there,
        ``position`` is a number that changes whenever some of them got through (a cursor, a sequence number). Both
        return at once. What waits in a source counts when it is more than ``HALF_LINES``. ``says`` is what the place
        thinks of itself: it is shown, and not believed.
        """
        self._watches[kind, name] = _Watch(pending, position, HALF_LINES if kind == "source" else 0, says)

    def guard(self, kind: str, name: str, busy: Callable[[], bool], position: Callable[[], int]) -> None:
        """Look after one thing that this process has in hand, for ``alive``.

        ``kind`` is ``sink``, ``chain`` or ``spool``; ``busy`` says that it is in hand and nobody outside holds it up,
        ``position`` is a number that changes whenever it gets on. Both return at once.
        """
        self._guards[kind, name] = _Watch(lambda: int(busy()), position, 0)

    def alive(self, allowed: float) -> bool:
        """Nothing that this process has in hand stood still for ``allowed`` seconds. To be asked more often than that.

        An unreachable or slow far side, a full spool, a full disk and quiet sources leave it true.
        """
        now = self._clock()
        stuck = [
            f"{kind} {name}: {_HANGS[kind]} for {stalled:.0f} s"
            for (kind, name), watch in self._guards.items()
            if (stalled := self._look(watch, now)[1]) >= allowed
        ]
        if stuck:
            log.error("this process hangs: only a restart helps", reasons=stuck, every=60.0)
        return not stuck

    def forget(self, kind: str, name: str) -> None:
        """Nobody needs that place any more."""
        self._watches.pop((kind, name), None)
        if kind == "source":
            self._dead.pop(name, None)

    def source_died(self, name: str, reason: str) -> None:
        """A source stopped although it should run; it stays red until ``source_runs``."""
        self._dead[name] = reason

    def source_runs(self, name: str) -> None:
        """A source that died runs again."""
        self._dead.pop(name, None)

    def check(self) -> tuple[bool, dict[str, Any]]:
        """The answer, and what to show: ``reasons`` (empty when ready), then the numbers behind them."""
        now = self._clock()
        reasons = [f"source {name} stopped: {reason}" for name, reason in self._dead.items()]
        fill, blocked_by = self._fill(), self._blocked_by()
        if blocked_by is not None:
            reasons.append(f"the spool takes nothing more and the sources do not read: no room ({blocked_by})")
        elif fill >= FULL:
            reasons.append(f"the spool is {fill:.0%} full; at 100% the sources stop reading")
        places: dict[str, dict[str, dict[str, Any]]] = {}
        for (kind, name), watch in self._watches.items():
            pending, stalled = self._look(watch, now)
            unit, moved = _WORDS[kind]
            shown = {f"pending_{unit}": pending, "stalled_seconds": round(stalled, 1)}
            said = "" if watch.says is None else watch.says()
            places.setdefault(f"{kind}s", {})[name] = {**shown, "state": said} if said else shown
            if stalled >= STALL:
                reason = f"{kind} {name}: {pending} {unit} wait and none was {moved} for {stalled:.0f} s"
                reasons.append(f"{reason}; it is {said}" if said else reason)
        ready = not reasons
        self._report(ready, reasons)
        return ready, {"reasons": reasons, "spool_fill": round(fill, 3), **places}

    async def run(self) -> None:
        """The ticker: looks every ``TICK`` seconds until cancelled. Run it as a task of its own."""
        while True:
            try:
                self.check()
            except Exception as error:  # noqa: BLE001 - a probe that raises must not end the watch over all others
                self._gauge.set(0)
                log.warning("readiness cannot be judged", exc=error, every=60.0)
            await asyncio.sleep(TICK)

    @staticmethod
    def _look(watch: _Watch, now: float) -> tuple[int, float]:
        """Bytes that wait, and for how many seconds none of them has moved."""
        pending, position = watch.pending(), watch.position()
        if pending <= watch.harmless:
            watch.since = None
        elif watch.since is None or position != watch.last:
            watch.since = now
        watch.last = position
        return pending, 0.0 if watch.since is None else now - watch.since

    def _report(self, ready: bool, reasons: list[str]) -> None:
        self._gauge.set(int(ready))
        if ready and self._was is False:
            log.info("ready again")
        elif not ready:
            # Every minute as long as it lasts; a change of colour at once.
            log.warning("not ready", reasons=reasons, every=0.0 if self._was is not False else 60.0)
        self._was = ready
