"""Power cuts."""

import random
import time
from collections import Counter
from typing import Final

from faults.couple import Couple, bad
from faults.load import Load
from faults.programs import Programs
from faults.row import Outcome, Row, Run
from support import cut_disk
from support.cut_disk import CutDisks, cut_disks, freeze
from support.processes import wait_for

_FILES: Final = ["app0", "app1", "app2", "app3"]
_RATE: Final = 900
"""Lines a second."""
_SYNCS: Final = {"app0": 0.1, "app1": 0.02, "app2": 0.0, "app3": 0.0}
"""How likely the programs are to sync after a write."""
_ROTATE: Final = 1.5
"""Seconds."""
_CHECK: Final = 100
"""Cuts after which all that arrived is judged."""


def _run(run: Run) -> Outcome:
    """The logs are on another disk: what the programs wrote is there, whatever becomes of the agent's."""
    with cut_disks(run.place, "upper", "lower") as disks:
        couple = Couple(
            run.place, homes=(disks.paths["upper"], disks.paths["lower"]), inside=disks.inside, seen=disks.seen
        )
        try:
            return _cut_again_and_again(run, disks, couple)
        finally:
            for node in couple.nodes:
                if node.running:
                    node.kill()


def _cut_again_and_again(run: Run, disks: CutDisks, couple: Couple) -> Outcome:
    load = Load(couple.logs, run.dice, _FILES, rate=_RATE)
    outcome = Outcome(run.injections, 0, 0)
    load.start()
    couple.start()
    couple.resumed()
    cut: Counter[str] = Counter()
    for number in range(1, run.injections + 1):
        cut[_cut(run.dice, disks, couple, outcome)] += 1
        if number % _CHECK == 0:
            load.rest()
            couple.settle(load.total)
            if bad(load.judge(outcome, couple.out)):
                outcome.notes.append(f"it was found after {number} cuts")
                break
            load.go_on()
    outcome.notes += [f"{count} {what}" for what, count in sorted(cut.items())]
    return couple.finish(outcome, load)


def _cut(dice: random.Random, disks: CutDisks, couple: Couple, outcome: Outcome) -> str:
    """Under load, or while they start and recover. It fired if data went that nobody had synced."""
    when = _wait(dice, couple, outcome)
    victims = _Victims(disks, couple, dice.choice([["upper"], ["lower"], ["upper", "lower"]]))
    victims.freeze()
    outcome.fired += victims.cut()
    victims.start()
    return f"of {victims}, {when}"


def _wait(dice: random.Random, couple: Couple, outcome: Outcome) -> str:
    """Until a moment to cut the power."""
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, 0.6))
        return "soon after a start"
    outcome.recover.append(couple.resumed())
    time.sleep(dice.uniform(0, 0.3))
    return "under load"


class _Victims:
    """Who is on the disks that are cut."""

    def __init__(self, disks: CutDisks, couple: Couple, names: list[str]) -> None:
        whose = {"upper": couple.agent, "lower": couple.collector}
        self._disks, self._names = disks, names
        self._nodes = [whose[name] for name in names]

    def __str__(self) -> str:
        return " and ".join(sorted(node.config.stem for node in self._nodes))

    def freeze(self) -> None:
        """They do nothing more."""
        for node in self._nodes:
            freeze(node.process.pid)

    def cut(self) -> bool:
        """The power goes and comes again. Whether it took data that nobody had synced, from each disk."""
        for name in self._names:
            self._disks.cut(name)
        for node in self._nodes:
            node.kill()
        gone = [self._disks.restore(name) for name in self._names]
        return all(gone)

    def start(self) -> None:
        """Again."""
        for node in self._nodes:
            node.start()


def _run_on_one_disk(run: Run) -> Outcome:
    """The logs are on the agent's disk: the cut takes their ends, their new names and new files among them."""
    with cut_disks(run.place, "upper", "lower") as disks:
        upper, lower = disks.paths["upper"], disks.paths["lower"]
        couple = Couple(run.place, homes=(upper, lower), logs=upper / "logs", inside=disks.inside, seen=disks.seen)
        programs = Programs(couple.logs, run.dice, _SYNCS, rate=_RATE, rotate=_ROTATE)
        try:
            return _take_ends_again_and_again(run, disks, couple, programs)
        finally:
            programs.halt()
            for node in couple.nodes:
                if node.running:
                    node.kill()


def _take_ends_again_and_again(run: Run, disks: CutDisks, couple: Couple, programs: Programs) -> Outcome:
    outcome = Outcome(run.injections, 0, 0)
    programs.start()
    couple.start()
    couple.resumed()
    wait_for(lambda: all(f"{name}.log".encode() in couple.out.read_bytes() for name in _SYNCS), "lines of every log")
    programs.known.set()
    taken: Counter[str] = Counter()
    for number in range(1, run.injections + 1):
        taken += _take_ends(run.dice, disks, couple, programs, outcome)
        if number % _CHECK == 0:
            _rest(couple, programs)
            if bad(programs.judge(outcome, couple.out)):
                outcome.notes.append(f"it was found after {number} cuts")
                break
            programs.start()
    _rest(couple, programs)
    outcome.notes.append(f"what the cuts took: {', '.join(f'{count} {what}' for what, count in taken.items())}")
    return couple.finish(outcome, programs)


def _rest(couple: Couple, programs: Programs) -> None:
    """All that the logs hold arrives."""
    programs.finish()
    couple.end_halves()
    couple.settle(programs.total)


def _take_ends(
    dice: random.Random, disks: CutDisks, couple: Couple, programs: Programs, outcome: Outcome
) -> Counter[str]:
    """What it took from the logs. It fired if bytes went that had been written."""
    _wait(dice, couple, outcome)
    victims = _Victims(disks, couple, dice.choice([["upper"], ["upper", "lower"]]))
    victims.freeze()
    time.sleep(dice.uniform(0, dice.choice([0.1, 1.0])))  # what no agent had the time to read, and to sync
    programs.halt()
    before = programs.files()
    victims.cut()
    after = programs.files()
    first = dice.random() < 0.5
    if first:
        programs.start()
    victims.start()
    if not first:
        programs.start()
    left = {inode: after.get(inode, ("", 0)) for inode in before}
    lost = sum(max(0, size - left[inode][1]) for inode, (_, size) in before.items())
    outcome.fired += lost > 0
    return Counter(
        {
            "bytes": lost,
            "new files": sum(not name for name, _ in left.values()),
            "new names": sum(left[inode][0] not in ("", name) for inode, (name, _) in before.items()),
        }
    )


ROWS = [
    Row(
        name="power cut",
        fault="The power of the disk of agent, collector or both is cut, under load and while they start "
        "and recover: ext4 on a loop device is shut down without its journal, unmounted and mounted again.",
        promise="once",
        run=_run,
        short=12,
        long=1_000,
        needs=cut_disk.missing,
        every=True,
    ),
    Row(
        name="power cut, logs on the same disk",
        fault="The power of the disk of logs and agent is cut, sometimes that of the collector as well: ends of "
        "logs that nobody synced, renames and new files are gone, and the programs go on with what is left.",
        promise="once",
        run=_run_on_one_disk,
        short=8,
        long=500,
        needs=cut_disk.missing,
    ),
]
