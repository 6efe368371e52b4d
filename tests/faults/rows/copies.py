"""Data directories that are used twice: two processes at once, clones, backups that are put back."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from faults.fleet import PATIENCE, Fleet
from faults.load import Load
from faults.oracle import line, messages, place_of
from faults.row import Outcome, Row, Run
from support.fleet import copy, restore
from support.processes import Node, wait_for

from shipper.ledger.extent import SHOWN, Span, size
from shipper.spool.inspect import LookingDisk, look

BATCH = 120
"""Lines that are written in one go."""


def started(run: Run) -> tuple[Fleet, Node, Node]:
    """A collector and an agent at work, the first lines shipped."""
    fleet = Fleet(run.place)
    collector = fleet.collector("collector")
    agent = fleet.agent("agent", "collector")
    fleet.up(collector, agent)
    ship(fleet)
    return fleet, collector, agent


def ship(fleet: Fleet, times: int = 1) -> None:
    """Write to the agent's log, and wait until all of it has arrived."""
    for _ in range(times):
        fleet.write("agent", "app", BATCH)
        fleet.wait("collector")


def two_processes(run: Run) -> Outcome:
    """The second one beside one that is at work, or both at the same moment."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    collector, agent = fleet.collector("collector"), fleet.agent("agent", "collector")
    second = Node(run.place, "second", agent.config.read_text())
    fleet.up(collector, agent)
    load = Load(fleet.logs("agent"), run.dice, ["app0", "app1"], rate=2000)
    load.start()
    owner, other = agent, second
    for _ in range(run.injections):
        if together := run.dice.random() < 0.5:
            owner.kill()
            owner.start()
        other.start()
        wait_for(lambda: not (owner.running and other.running), "one to be refused", PATIENCE)  # noqa: B023
        if not owner.running:
            assert together, f"who was at work ended:\n{owner.output()[-3000:]}"
            owner, other = other, owner
        assert other.wait() == 1, other.output()[-3000:]
        assert "is in use by another process" in other.output(), other.output()[-3000:]
        fleet.wait_up(owner)
        outcome.fired += 1
    load.finish()
    fleet.written.update(load.written)
    fleet.wait("collector")
    fleet.stop(owner, collector)
    return fleet.judge(outcome, "collector", audited=["agent", "collector"])


def cloned(run: Run) -> Outcome:
    """Original and clone go on, each with files of its own; then the original is cloned again."""
    outcome = Outcome(run.injections, 0, 0)
    fleet, collector, agent = started(run)
    agents = ["agent"]
    for number in range(run.injections):
        name = f"clone{number}"
        fleet.rest(agent, run.dice)
        copy(fleet.home("agent"), fleet.home(name))
        clone = fleet.agent(name, "collector")
        alarms = said(agent)
        for _ in range(run.dice.choice([0, 0, 2])):  # its epochs are ahead of the original's, and nobody knows
            fleet.stop(collector)
            fleet.up(clone)
            clone.kill()
            fleet.up(collector)
        nodes = [agent, clone]
        run.dice.shuffle(nodes)
        begun = time.monotonic()
        for node in nodes:
            node.start()
            fleet.write("agent", "app", BATCH)
            fleet.write(name, name, BATCH)
        wait_for(lambda: said(agent) + said(clone) > alarms, "an alarm", PATIENCE)  # noqa: B023
        outcome.fired += 1
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begun)
        fleet.stop(clone)
        agents.append(name)
    fleet.stop(agent, collector)
    return judge(fleet, outcome, agents)


def said(node: Node) -> int:
    """How often it raised the alarm and took a new stream id."""
    return node.output().count("a new stream id") if node.log.exists() else 0


def put_back(run: Run) -> Outcome:
    """A backup takes the agent's place while the collector is there, or away while what was put back grows."""
    outcome = Outcome(run.injections, 0, 0)
    fleet, collector, agent = started(run)
    backup = run.place / "backup"
    for number in range(run.injections):
        grown = number % 2 == 1
        fleet.rest(agent, run.dice)
        shutil.rmtree(backup, ignore_errors=True)
        copy(fleet.home("agent"), backup)
        agent.start()
        ship(fleet, times=3)
        alarms = said(agent)
        if grown:
            grow_offline(fleet, collector, agent, backup)
        else:
            fleet.rest(agent, run.dice)
            restore(backup, fleet.home("agent"))
            fleet.write("agent", "app", BATCH)
            agent.start()
        begun = time.monotonic()
        fleet.wait("collector")
        ship(fleet)
        outcome.recover.append(time.monotonic() - begun)
        outcome.fired += said(agent) > alarms
    fleet.stop(agent, collector)
    return judge(fleet, outcome, ["agent"])


