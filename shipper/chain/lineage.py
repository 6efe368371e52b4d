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
    aligned = len(before) == len(after)
    sources: list[int] = []
    for at, record in enumerate(after):
        found = places.get(id(record), -1)
        if found < 0:
            found = at if aligned else sources[-1] if sources else 0
        sources.append(found)
    return sources
