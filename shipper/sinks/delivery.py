"""The delivery: the loop that takes durable items from the spool to one sink. The same for every sink.

    wait (backoff, breaker) -> connect -> forward to what the far side expects -> read, thin by ``where``, send ...
         ▲                                                                                        │
         └── close, rewind to the cursor ◀── anything raised, by ``send`` or by ``broken`` ◀─────┘

The rules
- A sink's failure is this sink's alone: each delivery is a task of its own, and nothing that a sink raises ends it.
  Only a SpoolError does: then nothing can be acknowledged any more.
- The cursor moves by ``acked`` alone, and only to the end of an item that was handed to the sink.
- A group is read when the one before it was taken: what waits for a slow sink waits on disk.
- A sink whose far side knows another history of the stream makes the spool take a new stream id; every sink then
  connects again, to go on under that id from its own cursor.
- What an attempt's end means is judged in attempts.py.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shipper.batch import Labels
from shipper.errors import SinkError, SinkUnavailable, SpoolError, StreamDisowned
from shipper.log import get_logger
from shipper.sinks.attempts import Attempts
from shipper.sinks.base import Item, Sink
from shipper.sinks.feed import Feed, Home
from shipper.sinks.flat import refuse
from shipper.sinks.meter import Meter
from shipper.sinks.refuse import Refusals

if TYPE_CHECKING:
    from shipper.metrics import Registry
    from shipper.sinks.thin import Thinner

_LOG_EVERY: Final = 60.0


class Delivery:
    """One sink's delivery; to the sink it is the ``Outlet``."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        subscription: Feed,
        spool: Home,
        *,
        labels: Labels,
        state_dir: Path,
        metrics: "Registry",
        once: bool,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``state_dir`` is the sink's own; ``clock`` and ``uniform`` are there for tests.

        :raises ValueError: the sink's ``where`` cannot be read.
        """
        self.name = name
        self.labels = labels
        self.state_dir = state_dir
        self.once = once
        self.up = False
        """Connected now."""
        self.last_ack_monotonic: float | None = None
        """When the cursor moved last, by the delivery's clock."""
        self._sink = sink
        self._feed = subscription
        self._spool = spool
        self._clock = clock
        self._log = get_logger(f"sink/{name}")
        self._thinner = _thinner(sink.where)
        self._meter = Meter(name, metrics, clock)
        self._attempts = Attempts(sink, self._meter, self._log, clock, uniform)
        self._refusals = Refusals(name, spool, self._meter, self._log)
        self._stream = b""
        """The stream id of the attempt."""
        self._moved = asyncio.Event()

    # What the sink sees (Outlet)

    @property
    def stream(self) -> bytes:
        """The stream id of this hop."""
        return self._spool.stream

    @property
    def home(self) -> bytes:
        """The stream id that the numbers began under."""
        return self._spool.home

    @property
    def epoch(self) -> int:
        """The spool's epoch."""
        return self._spool.epoch

    @property
    def incarnation(self) -> bytes:
        """The epoch's random companion."""
        return self._spool.incarnation

    @property
    def cursor(self) -> int:
        """The first sequence number that the sink has not acknowledged."""
        return self._feed.cursor

    @property
    def cursor_crc(self) -> int:
        """``Frame.original_check`` of frame ``cursor - 1``, or its check; 0 where neither is known."""
        return self._feed.cursor_crc

    @property
    def next_seq(self) -> int:
        """The sequence number that the spool will give to its next frame."""
        return self._spool.next_seq

    def acked(self, next_seq: int) -> None:
        """Everything before ``next_seq`` is safe at the far side."""
        if next_seq <= self._feed.cursor:
            return
        reached, crc = self._meter.acked(next_seq)
        if reached < next_seq:
            self._log.warning(
                "the sink acknowledged what it was not given", acknowledged=next_seq, given=reached, every=_LOG_EVERY
            )
        if reached <= self._feed.cursor:
            return
        self._feed.ack(reached, crc)
        self.last_ack_monotonic = self._clock()
        self._attempts.acknowledged(self._feed.cursor, self._waiting)
        self._moved.set()

    async def refuse(self, item: Item, index: int, raw: bytes, reason: str) -> None:
        """Put one record to the dead letters, exactly once; returns when that is durable."""
        self._meter.not_taken(item, index, raw)
        await self._refusals.refuse(item, index, raw, reason)

    def alarm(self, kind: str, message: str, **fields: Any) -> None:
        """Log an error and count it."""
        self._meter.alarm(kind)
        self._log.error(message, **fields)

    # What the pipeline sees

    @property
    def state(self) -> str:
        """For people: ``connected``, ``retrying: REASON``, ``open: REASON``."""
        return self._attempts.state

    @property
    def _waiting(self) -> int:
        """Frames that the sink has not acknowledged."""
        return self._spool.next_seq - self._feed.cursor

    @property
    def caught_up(self) -> bool:
        """Everything that was appended to the spool so far is acknowledged."""
        return self._feed.cursor >= self._spool.next_seq

    async def wait_caught_up(self) -> None:
        """Wait until ``caught_up``. More may have been appended by the time the caller runs."""
        while not self.caught_up:
            self._moved.clear()
            await self._moved.wait()

    async def run(self) -> None:
        """Deliver until cancelled.

        :raises SpoolError: the spool failed; nothing can be delivered or acknowledged any more.
        """
        while True:
            self._attempts.begin()
            self._stream = self._spool.stream
            failure: Exception
            try:
                await self._attempt()
            except SpoolError:
                raise
            except Exception as error:  # noqa: BLE001 - a sink may be anybody's code; it must not end the process
                failure = error
            finally:
                self.up = False
                self._meter.up(False)
                await self._close()
            if self._stream != self._spool.stream and not isinstance(failure, StreamDisowned):
                continue  # another sink's far side disowned it meanwhile: no failure of this one
            wait = self._attempts.failed(failure)
            if isinstance(failure, StreamDisowned):
                self._meter.alarm(failure.kind)
                await self._spool.take_new_stream(failure.kind, disowned=self._stream)
            await asyncio.sleep(wait)

    async def _attempt(self) -> None:
        """Connect and deliver. Ends only by raising."""
        self._feed.rewind()
        self._meter.forget()
        await self._first_of(self._connect())
        await self._first_of(self._pump(), self._watch(), self._watch_stream())

    async def _connect(self) -> None:
        expected = await self._sink.connect(self)
        if expected > self._spool.next_seq:
            raise SinkError(
                f"the far side has everything before number {expected}, but this spool wrote only up to "
                f"{self._spool.next_seq}: an older data directory was put back; give it a new, empty one"
            )
        if expected > self._feed.cursor:
            await self._feed.forward(expected)
            self._moved.set()
        self.up = True
        self._meter.up(True)
        self._attempts.connected(self._feed.cursor, self._waiting)

    async def _pump(self) -> None:
        while True:
            items: Sequence[Item] = await self._feed.read(self._sink.group_bytes)
            if self._thinner is not None:
                items, refusals = await asyncio.to_thread(self._thinner.thin, items)
                for refusal in refusals:  # refusals go in order: first those of the sink in the frames before this one
                    at = next(at for at, item in enumerate(items) if item.seq == refusal.item.seq)
                    await self._send(items[:at])
                    items = items[at:]
                    await refuse(self, [refusal])
            await self._send(items)

    async def _send(self, items: Sequence[Item]) -> None:
        if items:
            self._meter.taken(items)
            await self._sink.send(items)

    async def _watch(self) -> None:
        await self._sink.broken()
        raise SinkUnavailable("the connection ended")

    async def _watch_stream(self) -> None:
        await self._spool.wait_renamed(self._stream)
        raise SinkUnavailable("the spool goes on under a new stream id")

    async def _first_of(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run side by side until one ends; stop the others; raise what the first one raised."""
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            if task.cancelled():  # not by us: the sink awaited something that was cancelled
                raise SinkError("the sink was cancelled from the inside")
            task.result()

    async def _close(self) -> None:
        try:
            await self._sink.close()
        except Exception as error:  # noqa: BLE001 - see run
            self._log.error("the sink failed to close", exc=error, every=_LOG_EVERY)


def _thinner(where: str | None) -> "Thinner | None":
    if where is None:
        return None
    from shipper.sinks.thin import Thinner  # it brings the expression language along, which few sinks need

    return Thinner(where)
