"""Kill -9 at random moments."""

import random
import signal
import time
from collections import Counter
from typing import Final

from faults.couple import Couple
from faults.load import Load
from faults.row import Outcome, Row, Run
from support.processes import Node, wait_for

_FILES: Final = [f"app{number}" for number in range(6)]
_RATE: Final = 900
"""Lines a second."""
_CHECK: Final = 100
"""Kills after which all that arrived is judged, so that a mistake is found while its logs are still to be found."""


def _run(run: Run) -> Outcome:
    couple = Couple(run.place)
    load = Load(couple.logs, run.dice, _FILES, rate=_RATE, rotate=1.5)
    outcome = Outcome(run.injections, 0, 0)
    load.start()
    wait_for(lambda: load.total > 0, "the files")
    couple.start()
    couple.resumed()
    load.known.set()
    hit: Counter[str] = Counter()
    for number in range(1, run.injections + 1):
        hit[_kill(couple, run.dice, outcome)] += 1
        if number % _CHECK == 0 and couple.is_bad(outcome, load, f"{number} kills"):
            break
    outcome.notes += [f"{count} {what}" for what, count in sorted(hit.items())]
    return couple.finish(outcome, load)


def _kill(couple: Couple, dice: random.Random, outcome: Outcome) -> str:
    """Both stages of a life are hit: while it starts and recovers, and under load; a few while they stop."""
    early = dice.random() < 0.5
    if early:
        time.sleep(dice.uniform(0, 0.6))
    else:
        outcome.recover.append(couple.resumed())
        time.sleep(dice.uniform(0, 0.3))
    victims = dice.choice([[couple.agent], [couple.collector], [couple.agent, couple.collector]])
    stops = dice.random() < 0.1
    if stops:
        for victim in victims:
            victim.signal(signal.SIGTERM)
        time.sleep(dice.uniform(0, 0.1))
    died = [_died(victim) for victim in victims]
    outcome.fired += all(died)
    assert all(died) or stops, f"a process ended by itself\n{couple.said()}"
    for victim in victims:
        victim.start()
    names = " and ".join(sorted(victim.config.stem for victim in victims))
    return f"of {names}, {'while stopping' if stops else 'soon after a start' if early else 'under load'}"


def _died(node: Node) -> bool:
    """Of our kill, and of nothing else before."""
    node.kill()
    return node.process.returncode == -signal.SIGKILL


ROWS = [
    Row(
        name="kill -9 at random moments",
        fault="Agent, collector or both are killed while they start, recover, work and stop, under load, while the "
        "files are rotated.",
        promise="once",
        run=_run,
        short=25,
        long=1_100,
    )
]
