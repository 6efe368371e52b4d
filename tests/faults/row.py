"""A row of the fault campaign: what is done to a running shipper, and what became of the lines meanwhile."""

import importlib
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

BALANCED: Final = "balanced"
"""What the ledger says when every byte is accounted for."""
SOON: Final = 5.0
"""Seconds in which lines have to arrive again once a network is whole, the median of all times."""
DRAINS: Final = 5.0
"""So many times as fast as lines come a backlog has to drain, the median of all times."""
_ROWS: Final = Path(__file__).parent / "rows"


@dataclass
class Run:
    """One run of a row."""

    place: Path
    """An empty folder; it goes when the row has passed."""
    injections: int
    """How many faults, or steps."""
    seed: int
    dice: random.Random
    """All chance of a row comes from here: a seed replays it, but for what processes and disks do by themselves."""


@dataclass
class Outcome:
    """The figures of a run."""

    injected: int
    """Faults that were meant to be."""
    fired: int
    """Those that hit a process at work: a fault that did not proves nothing."""
    written: int
    """Lines that were durable at their source."""
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    """Altered, or invented: not one of those that were written."""
    misordered: int = 0
    """Lines that came after a later one of their file."""
    ledger: str = BALANCED
    """Or the imbalance in words."""
    recover: list[float] = field(default_factory=list)
    """Seconds from the end of a fault until lines arrived again, where it could be measured."""
    drained: list[float] = field(default_factory=list)
    """How many times as fast as lines came each backlog drained, where it could be measured."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One kind of fault."""

    name: str
    """Unique; what ``--only`` looks for."""
    fault: str
    """What is done, in a sentence."""
    promise: Literal["once", "at least once"]
    """Whether a line may come twice (recognisable as such)."""
    run: Callable[[Run], Outcome]
    short: int
    """Injections of a run in ``make test``."""
    long: int
    """Injections of a run in ``make torture``."""
    needs: Callable[[], str | None] = lambda: None
    """None: it can run on this machine. Otherwise why it cannot, in words."""
    every: bool = False
    """Every injection has to fire."""
    soon: bool = False
    """Lines have to arrive again within ``SOON``."""
    drains: bool = False
    """A backlog has to drain as fast as ``DRAINS``."""
    simulated: bool = False
    """Seconds to recover are those of a simulated clock."""
    audited: bool = True
    """The ledger is asked; otherwise ``Outcome.ledger`` says nothing."""
    judged: str = ""
    """For the report: what is judged, where that is another thing than in other rows."""

    def begin(self, place: Path, seed: int, injections: int) -> Run:
        """What ``run`` takes."""
        return Run(place, injections, seed, random.Random(f"{self.name} {seed}"))

    def problems(self, outcome: Outcome) -> list[str]:
        """Why the run does not count as passed; nothing: it does."""
        found = [
            f"{count} {what}"
            for what, count in (
                ("lost", outcome.lost),
                ("doubled", outcome.doubled if self.promise == "once" else 0),
                ("altered", outcome.altered),
                ("out of order", outcome.misordered),
            )
            if count
        ]
        if outcome.written == 0:
            found.append("nothing was written")
        if outcome.fired < (outcome.injected if self.every else 1):
            found.append(f"{outcome.fired} of {outcome.injected} faults fired")
        if outcome.ledger != BALANCED:
            found.append(f"the ledger: {outcome.ledger}")
        return found

    def late(self, outcome: Outcome) -> list[str]:
        """What was too slow. For the long form alone: a machine that runs tests side by side is slow by itself."""
        found = []
        if self.soon and statistics.median(outcome.recover or [math.inf]) > SOON:
            found.append(f"lines took more than {SOON:g} s to arrive again, half of the times")
        if self.drains and statistics.median(outcome.drained or [0.0]) < DRAINS:
            found.append(f"a backlog drained less than {DRAINS:g} times as fast as lines came, half of the times")
        return found

    def pace(self, outcome: Outcome) -> list[str]:
        """What ``late`` judges, in words."""
        said = []
        if self.soon and outcome.recover:
            within = sum(seconds <= SOON for seconds in outcome.recover)
            said.append(
                f"lines arrived again within {SOON:g} s {within} of {len(outcome.recover)} times (the median counts): "
                f"all that had waited, and one that was written later"
            )
        if self.drains and outcome.drained:
            middle, least = statistics.median(outcome.drained), min(outcome.drained)
            said.append(
                f"a backlog drained {middle:.1f} times as fast as lines came, {least:.1f} times at least "
                f"({DRAINS:g} are asked for, of the median)"
            )
        return said


def all_rows() -> list[Row]:
    """The rows of every file in ``rows``, file by file. :raises ValueError: two have one name."""
    rows: list[Row] = []
    for path in sorted(_ROWS.glob("*.py")):
        rows += importlib.import_module(f"faults.rows.{path.stem}").ROWS
    names = [row.name for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two rows have one name: {', '.join(sorted(twice))}")
    return rows
