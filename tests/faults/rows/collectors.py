"""Collectors that come, go and forget, and connections that break while they sync."""

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from faults.fleet import PATIENCE, Fleet
from faults.load import Load
from faults.row import Outcome, Row, Run
from support.faults import Faults
from support.fleet import copy, restore
from support.processes import Node, wait_for
from support.proxied import Proxied

SYNC_MS: Final = 120


def in_turn(run: Run) -> Outcome:
    """One of two collectors is killed or stopped, under load; the agent goes to the other one and comes back."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    nodes = {name: fleet.collector(name) for name in "ab"}
    agent = fleet.agent("agent", "a", "b", more="batch: {max_delay: 20ms}\n")
    fleet.up(*nodes.values(), agent)
    load = Load(fleet.logs("agent"), run.dice, ["app0", "app1"], rate=1000)
    load.start()
    at = Follow(fleet, "a", "b")
    at.wait_grown()
    for _ in range(run.injections):
        used = at.used()
        victim = nodes[used if run.dice.random() < 0.8 else run.dice.choice("ab")]
        outcome.fired += victim is nodes[used]
        if run.dice.random() < 0.7:
            victim.kill()
        else:
            fleet.stop(victim)
        if run.dice.random() < 0.5:
            outcome.recover.append(at.wait_grown())
            victim.start()
        else:
            victim.start()
            outcome.recover.append(at.wait_grown())
        time.sleep(run.dice.uniform(0, 0.5))
    load.finish()
    fleet.written.update(load.written)
    fleet.wait("a", "b")
    fleet.stop(agent, *nodes.values())
    fleet.judge(outcome, "a", "b", audited=["agent", "a", "b"])
    outcome.notes.append(f"at both of them: {fleet.heard('a', 'b').doubled} lines")
    return outcome


class Follow:
    """Sees which of several outputs grows."""

    def __init__(self, fleet: Fleet, *names: str) -> None:
        self._outs = {name: fleet.out(name) for name in names}
        self._sizes = self._now()

    def _now(self) -> dict[str, int]:
        return {name: out.stat().st_size if out.exists() else 0 for name, out in self._outs.items()}

    def used(self) -> str:
        """Which one grew last."""
        self.wait_grown()
        now, before = self._now(), self._sizes
        self._sizes = now
        return max(now, key=lambda name: now[name] - before[name])

    def wait_grown(self) -> float:
        """Wait until one of them grows beyond what it is now: how many seconds that took."""
        begin, self._sizes = time.monotonic(), self._now()
        wait_for(
            lambda: any(size > self._sizes[name] for name, size in self._now().items()),
            "lines at a collector",
            PATIENCE,
        )
        return time.monotonic() - begin


def forgets(run: Run) -> Outcome:
    """All that the collector knows is gone, or as it was some time ago, between two runs of it."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    collector, agent = fleet.collector("collector"), fleet.agent("agent", "collector")
    home, backup = fleet.home("collector"), run.place / "backup"
    fleet.up(collector, agent)
    for number in range(run.injections):
        fleet.write("agent", "app", 100)
        fleet.wait("collector")
        fleet.stop(collector)
        if number % 2:
            restore(backup, home)
        else:
            shutil.rmtree(backup, ignore_errors=True)
            copy(home, backup)
            shutil.rmtree(home)
        outcome.fired += 1
        fleet.write("agent", "app", 100)
        collector.start()
        begin = time.monotonic()
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begin)
    fleet.stop(agent, collector)
    assert "a new stream id" not in agent.output(), "what a collector forgot is no other history"
    return fleet.judge(outcome, "collector", audited=["agent"])


def mid_sync(run: Run) -> Outcome:
    """Every sync of the collector takes long, and the connection is reset in the middle of one, again and again, until
    lines have arrived in spite of it.
    """
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    faults = Faults(run.place, f"fdatasync:delay_enter={SYNC_MS * 1000}")
    collector = fleet.collector("collector", inside=faults.inside)
    with Proxied(fleet.ports["collector"]) as proxy:
        agent = fleet.agent("agent", more="batch: {max_delay: 20ms}\n", addresses=[f"127.0.0.1:{proxy.port}"])
        fleet.up(collector, agent)
        load = Load(fleet.logs("agent"), run.dice, ["app0", "app1"], rate=300)
        load.start()
        Follow(fleet, "collector").wait_grown()
        size = fleet.out("collector").stat().st_size
        begin = time.monotonic()
        resets = 0
        while resets < run.injections or fleet.out("collector").stat().st_size == size:
            assert resets < run.injections or time.monotonic() < begin + PATIENCE, "nothing arrives between resets"
            before = proxy.connections
            wait_for(lambda: syncs(collector), "a sync", PATIENCE)
            proxy.cut()
            outcome.fired += syncs(collector)
            wait_for(lambda: proxy.connections > before, "another connection", PATIENCE)  # noqa: B023
            time.sleep(run.dice.uniform(0, 3 * SYNC_MS / 1000))
            resets += 1
        outcome.injected = resets
        begin = time.monotonic()
        load.finish()
        fleet.written.update(load.written)
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begin)
        fleet.stop(agent, collector)
    return fleet.judge(outcome, "collector", audited=["agent", "collector"])


def syncs(node: Node) -> bool:
    """The tracer holds one of its threads: all that it holds up are syncs."""
    for task in Path(f"/proc/{node.process.pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "t":
                return True
    return False


def no_strace() -> str | None:
    """Why syncs cannot be held up."""
    return None if shutil.which("strace") else "there is no strace"


ROWS = [
    Row(
        "collectors in turn",
        "One of two collectors, mostly the one in use, is killed or stopped under load; the agent goes to the other "
        "and comes back (a line may be at both, and counts as doubled if it is twice at one).",
        "once",
        in_turn,
        short=6,
        long=300,
    ),
    Row(
        "a collector that forgets",
        "The data directory of a collector is removed, or an older copy put in its place.",
        "once",
        forgets,
        short=3,
        long=100,
        every=True,
    ),
    Row(
        "reconnect in the middle of a sync",
        f"Each fdatasync of the collector takes {SYNC_MS} ms longer, and the connection is reset during one.",
        "once",
        mid_sync,
        short=10,
        long=500,
        needs=no_strace,
    ),
]
