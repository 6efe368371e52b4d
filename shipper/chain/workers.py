"""``workers: N``: the chains run in N child processes. The parent's side, on the event loop.

A source whose chain keeps nothing from batch to batch uses all workers; one that does is bound to one worker, which
sees its batches in their order. A worker has a few batches at a time, so that it need not wait for the next one.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence

from shipper.chain.child import ChildEnded
from shipper.chain.keeper import AHEAD, Keeper
from shipper.chain.line import Line
from shipper.chain.parcels import Recipe
from shipper.errors import ConfigError


class Workers:
    """All workers of a process."""

    def __init__(self, count: int, fatal: Callable[[BaseException], None]) -> None:
        """``fatal`` is told of an error with which the process must end."""
        self.count = count
        self._fatal = fatal
        self._workers: list[Keeper] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._bound: itertools.cycle[Keeper]
        self._numbers = itertools.count()

    async def start(self, recipes: Sequence[Recipe]) -> None:
        """Start them. ``recipes`` are those of all sources.

        :raises ConfigError: they cannot be started; the text says why.
        """
        self._workers = [Keeper(number, recipes) for number in range(self.count)]
        self._bound = itertools.cycle(self._workers)
        try:
            for worker in self._workers:
                await worker.begin()
        except (ChildEnded, OSError, ValueError) as error:
            self.close()
            text = f"workers: worker {worker.number} of {self.count} cannot be started: {error}; 0 does without them"
            raise ConfigError([text]) from error
        self._tasks = [asyncio.create_task(worker.run(), name=f"worker/{worker.number}") for worker in self._workers]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    @property
    def room(self) -> int:
        """Batches that all of them have at most."""
        return AHEAD * self.count

    def open(self, recipe: Recipe, state: Mapping[str, bytes], *, bound: bool) -> Line:
        """A chain for a source. ``bound``: what becomes of a batch depends on those before it."""
        return Line(next(self._numbers), recipe, state, [next(self._bound)] if bound else self._workers)

    def close(self) -> None:
        """End them; what they have in hand is given up."""
        for task in self._tasks:
            task.cancel()
        for worker in self._workers:
            worker.close()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)
