"""Which record came from which: worked out only when somebody asks, so that it costs nothing until then."""

from collections.abc import Callable, Sequence

from shipper.batch import Record


class Lineage:
    """The way of a batch's records through the steps of a chain."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], list[int]]] = []
        self._indices: list[int] | None = None

    def step(self, sources: Callable[[], list[int]]) -> None:
        """Records changed place: ``sources`` gives for each record after the step its index before it."""
        self._steps.append(sources)

    def indices(self) -> list[int] | None:
        """For each record its index in the batch as it was read; None where all are still in their places."""
        for step in self._steps:
            sources = step()
            self._indices = sources if self._indices is None else [self._indices[source] for source in sources]
        self._steps.clear()
        return self._indices

    def index(self, at: int) -> int:
        """The index that the record now at ``at`` had in the batch as it was read."""
        indices = self.indices()
        return at if indices is None else indices[at]


def matched(before: Sequence[Record], after: Sequence[Record]) -> list[int]:
    """The source of each record after a step that was given a whole batch: the same object; where there is none, the
    record in the same place if their numbers are equal, else that of the record before it.
    """
    places = {id(record): place for place, record in enumerate(before)}
    sources = [places.get(id(record), -1) for record in after]
    if -1 in sources:
        aligned = len(before) == len(after)
        for at, source in enumerate(sources):
            if source < 0:
                sources[at] = at if aligned else sources[at - 1] if at else 0
    return sources
