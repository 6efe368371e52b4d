"""Taking senders' streams over from other collectors: the claims that wait, and the steps of a round of them.

    begin ─▶ (the claims are written, in a transaction) ─▶ settle: read, fence, read

Claims that come while a round runs wait for the next one, and share its transaction, its reads and its fences. When a
collector died, hundreds of senders come at once.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from shipper.errors import ShipperError, SinkUnavailable
from shipper.sinks.base import Claimed
from shipper.sinks.kafka.books import Books
from shipper.sinks.kafka.cursor_topic import CursorTopic
from shipper.sinks.kafka.cursors import Claim
from shipper.sinks.kafka.together import together
from shipper.sinks.kafka.transactions import Transactions
from shipper.spool.body import Mark

_LOOKS: Final = 1000
_PAUSE: Final = 0.01
"""Seconds between two looks whether a commit can be seen; it takes some milliseconds."""


class Wanted(NamedTuple):
    """A claim that waits for its answer."""

    stream: bytes
    floor: int
    answer: asyncio.Future[Claimed]


class Claims:
    """Those of one connection."""

    def __init__(self, owner: str, books: Books, topic: CursorTopic, transactions: Transactions) -> None:
        """``owner``: the own transactional id."""
        self._owner = owner
        self._books = books
        self._topic = topic
        self._transactions = transactions
        self._some = asyncio.Event()
        self._waiting: list[Wanted] = []
        self._round: list[Wanted] = []
        self._over: ShipperError | None = None

    async def ask(self, stream: bytes, floor: int) -> Claimed:
        """Claim a stream; waits for the answer.

        :raises SinkUnavailable: it cannot be had now, or somebody else took it at the same time.
        """
        if self._over is not None:
            raise _lost(self._over)
        answer: asyncio.Future[Claimed] = asyncio.get_running_loop().create_future()
        self._waiting.append(Wanted(stream, floor, answer))
        self._some.set()
        return await answer

    async def wait(self) -> None:
        """Wait until somebody asks."""
        await self._some.wait()

    async def begin(self) -> dict[bytes, Claim]:
        """The claims to be written for those who wait; for streams that are claimed here already they are answered.

        :raises SinkError: the cursor topic cannot be read now.
        """
        self._round, self._waiting = self._waiting, []
        self._some.clear()
        await self._books.catch_up(self._topic, everybody=True)
        ownership = self._books.ownership
        claims: dict[bytes, Claim] = {}
        for wanted in self._round:
            if ownership.owns(wanted.stream):
                fresh = not ownership.has_all(wanted.stream)
                ownership.goes_on(wanted.stream, wanted.floor)
                self._answer(wanted, fresh=fresh)
            elif wanted.stream not in claims:
                claims[wanted.stream] = ownership.begin(wanted.stream)
        return claims

    async def settle(self, streams: Iterable[bytes]) -> None:
        """Shut out who claimed these streams before, now that the own claims are committed, and answer.

        :raises SinkError: that cannot be done now.
        """
        ownership = self._books.ownership
        await self._see_own(streams)
        fence: set[str] = set()
        for stream in streams:
            fence |= ownership.to_fence(stream, self._books.claimants(stream, self._topic.pending))
        await together(*(self._transactions.fence(each) for each in sorted(fence)))
        await self._books.catch_up(self._topic)
        floors: dict[bytes, int] = {}
        for wanted in self._round:
            floors[wanted.stream] = max(wanted.floor, floors.get(wanted.stream, 0))
        settled = {stream for stream in streams if ownership.settle(stream, floors[stream])}
        for wanted in self._round:
            if wanted.stream in settled:
                self._answer(wanted, fresh=True)
            elif not wanted.answer.done():
                text = f"another collector claimed stream {wanted.stream.hex()} at the same time"
                wanted.answer.set_exception(SinkUnavailable(text))

    async def _see_own(self, streams: Iterable[bytes]) -> None:
        """Read the topic until it says that the own claims are committed.

        The coordinator answers a commit before the topic shows it. Whoever is shut out reads the topic next, and must
        find the claim there that he was shut out for.
        """
        for _ in range(_LOOKS):
            await self._books.catch_up(self._topic)
            pending = list(self._topic.pending)
            if not any(self._owner in self._books.claimants(stream, pending) for stream in streams):
                return
            await asyncio.sleep(_PAUSE)
        raise SinkUnavailable("the brokers do not end a transaction")

    def fail(self, error: ShipperError) -> None:
        """The round did not work out: nobody in it gets an answer."""
        for wanted in self._round:
            if not wanted.answer.done():
                wanted.answer.set_exception(_lost(error))
        self._round = []

    def end(self, error: ShipperError) -> None:
        """The connection is over: nobody gets an answer any more."""
        self._over = error
        self._round += self._waiting
        self._waiting = []
        self.fail(error)
        self._some.clear()  # or the task that answers would turn for ever, and with it the event loop

    def _answer(self, wanted: Wanted, *, fresh: bool) -> None:
        cursor = self._books.ownership.cursor(wanted.stream)
        mark = Mark(cursor.next, cursor.epoch, cursor.incarnation, cursor.check, cursor.original_check)
        if not wanted.answer.done():
            wanted.answer.set_result(Claimed(mark, fresh))


def _lost(error: ShipperError) -> SinkUnavailable:
    return SinkUnavailable(f"the stream cannot be claimed now: {error}")
