"""A run: faults for a while, then quiet until all has arrived, then the oracle; again and again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from faults.oracle import Judge
from simulation.archive import Archive
from simulation.faults import ALL, Faults
from simulation.lines import LogFile
from simulation.network import Network
from simulation.nodes import MOST_HELD, MOST_ON_DISK
from simulation.roles import COPY, Agent, Collector
from simulation.world import Broken, World
from support.shared_world import Topic

from shipper.ledger.audit import audit
from shipper.ledger.extent import Span, merged
from shipper.spool.inspect import look

if TYPE_CHECKING:
    from shipper.ledger.account import Account

_QUIET: Final = 900.0
"""Seconds after which everything must have arrived."""
_BURSTS: Final = 4000
"""Of an outage: about 20 MB, which is ten times a spool."""
_FAULTS: Final = 20
"""Of an outage."""
LOOKS: Final = 72
"""Of an outage: how often it is looked how much agents hold."""


_SAID: Final = 400
"""Characters of a line of the log that are shown."""


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    name: str = "plain"
    """Under which it is replayed: see ``plans.py``."""
    agents: int = 2
    collectors: int = 1
    """With several, agents go from one to the other, and back."""
    files: int = 3
    delivered: bool = False
    """Collectors acknowledge what their sinks have."""
    kinds: Sequence[str] = ALL
    once: bool = True
    """No line may arrive twice."""
    shared: bool = False
    """All collectors deliver to one store, each stream one at a time, as to Kafka: with ``delivered``."""
    copies: bool = False
    """Agents have a second sink, which drops its oldest records when it is behind."""
    framed: bool = False
    """Agents and collectors have a processor: they decode each frame and make new ones of it, often several."""
    storm: tuple[float, float] = (20.0, 120.0)
    """Seconds of faults, from and to."""


@dataclass
class Figures:
    """What came of it."""

    steps: int = 0
    seconds: float = 0.0
    """Simulated ones."""
    recover: list[float] = field(default_factory=list)
    """From the end of the faults until everything had arrived, in simulated seconds."""
    held: int = 0
    """Bytes that were not durable, at most, of one agent in an outage."""
    on_disk: int = 0
    """Bytes on the disk of one agent, at most, in an outage."""
    trace: int = 0


class Simulation:
    """One world, its machines and what goes wrong."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.world = World(seed)
        self.plan = plan
        self.network = Network(self.world)
        self.all = Judge()
        """Hears every archive."""
        names = [f"collector-{number}" for number in range(plan.collectors)]
        self.each = [self.all] if plan.shared else [Judge() for _ in names]
        """One hears one archive."""
        archives = [Archive(self.world, *dict.fromkeys((judge, self.all))) for judge in self.each]
        topic = Topic() if plan.shared else None
        self.collectors = [
            Collector(self.network, name, archive, delivered=plan.delivered, topic=topic, framed=plan.framed)
            for name, archive in zip(names, archives * (len(names) if plan.shared else 1), strict=True)
        ]
        self.agents: list[Agent] = []
        for number in range(plan.agents):
            preferred = names[number % len(names) :] + names[: number % len(names)]
            copy = Archive(self.world, Judge()) if plan.copies else None
            self.agents.append(Agent(self.network, f"agent-{number}", preferred, plan.files, copy, framed=plan.framed))
        self.nodes = [*self.agents, *self.collectors]
        self.faults = Faults(self.network, self.agents, self.collectors, plan.kinds)
        self.figures = Figures()
        self._asked = 0
        """Steps that were asked for."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """The world, with all machines started."""
        with self.world.installed(), self.network.installed():
            for node in self.nodes:
                node.start()
            yield

    @property
    def written(self) -> dict[str, int]:
        """Lines by file."""
        return {file: count for agent in self.agents for file, count in agent.programs.written.items()}

    def run(self, steps: int) -> Figures:
        """So many steps, and a few more. :raises Broken: a promise was broken."""
        self._asked = steps
        with self.running():
            while self.world.steps < steps:
                self.storm(steps - self.world.steps)
                self.settle()
        self.figures.steps = self.world.steps
        self.figures.seconds = self.world.now
        self.figures.trace = self.world.trace
        return self.figures

    def storm(self, most_steps: int) -> None:
        """Programs write, and things go wrong."""
        for agent in self.agents:
            agent.programs.quiet = False
        self.faults.begin()
        self._go(self.world.dice.uniform(*self.plan.storm), most_steps)

    def outage(self, hours: float) -> None:
        """Nothing comes through the network for hours, while programs write many times what a spool holds."""
        for agent in self.agents:
            agent.programs.quiet = False
            agent.programs.pause = hours * 3600 / _BURSTS
        self.faults.pause = hours * 3600 / _FAULTS
        self.faults.begin()
        for link in self.network.links.values():
            self.network.hold(link, "up", "down")
        for _ in range(LOOKS):
            self._go(hours * 3600 / LOOKS, 1 << 60)
            for agent in self.agents:
                self.figures.held = max(self.figures.held, agent.held)
                self.figures.on_disk = max(self.figures.on_disk, agent.disk.used)
                if agent.held > MOST_HELD:
                    raise self._broken(f"{agent.name} holds {agent.held} bytes in memory")
                if agent.disk.used > MOST_ON_DISK:
                    raise self._broken(f"{agent.name} has {agent.disk.used} bytes on its disk")

    def settle(self) -> None:
        """Everything works, nobody writes: all that was written arrives. :raises Broken: it does not."""
        for agent in self.agents:
            agent.programs.quiet = True
        self.faults.heal()
        began, total = self.world.now, sum(self.written.values())
        try:
            arrived = self.world.run(lambda: self._has_arrived(total), _QUIET)
        except AssertionError as error:
            raise self._broken(str(error)) from error
        self.judge(f"{_QUIET:.0f} s after the last fault" if not arrived else "")
        self.figures.recover.append(self.world.now - began)

    def _has_arrived(self, total: int) -> bool:
        if self.all.seen - self.all.doubled < total or not all(agent.copied for agent in self.agents):
            return False
        return "restore" not in self.plan.kinds or all(map(_has_read, self.agents))

    def judge(self, late: str) -> None:
        """:raises Broken: not every line is there once, unaltered, in order."""
        lost = self.all.lost(self.written)
        found = [f"{len(lost)} lines did not arrive: {lost[:5]}"] if lost else []
        if self.all.altered:
            found.append(f"{self.all.altered} lines were altered or invented")
        if self.plan.once and self.all.doubled:
            found.append(f"{self.all.doubled} lines arrived twice")
        if any(judge.misordered for judge in self.each) and self.plan.once:
            found.append(f"out of order: {[judge.misordered for judge in self.each]}")
        for agent in self.agents:
            if agent.copy is not None and not late:
                found += self._wrong_copy(agent, agent.copy)
        if found or late:
            raise self._broken("; ".join([*found, late]))
        if said := self.ledgers():
            raise self._broken(f"the ledger: {said}")

    def ledgers(self) -> str:
        """What the ledgers of agents and collectors say that is not so; nothing: they balance."""
        found = []
        there = [look(collector.disk).ledger.accounts for collector in self.collectors]
        for agent in self.agents:
            here = look(agent.disk).ledger.accounts
            for file in agent.programs.files:
                if file.lines:
                    found += self._wrong(f"{agent.name}: {file.name}", file, [here])
                    if "wipe" not in self.plan.kinds:
                        found += self._wrong(f"collectors: {file.name}", file, there)
        exact = [] if "restore" in self.plan.kinds else self.agents
        for node in [*exact, *(self.collectors if self.plan.once and len(self.collectors) == 1 else ())]:
            balances = audit(node.disk, look(node.disk), node.name).accounts
            found += [f"{node.name}: {one.file}: {problem}" for one in balances for problem in one.problems]
        return "; ".join(found)

    def _wrong(self, where: str, file: LogFile, ledgers: "Sequence[dict[bytes, Account]]") -> list[str]:
        accounts = [ledger[file.generation] for ledger in ledgers if file.generation in ledger]
        covered: list[Span] = []
        for account in accounts:
            for span in account.covered:
                merged(covered, *span)
        found = [] if covered == [(0, len(file.data))] else [f"{where}: {covered} of {len(file.data)} bytes"]
        if self.plan.once and len(ledgers) == 1:
            twice, read = sum(account.twice.bytes for account in accounts), sum(account.read for account in accounts)
            found += [f"{where}: {twice} bytes twice"] if twice else []
            found += [f"{where}: {read} of {file.lines} lines"] if read != file.lines else []
        return found

    def _wrong_copy(self, agent: Agent, copy: Archive) -> list[str]:
        """What an agent's second sink did not get is what it was told that it would not get."""
        judge = copy.judges[0]
        lost = judge.lost(agent.programs.written)
        told = [gap.records for gap in copy.gaps]
        accounts = look(agent.disk).ledger.accounts
        files = {file.name: file for file in agent.programs.files}
        forgone = sum(
            extent.bytes
            for file in files.values()
            if file.generation in accounts
            for extent in accounts[file.generation].forgone.get(COPY, {}).values()
        )
        size = sum(files[name].size(number) for name, number in lost)
        found = []
        if min(told, default=0) >= 0 and sum(told) != len(lost):
            found.append(f"{agent.name}: the copy was told of gaps {told}, and lacks {len(lost)} lines")
        if judge.altered or judge.doubled or judge.misordered:
            found.append(f"{agent.name}: {judge.altered} altered, {judge.doubled} doubled, {judge.misordered} late")
        if forgone < size:
            found.append(f"{agent.name}: the ledger has {forgone} bytes forgone of {size}")
        return found

    def _go(self, seconds: float, most_steps: int) -> None:
        try:
            self.world.run(lambda: False, seconds, most_steps)
        except AssertionError as error:
            raise self._broken(str(error)) from error

    def _broken(self, what: str) -> Broken:
        world = self.world
        said = "\n".join(line[:_SAID] for line in list(world.said.lines)[-5:])
        return Broken(
            f"seed {world.seed}, step {world.steps}, {world.now:.3f} s: {what}\n"
            f"again: PYTHONPATH=tests .venv/bin/python -m simulation {world.seed} {self._asked} '{self.plan.name}'\n"
            f"faults: {dict(self.faults.fired)}\n"
            f"the latest: {list(world.latest)}\n{said}"
        )


def _has_read(agent: Agent) -> bool:
    """It has read its files. One whose data directory was put back reads again what had arrived before."""
    state = look(agent.disk).state
    at = {key.rpartition("/")[2]: value for key, value in state.items() if key.startswith("source/")}
    return all(int(at.get(file.name, b"0")) == len(file.data) for file in agent.programs.files)