def grow_offline(fleet: Fleet, collector: Node, agent: Node, backup: Path) -> None:
    """What was put back runs beyond all numbers and epochs that the collector knows, before that hears of it."""
    fleet.stop(agent, collector)
    restore(backup, fleet.home("agent"))
    for _ in range(2):
        fleet.up(agent)
        agent.kill()
    fleet.up(agent)
    spool = fleet.home("agent") / "spool"
    for _ in range(6):
        known = look(LookingDisk(spool)).next_seq
        fleet.write("agent", "app", BATCH)  # a frame of its own
        wait_for(lambda known=known: look(LookingDisk(spool)).next_seq > known, "a frame", PATIENCE)  # type: ignore[misc]
    fleet.up(collector)


def judge(fleet: Fleet, outcome: Outcome, agents: list[str]) -> Outcome:
    """Nothing is lost, no two records share an identity, and the collector's ledger counts what came twice, to
    the byte, and names them, or the first of many; and nothing else.
    """
    fleet.judge(outcome, "collector", audited=agents)
    named: dict[str, tuple[int, list[Span]]] = {}
    others: list[str] = []
    for account in accounts(fleet.home("collector")):
        others += [problem for problem in account["problems"] if not problem.endswith("read twice")]
        if account["twice"]["ranges"]:
            ranges = [(start, end) for start, end in account["twice"]["ranges"]]
            named[Path(account["file"]).stem] = account["twice"]["bytes"], ranges
    if others:
        outcome.ledger = "\n".join([outcome.ledger, *others])
    counted = {log: (size(spans), spans[:SHOWN]) for log, spans in twice(fleet).items()}
    if named != counted:
        outcome.ledger = f"it says that these came twice: {named}, and these did: {counted}"
    outcome.notes.append("the collector's ledger counts each byte that came twice")
    return outcome


def accounts(data_dir: Path) -> list[Any]:
    """What the ledger of a node says of each file."""
    command = [sys.executable, "-m", "shipper", "audit", "--json", str(data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return list(json.loads(done.stdout)["accounts"])


def twice(fleet: Fleet) -> dict[str, list[Span]]:
    """The bytes of each log that a collector has more than once."""
    places = Counter(filter(None, map(place_of, messages(fleet.out("collector")))))
    spans: dict[str, list[Span]] = {}
    for log, count in fleet.written.items():
        at = 0
        for number in range(count):
            end = at + len(line(log, number)) + 1
            if places[log, number] > 1:
                known = spans.setdefault(log, [])
                begin = known.pop()[0] if known and known[-1][1] == at else at
                known.append((begin, end))
            at = end
    return spans


ROWS = [
    Row(
        "two processes on one data directory",
        "A second agent is started on a data directory that is in use, or both at once after a kill -9.",
        "once",
        two_processes,
        short=6,
        long=200,
        every=True,
    ),
    Row(
        "cloned data directory",
        "An agent's data directory is copied after a stop or a kill -9, and original and clone go on; the clone's runs "
        "are sometimes ahead.",
        "at least once",
        cloned,
        short=2,
        long=60,
        every=True,
    ),
    Row(
        "restored data directory",
        "An older copy takes the place of an agent's data directory, and goes on at once, or grows while the collector "
        "is away.",
        "at least once",
        put_back,
        short=2,
        long=100,
        every=True,
    ),
]
