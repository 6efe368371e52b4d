"""Rows in a simulated world: agents and collectors in one process, with simulated disks, networks, clocks and threads.

Injections are steps of the simulation here: one callback of an event loop, one stretch of a thread between two disk
operations, one message. The figures count the faults among them. Seconds to recover are simulated ones.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal

from faults.row import DRAINS, Outcome, Row, Run
from simulation.nodes import MOST_HELD, MOST_ON_DISK
from simulation.plans import PLANS
from simulation.simulation import LOOKS, Simulation

_WORLD: Final = 50_000
"""Steps of one world, at most: then another one begins, with another seed."""


def _add(outcome: Outcome, simulation: Simulation, counted: Counter[str]) -> None:
    faults, network, nodes = simulation.faults, simulation.network, simulation.nodes
    outcome.injected += faults.injected
    outcome.fired += faults.fired.total()
    outcome.written += sum(simulation.written.values())
    outcome.doubled += simulation.all.doubled
    outcome.recover += simulation.figures.recover
    counted.update({"steps": simulation.world.steps, "simulated minutes": int(simulation.world.now / 60), "worlds": 1})
    counted.update({"connections": network.calls, "messages lost with their connection": network.lost})
    counted["starts of a process"] += sum(node.lives for node in nodes)
    counted["processes ended by their disk"] += sum(node.failures for node in nodes)
    counted.update({f"fault {kind}": count for kind, count in sorted(faults.fired.items())})


def _counted(counted: Counter[str]) -> str:
    return ", ".join(f"{what}: {count}" for what, count in counted.items())


def _worlds(names: Sequence[str], run: Run) -> Outcome:
    """So many steps, in worlds of these plans in turn."""
    plans = [PLANS[name] for name in names]
    outcome, counted = Outcome(0, 0, 0), Counter[str]()
    while (left := run.injections - counted["steps"]) > 0:
        simulation = Simulation(run.dice.randrange(1 << 32), plans[counted["worlds"] % len(plans)])
        simulation.run(min(_WORLD, -(-run.injections // len(plans)), left))
        _add(outcome, simulation, counted)
    outcome.notes.append(_counted(counted))
    return outcome


def _outage(run: Run) -> Outcome:
    """``run.injections`` hours without a network, with processes that end meanwhile."""
    simulation = Simulation(run.dice.randrange(1 << 32), PLANS["outage"])
    with simulation.running():
        simulation.storm(5_000)
        simulation.settle()
        simulation.outage(run.injections)
        written = sum(simulation.written.values())
        backlog = written - simulation.all.seen
        live = written / simulation.world.now
        simulation.settle()
    outcome, counted = Outcome(0, 0, 0), Counter[str]()
    _add(outcome, simulation, counted)
    drained = backlog / simulation.figures.recover[-1]
    outcome.notes.append(
        f"{run.injections} hours without a network in which {live:.1f} lines a second came, then {backlog} lines at "
        f"{drained:.0f} a simulated second; the agent held at most {simulation.figures.held:,} bytes that were not "
        f"durable, and had at most {simulation.figures.on_disk:,} on its disk"
    )
    assert drained >= DRAINS * live, outcome.notes[-1]
    outcome.notes.append(_counted(counted))
    return outcome


def _row(
    name: str,
    fault: str,
    run: Callable[[Run], Outcome],
    short: int,
    long: int,
    *,
    once: bool = True,
    judged: str = "",
) -> Row:
    promise: Literal["once", "at least once"] = "once" if once else "at least once"
    judged = judged if once else "Where a line may come twice, its order is not judged."
    return Row(name, fault, promise, run, short, long, simulated=True, judged=judged)


ROWS: Final = [
    _row(
        "simulation: everything at once",
        "a simulated world: crashes and power cuts in the middle of disk operations, disks that refuse, fill up and "
        "drag, networks that part, reset and crawl, clocks, suspends, a sink that fails",
        partial(_worlds, ("plain", "delivered", "many")),
        45_000,
        1_000_000,
    ),
    _row(
        "simulation: collectors A, B, A",
        "the same with several collectors: agents go to the next one and come back; collectors get new disks",
        partial(_worlds, ("roaming", "roaming, new disks")),
        30_000,
        300_000,
        once=False,
    ),
    _row(
        "simulation: collectors that share streams",
        "the same, and all collectors deliver to one store with transactions, as to Kafka: each line once all the same",
        partial(_worlds, ("sharing", "sharing, new disks")),
        30_000,
        300_000,
    ),
    _row(
        "simulation: a sink that drops",
        "the same with a second sink at the agents that is away for minutes and drops its oldest records: the first "
        "one gets each line once, the second is told how many it lacks, and the ledger which",
        partial(_worlds, ("dropping",)),
        20_000,
        300_000,
    ),
    _row(
        "simulation: data directories put back",
        "the same, and now and then an agent's data directory is put back as it was before",
        partial(_worlds, ("put back", "put back, delivered")),
        30_000,
        300_000,
        once=False,
    ),
    _row(
        "simulation: clocks and suspends",
        "wall clocks jump by up to 10 years, machines are suspended for up to 2 hours, processes are killed",
        partial(_worlds, ("clocks",)),
        20_000,
        300_000,
    ),
    _row(
        "simulation: 72 h outage",
        "no network for 72 simulated hours (1 in the short form), while ten times what a spool holds is written and "
        "processes end",
        _outage,
        1,
        72,
        judged=f"{LOOKS} times in the outage it is looked at what the agent holds: the row fails if that is more than "
        f"{MOST_HELD:,} bytes in memory that are not durable, or more than {MOST_ON_DISK:,} bytes on its disk. "
        f"It also fails if the backlog does not drain {DRAINS:g} times as fast as lines came.",
    ),
]
