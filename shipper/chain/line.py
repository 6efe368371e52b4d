"""One source's chain in the workers, and its batches on their way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from shipper.batch import Batch
from shipper.chain.parcels import Made, Recipe
from shipper.errors import ShipperError


class WorkerError(ShipperError):
    """A chain raised in its worker; the text says what."""


Answer: TypeAlias = Made | WorkerError


class Takes(Protocol):
    """A worker."""

    @property
    def load(self) -> int:
        """Batches that it has to do."""
        ...

    def add(self, job: "Job") -> None:
        """Do it after the others."""
        ...

    def forget(self, line: "Line") -> None:
        """Do no more of a line."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """A batch that a worker is to run."""

    line: "Line"
    batch: Batch
    room: Callable[[], int]
    made: Callable[[Answer], None]
    deaths: int = 0
    """Workers that died with it."""


class Line:
    """One source's chain in the workers, for one life of the source."""

    def __init__(self, number: int, recipe: Recipe, state: Mapping[str, bytes], workers: "Sequence[Takes]") -> None:
        self.number = number
        self.recipe = recipe
        self.state = dict(state)
        """What the processors know, as of the last answer."""
        self.closed = False
        self._workers = workers

    def run(self, batch: Batch, room: Callable[[], int], made: Callable[[Answer], None]) -> None:
        """Run a batch; those of a line that is bound to one worker in the order of the calls. ``room`` is asked how
        many bytes of dead letters it may make. ``made`` is called once, maybe at once, with what became of the batch or
        what the chain raised; not once the line is closed. It must not raise.
        """
        min(self._workers, key=lambda worker: worker.load).add(Job(self, batch, room, made))

    def close(self) -> None:
        """Nobody waits for its batches any more."""
        self.closed = True
        for worker in self._workers:
            worker.forget(self)


def deliver(job: Job, answer: Made | str) -> None:
    """Tell whoever waits for a batch."""
    if job.line.closed:
        return
    if isinstance(answer, str):
        job.made(WorkerError(answer))
        return
    for key, value in answer.state.items():
        if value is not None:
            job.line.state[key] = value
    job.made(answer)
