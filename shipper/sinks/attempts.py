"""What a delivery's attempts came to: what is said and counted about each, and when the next one may begin.

The rules
- An attempt succeeded if the sink acknowledged something or stayed connected for longer than the longest backoff.
- After a failure the log says "connected" once something is acknowledged, or nothing waits: to connect proves little.
- A stream that was disowned is no failure of the sink: the next attempt is made at once, under the new stream id. Only
  when that is disowned too, before anything got through, does it wait like any other failure.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from shipper.errors import ShipperError, StreamDisowned
from shipper.sinks.backoff import Delays
from shipper.sinks.base import Sink
from shipper.sinks.breaker import BreakerState, CircuitBreaker

if TYPE_CHECKING:
    from shipper.log import Logger
    from shipper.sinks.meter import Meter

_LOG_EVERY: Final = 60.0


class Attempts:
    """Those of one delivery."""

    def __init__(
        self,
        sink: Sink,
        meter: "Meter",
        log: "Logger",
        clock: Callable[[], float],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.state = "not connected yet"
        """For people: ``connected``, ``retrying: REASON``, ``open: REASON``."""
        self._sink = sink
        self._meter = meter
        self._log = log
        self._clock = clock
        self._delays = Delays(sink.backoff, uniform)
        self._breaker = CircuitBreaker(sink.breaker, clock)
        self._began = 0.0
        self._progress = False
        self._disowned = False
        """A stream was disowned, and nothing got through since."""
        self._away_since: float | None = None
        """When the failure came since which the log has not said "connected"."""

    def begin(self) -> None:
        """An attempt begins."""
        self._began = self._clock()
        self._breaker.attempt()
        self._meter.breaker(self._breaker.state)
        self._progress = False

    def connected(self, cursor: int, waiting: int) -> None:
        """The sink is connected; so many frames wait for it."""
        self.state = "connected"
        if self._away_since is None or not waiting:
            self._say_connected(cursor, waiting)

    def acknowledged(self, cursor: int, waiting: int) -> None:
        """The cursor moved."""
        if not self._progress:
            self._succeeded()
        if self._away_since is not None:
            self._say_connected(cursor, waiting)

    def _say_connected(self, cursor: int, waiting: int) -> None:
        fields: dict[str, Any] = {"to": self._sink.describe() or None, "next": cursor}
        if self._away_since is not None:
            fields["after"] = f"{self._clock() - self._away_since:.1f}s"
            fields["frames"] = waiting
            self._away_since = None
        self._log.info("connected", every=1.0, **fields)

    def _succeeded(self) -> None:
        self._progress = True
        self._disowned = False
        self._delays.reset()
        self._breaker.success()
        self._meter.breaker(self._breaker.state)

    def failed(self, failure: Exception) -> float:
        """Note how an attempt ended; the seconds to wait before the next one."""
        retriable = isinstance(failure, ShipperError) and failure.retriable
        if self._away_since is None:
            self._away_since = self._clock()
        if not self._progress and self._clock() - self._began >= self._sink.backoff.max:
            self._succeeded()
        if isinstance(failure, StreamDisowned):
            wait = self._after_disowned()
        elif not retriable:
            self._breaker.trip()
            wait = max(self._breaker.wait, self._sink.backoff.max)
        else:
            if not self._progress:
                self._breaker.failure()
            wait = max(self._breaker.wait, self._delays.next())
        reason = str(failure) or type(failure).__name__
        self.state = f"{'open' if self._breaker.state is BreakerState.OPEN else 'retrying'}: {reason}"
        self._meter.breaker(self._breaker.state)
        self._say(failure, reason, retriable, f"{wait:.1f}s")
        return wait

    def _after_disowned(self) -> float:
        if not self._disowned:
            self._disowned = True
            return 0.0
        self._breaker.failure()
        return max(self._breaker.wait, self._delays.next())

    def _say(self, failure: Exception, reason: str, retriable: bool, again: str) -> None:
        if isinstance(failure, StreamDisowned):
            self._meter.retry("disowned")
            self._log.error(
                f"{reason}; the spool goes on under a new stream id, so nothing is lost, but what this copy and the "
                "other history both hold may arrive twice",
                kind=failure.kind,
                again_in=again,
            )
        elif retriable:
            self._meter.retry("unavailable")
            self._log.warning(f"cannot deliver: {reason}", again_in=again, every=_LOG_EVERY, key=reason)
        elif isinstance(failure, ShipperError):
            self._meter.retry("refused")
            text = f"cannot deliver, and trying again does not help: {reason}"
            self._log.error(text, again_in=again, every=_LOG_EVERY, key=reason)
        else:
            self._meter.retry("crashed")
            self._log.error(f"the sink crashed: {reason}", again_in=again, every=_LOG_EVERY, key=reason, exc=failure)
