"""Keeps one worker process busy and alive.

A worker that dies is started again, and what it had is sent again, from the state that came with the last answer. A
batch with which workers died twice is searched for the records that are to blame (``shipper.chain.blame``): they fail.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from shipper.batch import Payload
from shipper.chain.blame import blame
from shipper.chain.child import Child, ChildEnded
from shipper.chain.child_io import Link
from shipper.chain.guard import Guard
from shipper.chain.line import Job, Line, deliver
from shipper.chain.parcels import READY, Close, Open, Parcel, Recipe, Run, classes_of, packed
from shipper.log import get_logger

if TYPE_CHECKING:
    from shipper.spool.frame import Frame

_CHILD: Final = "shipper.chain.worker"
AHEAD: Final = 4
"""Batches that a worker has at most: those whose answers wait, the one that it works on, and the next ones."""
_START: Final = 60.0
"""Seconds that a worker may take for its start."""
_PAUSES: Final = (0.0, 0.1, 0.5, 2.0, 10.0)
"""Seconds before each attempt to start a worker again; from then on always the last one."""
_DEATHS: Final = 2
"""Deaths of workers after which a batch is searched."""
_ROUNDS: Final = 3
"""Searches of a batch that find nobody; then one of the last records is taken for guilty."""
log = get_logger("chain")


class Keeper:
    """One child and what it is to do."""

    def __init__(self, number: int, recipes: Sequence[Recipe]) -> None:
        """``recipes``: what a child must be able to import is in them."""
        self.number = number
        self._recipes = recipes
        self._link: Link | None = None
        self._known: set[int] = set()
        """The lines that the child knows."""
        self._waiting: deque[Job] = deque()
        self._sent: deque[Job] = deque()
        self._listening = False
        """Whatever waits may be sent."""

    @property
    def load(self) -> int:
        """Batches that it has to do."""
        return len(self._waiting) + len(self._sent)

    def add(self, job: Job) -> None:
        """Do it after the others."""
        self._waiting.append(job)
        self._send()

    def forget(self, line: Line) -> None:
        """Do no more of a line."""
        self._waiting = deque(job for job in self._waiting if job.line is not line)

    def close(self) -> None:
        """End the child, in at most a second."""
        if self._link is not None:
            self._link.close()
        self._link = None

    async def begin(self) -> None:
        """Start the child.

        :raises ChildEnded: it does not start.
        :raises OSError: no process can be started.
        :raises ValueError: a processor's class cannot be sent to it.
        """
        self._known.clear()
        child = Child(_CHILD, classes_of(self._recipes), self._recipes)
        link = self._link = Link(child)
        try:
            async with asyncio.timeout(_START):
                answer = await link.ask(child.first)
        except TimeoutError:
            link.kill()
            raise ChildEnded(f"did not answer within {_START:g}s") from None
        if answer != READY:
            link.kill()
            raise ChildEnded("answered something else than what was asked")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                link = await self._alive()
                while self._waiting and self._waiting[0].deaths >= _DEATHS:
                    await self._with_care(self._waiting.popleft())
                    link = await self._alive()
                await self._exchange(link)
            except ChildEnded as ended:
                self._died(ended)
                if self._sent:
                    self._sent[0].deaths += 1
                self._waiting.extendleft(reversed(self._sent))
                self._sent.clear()

    def _died(self, ended: ChildEnded) -> None:
        self._link = None
        log.warning("a worker process gave no answer", worker=self.number, why=str(ended), every=10.0)

    async def _alive(self) -> Link:
        """The connection to the child, which is started again where it must be."""
        if self._link is not None:
            return self._link
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                await self.begin()
                break
            except (ChildEnded, OSError) as error:
                text = "a worker process cannot be started again; what it has to do waits"
                log.error(text, worker=self.number, why=str(error), every=60.0)
        assert self._link is not None  # noqa: S101 - for the type checker
        return self._link

    async def _exchange(self, link: Link) -> None:
        """Send batches and take answers, until the child dies.

        :raises ChildEnded: it did.
        """
        self._listening = True
        try:
            self._send()
            await link.listen(self._answered)
        finally:
            self._listening = False

    def _answered(self, answer: Any) -> None:
        if not self._sent:
            raise ChildEnded("answered what nobody asked")
        job = self._sent.popleft()
        self._send()
        deliver(job, answer)

    def _send(self) -> None:
        """Send what waits, as much as the child may have."""
        while self._listening and self._link is not None and self._waiting and len(self._sent) < AHEAD:
            job = self._waiting.popleft()
            if job.line.closed:
                continue
            try:
                self._link.send(*self._question(self._link, job))
            except Exception as error:  # noqa: BLE001 - a record that a source made may hold anything
                deliver(job, f"the batch cannot be sent to a worker: {error!r}")
                continue
            self._sent.append(job)

    def _question(self, link: Link, job: Job, guard: Guard | None = None) -> Parcel:
        """The message that asks for it. What the child must know before is sent."""
        line = job.line
        if line.number not in self._known:
            link.send(*packed(Open(line.number, line.recipe, line.state)))
            self._known.add(line.number)
        batch = replace(job.batch, state={})  # the source's own state stays here
        return packed(Run(line.number, batch, job.room(), guard, None if guard is None else line.state))

    async def _with_care(self, job: Job) -> None:
        """Run a batch that a worker did not survive, without the records that are to blame."""
        payload = job.batch.payload
        size = len(payload) if isinstance(payload, list) else _records(payload)
        guilty: dict[int, str] = {}
        rounds = 0

        async def run(first: int, end: int) -> Any:
            link = await self._alive()
            return await link.ask(*self._question(link, job, Guard(first=first, end=end, guilty=guilty)))

        async def dies(first: int, end: int) -> bool:
            try:
                await run(first, end)
            except ChildEnded as ended:
                self._died(ended)
                return True
            return False

        while True:
            try:
                answer = await run(0, size)
                break
            except ChildEnded as ended:
                self._died(ended)
                why = f"its worker process {ended}; with isolation: process the processor that does it is named"
            rounds += 1
            record, alone = await blame(size, dies)
            if alone or rounds > _ROUNDS:
                guilty[record] = why
                source = job.line.recipe.source
                text = "a worker process does not survive a record"
                log.warning(text, worker=self.number, source=source, why=why, every=10.0)
        deliver(job, answer)
        if self._link is not None and job.line.number in self._known:  # its chain did not see the batch
            self._known.discard(job.line.number)
            self._link.send(*packed(Close(job.line.number)))


def _records(payload: "Payload | Frame") -> int:
    return payload.count if isinstance(payload, Payload) else payload.records
