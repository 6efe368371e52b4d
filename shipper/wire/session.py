"""The collector's side of one connection: what came in, what of it is durable, what is acknowledged. Without gRPC.

1. Frames are taken in order, and pipelined: a take returns when the frame is queued in the spool, not when it is
   durable. ``expected`` is the next number to take, ``durable`` the first that is not durable.
2. Nothing is acknowledged whose receipt has not resolved, nor anything after it; with ``ack: delivered`` nothing
   either that is not delivered (delivered.py). Where streams are shared with other collectors (takeover.py), the sinks
   may pass frames over: so nothing either that is not at their far side, and then the connection ends.
3. When the connection ends, a take that has not returned is discarded; what is queued stays queued. ``finished``
   says that none of it is on its way any more: only then another connection of the stream may ask where it stands.
4. No task and no timer exists for an idle connection: a task sends Acks while there are some to send, and the
   source's one ticker calls ``tick``.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from shipper.batch import Batch, SourceRange, Upstream
from shipper.sinks.base import Claimed, Gap
from shipper.sources.base import Receipt
from shipper.spool.upstream import DUPLICATE
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.acks import Acks
from shipper.wire.budget import ReceiveBudget, Share
from shipper.wire.checked import checked
from shipper.wire.delivered import Delivered, Progress
from shipper.wire.hop import HopIntake
from shipper.wire.refusal import Refusal, refusal_of
from shipper.wire.takeover import passed_over


class Session:
    """One connection of one stream, from its Hello on. Called on the event loop only."""

    __slots__ = (
        "_acks",
        "_closed",
        "_delivered",
        "_failed",
        "_intake",
        "_pending",
        "_progress",
        "_quiet_ticks",
        "_share",
        "_waiting",
        "durable",
        "ended",
        "expected",
        "finished",
        "hello",
        "on_failure",
    )

    def __init__(
        self,
        hello: pb.Hello,
        intake: HopIntake,
        budget: ReceiveBudget,
        send: Callable[[pb.Ack], Awaitable[bool]],
        on_failure: Callable[[], object],
        delivered: Delivered | None = None,
    ) -> None:
        """``send`` writes an Ack and says whether it could; ``on_failure`` is called when ``ended`` was set;
        ``delivered``: acknowledge no more than what it knows as delivered.
        """
        self.hello = hello
        self.expected = 0
        self.durable = 0
        self.ended: Refusal | None = None
        """Why the connection must end."""
        self.finished = asyncio.Event()
        self.on_failure = on_failure
        self._intake = intake
        self._share = Share(budget)
        self._delivered = delivered
        self._waiting: asyncio.Event | None = None
        """Set when the sinks got on, for who waits for that."""
        self._progress: Progress | None = None
        self._pending: deque[tuple[int, int, Receipt]] = deque()
        self._acks: Final = Acks(self, send)
        self._closed = False
        self._quiet_ticks = 0
        self._failed = False

    @property
    def epoch(self) -> int:
        """The sender's."""
        return self.hello.epoch

    @property
    def incarnation(self) -> bytes:
        """The sender's."""
        return self.hello.incarnation

    @property
    def window(self) -> int:
        """The window that this connection gets now, in bytes."""
        return self._share.window

    def start(self, claimed: Claimed | None) -> int:
        """Begin; returns ``Welcome.next``. ``claimed``: the stream is shared, and was taken over."""
        self._acks.start()
        floor, mark = self.hello.floor, self._intake.mark(self.hello.stream)
        held = 0 if mark is None else mark.next
        if self._delivered is not None:
            self._progress = self._delivered.follow(self.hello.stream, held, floor, self._got_on, claimed)
            self.expected = self.durable = self._progress.next
        else:
            self.expected = self.durable = max(held, floor)
        return self.expected

    @property
    def acknowledged(self) -> int:
        """The first number that is not acknowledged."""
        return self.durable if self._progress is None else min(self.durable, self._progress.safe)

    def _got_on(self) -> None:
        """All sinks are past something more of the stream."""
        if self._progress is not None and self._progress.passed_over:
            self.end(passed_over(self.hello.stream))
        if self._waiting is not None:
            self._waiting.set()
        self._acks.want()

    async def room(self) -> None:
        """Wait until another message may be read."""
        await self._share.room()

    async def frames(self, message: pb.Frames) -> None:
        """Take a message's frames.

        :raises Refusal: one of them cannot be taken; those before it are.
        :raises ShipperError: the spool takes nothing any more.
        """
        frames = list(message.frames)
        held = sum(map(len, frames))
        self._share.use(held)
        self._share.busy = True
        try:
            for number, raw in enumerate(frames, message.first):
                if number > self.expected:
                    raise _unexpected(f"frame {number}", self.expected)
                if number == self.expected:
                    receipt = await self._take(number, raw)
                    held -= len(raw)
                    self._queued(number + 1, len(raw), receipt)
                else:
                    self._acks.want()
        finally:
            self._share.release(held)

    async def gap(self, message: pb.Gap) -> None:
        """Take a gap.

        :raises Refusal: it does not belong here.
        :raises ShipperError: the spool takes nothing any more.
        """
        if message.first > self.expected or message.last < message.first:
            raise _unexpected(f"a gap {message.first}..{message.last}", self.expected)
        if message.last < self.expected:
            self._acks.want()
            return
        records = message.records if message.HasField("records") else -1
        gap = Gap(message.first, message.last, records, message.reason)
        self._acks.blocked_since = time.monotonic()
        receipt = await self._intake.take_gap(self._upstream(message.first, 0, 0), gap, dict(self.hello.labels))
        self._queued(message.last + 1, 0, receipt)

    async def drained(self) -> None:
        """Wait until everything taken is durable, and what of it may be acknowledged is.

        :raises Refusal: the spool failed.
        """
        while self._pending:
            await asyncio.wait([self._pending[-1][2].durable])
            await asyncio.sleep(0)  # the receipt's own callbacks have run after this
        if self._failed and self.ended is not None:
            raise self.ended
        await self._acks.sent()

    async def delivered(self) -> None:
        """Called when all is drained, and the sender will send nothing more: wait until all may be acknowledged, and
        is.
        """
        progress = self._progress
        if progress is None:
            return
        self._waiting = asyncio.Event()
        while progress.next < self.expected:
            await self._waiting.wait()
            self._waiting.clear()
        await self._acks.sent()

    def tick(self, due: float) -> None:
        """Called about once a second. An Ack goes out when the last one is older than ``due`` (monotonic clock)."""
        if self._pending or not self._share.busy:
            self._quiet_ticks = 0
        else:
            self._quiet_ticks += 1
            if self._quiet_ticks > 1:
                self._share.busy = False
        if self._acks.last < due:
            self._acks.want()

    def end(self, why: Refusal) -> None:
        """End the connection for a reason that its sender is told."""
        if self.ended is None and not self._closed:
            self.ended = why
            self.on_failure()

    def close(self) -> None:
        """The connection is gone, or about to be: acknowledge nothing more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._acks.close()
        self._share.leave()
        if self._progress is not None:
            self._progress.leave()
        if not self._pending:
            self.finished.set()

    def _upstream(self, number: int, check: int, original_check: int) -> Upstream:
        hello = self.hello
        # What was durable before is expected no more, though the stream's mark be forgotten (it is one of many, and
        # rarely sends).
        floor = max(hello.floor, self.durable)
        kept = self._delivered is not None
        return Upstream(hello.stream, number, hello.epoch, hello.incarnation, check, floor, original_check, kept)

    async def _take(self, number: int, raw: bytes) -> Receipt:
        frame = checked(number, raw)
        upstream = self._upstream(number, frame.check, frame.original_check)
        # Where the frame passes on verbatim its own ranges stay in it; framed anew, its range is this stream's.
        records = frame.records
        span = SourceRange(self._intake.name, self.hello.stream, number, number + 1, read=records, kept=records)
        batch = Batch(self._intake.name, frame.labels, frame, [span], frame.read_at, upstream=upstream, came=frame.meta)
        self._acks.blocked_since = time.monotonic()
        return await self._intake.take_frame(batch)

    def _queued(self, after: int, size: int, receipt: Receipt) -> None:
        self._acks.blocked_since = None
        self.expected = after
        self._pending.append((after, size, receipt))
        receipt.durable.add_done_callback(self._settled)

    def _settled(self, _: "asyncio.Future[int]") -> None:
        pending = self._pending
        while pending and pending[0][2].durable.done():
            after, size, receipt = pending.popleft()
            durable = receipt.durable
            self._share.release(size)
            if self._failed:
                continue
            error = None if durable.cancelled() else durable.exception()
            if durable.cancelled() or error is not None:
                self._failed = True  # nothing after it may be acknowledged either
                self.end(refusal_of(error))
            else:
                self.durable = after
                if self._delivered is not None and self._progress is not None and durable.result() != DUPLICATE:
                    self._delivered.keep(self._progress, after, durable.result() + receipt.numbers)
        if self._delivered is not None:
            self._delivered.advance()  # the sinks may be faster than the news of the sync
        if self._closed:
            if not pending:
                self.finished.set()
        else:
            self._acks.want()


def _unexpected(what: str, expected: int) -> Refusal:
    return Refusal(pb.Refused.PROTOCOL, f"{what} came where {expected} was expected")
