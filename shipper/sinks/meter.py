"""What a delivery counts: the metrics come from here, not from the sinks."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from shipper.sinks.base import Frame, Item
from shipper.sinks.breaker import BreakerState
from shipper.sinks.refuse import is_whole

if TYPE_CHECKING:
    from shipper.metrics import Registry

_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_OLDEST_PLAUSIBLE: Final = 7 * 86400.0
"""A frame that claims to have been read longer ago than this comes from a clock that is wrong."""


class _Given(NamedTuple):
    """An item that the sink has and has not acknowledged."""

    next: int
    check: int
    records: int
    since: float
    """When its records were read, on the delivery's monotonic clock."""


class Meter:
    """Counts for one sink, and remembers what the sink was given."""

    def __init__(self, sink: str, metrics: "Registry", clock: Callable[[], float]) -> None:
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._given: deque[_Given] = deque()
        self._refused: dict[int, int] = {}
        """Records refused of what is not acknowledged, by the ``next`` of their item."""
        self._last_refused = (-1, -1)
        self._up = metrics.gauge("shipper_sink_up", sink=sink)
        self._breaker = metrics.gauge("shipper_sink_breaker_state", sink=sink)
        self._acked = metrics.counter("shipper_sink_acked_total", sink=sink)
        self._latency = metrics.histogram("shipper_delivery_latency_seconds", _LATENCY_BUCKETS, sink=sink)
        self._up.set(0)
        self._breaker.set(0)

    def taken(self, items: Sequence[Item]) -> None:
        """The items are about to be sent.

        Their age is taken from the wall clock once, and only if it is plausible (frames of other machines carry those
        machines' clocks); from here on a monotonic clock counts.
        """
        now, wall = self._clock(), time.time()
        for item in items:
            body = item.body
            if isinstance(body, Frame):
                age = wall - body.read_at / 1e6
                since = now - age if 0 <= age <= _OLDEST_PLAUSIBLE else now
                self._given.append(_Given(item.next, body.original_check or body.check, body.records, since))
            else:
                self._given.append(_Given(item.next, 0, 0, now))

    def acked(self, next_seq: int) -> tuple[int, int]:
        """Count what ends at or before ``next_seq``.

        Returns where the last such item ends, and its frame's original check; (0, 0) if there is none.
        """
        now = self._clock()
        reached = crc = records = 0
        while self._given and self._given[0].next <= next_seq:
            reached, crc, count, since = self._given.popleft()
            count -= self._refused.pop(reached, 0)
            if count > 0:  # below 0: the item was thinned to nothing, and refused as a whole before
                records += count
                self._latency.observe(now - since, count)
        self._acked.add(records)
        return reached, crc

    def forget(self) -> None:
        """What the sink was given comes again, and what it refused of that is refused again."""
        self._given.clear()
        self._refused.clear()
        self._last_refused = (-1, -1)

    def up(self, value: bool) -> None:
        """Connected or not."""
        self._up.set(int(value))

    def breaker(self, state: BreakerState) -> None:
        """Where the breaker stands."""
        self._breaker.set(state.value)

    def retry(self, reason: str) -> None:
        """An attempt ended. ``reason`` is a word for operators: docs/guide/sinks.md lists them."""
        self._metrics.counter("shipper_sink_retries_total", sink=self._sink, reason=reason).add()

    def alarm(self, kind: str) -> None:
        """Something is wrong at the far side that somebody should look at."""
        self._metrics.counter("shipper_sink_alarms_total", sink=self._sink, kind=kind).add()

    def not_taken(self, item: Item, index: int, raw: bytes) -> None:
        """The sink refused a record: it is not to be counted as acknowledged, whatever becomes of it."""
        body = item.body
        if not isinstance(body, Frame) or (item.seq, index) <= self._last_refused:
            return
        self._last_refused = (item.seq, index)
        refused = body.records if is_whole(body, raw) else 1
        self._refused[item.next] = self._refused.get(item.next, 0) + refused

    def refused(self) -> None:
        """A record went to the dead letters."""
        self._metrics.counter("shipper_dead_letters_total", processor=f"sink/{self._sink}").add()

    def lost(self, size: int) -> None:
        """A refused record found no room in the dead letters."""
        reason = "dead_letters_full"
        self._metrics.counter("shipper_records_dropped_total", processor=f"sink/{self._sink}", reason=reason).add()
        self._metrics.counter("shipper_lost_bytes_total", reason=reason).add(size)
