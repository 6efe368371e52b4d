"""The workloads that peers are measured with: 2 to 5."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from benchmarks import throughput
from benchmarks.lines import Corpus
from benchmarks.throughput import Workload

WORKLOADS: Final[dict[str, Callable[[int], Workload]]] = {
    "2": throughput.added,
    "3": throughput.changed,
    "4": throughput.access,
    "5": throughput.errors,
}


@dataclass(frozen=True)
class Job:
    """A workload and its file."""

    workload: Workload
    corpus: Corpus

    @classmethod
    def make(cls, number: str, lines: int, folder: Path) -> "Job":
        """The workload with so many lines; the file is written if it is not there."""
        workload = WORKLOADS[number](lines)
        return cls(workload, Corpus.write(workload.kind, lines, folder))

    def first(self, lines: int, folder: Path) -> "Job":
        """The same with the beginning of the file."""
        return Job(replace(self.workload, lines=lines), Corpus.write(self.workload.kind, lines, folder))

    @cached_property
    def wanted(self) -> int:
        """How many records must arrive."""
        return sum(self.workload.expect(line) is not None for line in self.corpus)
