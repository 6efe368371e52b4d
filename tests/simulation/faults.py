"""What goes wrong in a simulated world, and how it is healed."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from simulation.network import Link, Network
from simulation.nodes import LATENCY, Node
from simulation.roles import Agent, Collector
from support.simdisk import SimDisk, Survival

if TYPE_CHECKING:
    from simulation.archive import Archive

_YEARS: Final = 10 * 365 * 86400.0
_SURVIVALS: Final[tuple[Survival, ...]] = ("none", "some", "some", "all")
_KINDS: Final = ("create", "write", "sync", "sync_folder", "truncate")
_UNLIMITED: Final = SimDisk().capacity

ALL: Final = (
    "kill",
    "power",
    "stop",
    "refuse",
    "full",
    "drag",
    "cut",
    "half",
    "reset",
    "slow",
    "clock",
    "suspend",
    "sink",
)
"""Those after which every line still arrives exactly once."""


class Faults:
    """Begins faults at random moments until it is told to stop."""

    def __init__(
        self, network: Network, agents: Sequence[Agent], collectors: Sequence[Collector], kinds: Sequence[str]
    ) -> None:
        self.pause = 5.0
        """Seconds between two faults, about."""
        self.injected = 0
        self.fired: Counter[str] = Counter()
        self._world = network.world
        self._network = network
        self._agents = agents
        self._collectors = collectors
        self._nodes: list[Node] = [*agents, *collectors]
        self._kinds = kinds
        self._on = 0
        """Which storm it is; 0: none."""
        self._storms = 0
        self._images: dict[Agent, SimDisk] = {}

    def begin(self) -> None:
        """Let things go wrong."""
        self._storms += 1
        self._on = self._storms
        self._plan()

    def heal(self) -> None:
        """Nothing more goes wrong, and everything works again."""
        self._on = 0
        for link in self._network.links.values():
            link.delay = Link().delay
            self._network.release(link)
        for node in self._nodes:
            node.wake()
            node.disk.faults.clear()
            node.latency = LATENCY
            node.disk.capacity = _UNLIMITED
            node.start()
        for archive in self._archives:
            archive.trouble = 0.0
            archive.away = False

    @property
    def _archives(self) -> "list[Archive]":
        copies = [agent.copy for agent in self._agents if agent.copy is not None]
        return list(dict.fromkeys([*(collector.archive for collector in self._collectors), *copies]))

    def _plan(self) -> None:
        self._later(self._world.dice.expovariate(1 / self.pause), "a fault", self._next)

    def _next(self) -> None:
        kind = self._world.dice.choice(self._kinds)
        action: Callable[[], bool] = getattr(self, f"_{kind}")
        self.injected += 1
        self._world.note(kind)
        self._count(kind, action())
        self._plan()

    def _later(self, delay: float, what: str, action: Callable[[], object]) -> None:
        storm = self._on

        def act() -> None:
            if self._on == storm:  # else all was healed meanwhile
                action()

        self._world.at(delay, what, act)

    def _between(self, low: float, high: float) -> float:
        return self._world.dice.uniform(low, high)

    def _node(self) -> Node:
        return self._world.dice.choice(self._nodes)

    def _links(self) -> list[Link]:
        """One, those of one collector, or all."""
        links = self._network.links
        collector = self._world.dice.choice(self._collectors).address
        one = [links[wire] for wire in sorted(links) if wire[1] == collector]
        how = self._world.dice.randrange(3)
        if how == 0:
            return one
        return [self._world.dice.choice(one)] if how == 1 and one else list(links.values())

    # The faults: each returns whether it hit something

    def _kill(self) -> bool:
        node = self._node()

        def kill() -> None:
            self._count("kill", node.process is not None)
            node.kill()
            self._later(self._between(0.05, 5.0), f"{node.name} starts", node.start)

        self._soon(node, kill)
        return False

    def _power(self) -> bool:
        node, dice = self._node(), self._world.dice
        data, names = dice.choice(_SURVIVALS), dice.choice(_SURVIVALS)

        def cut() -> None:
            self._count("power", node.process is not None)
            node.cut_power(data, names)
            self._later(self._between(0.5, 20.0), f"{node.name} starts", node.start)

        self._soon(node, cut)
        return False

    def _soon(self, node: Node, action: Callable[[], object]) -> None:
        """Now, or while the disk is at work."""
        storm = self._on

        def act() -> None:
            if self._on == storm:
                node.latency = LATENCY
                action()

        dice = self._world.dice
        if dice.random() < 0.2:
            action()
            return
        if dice.random() < 0.5:  # what waits for the disk is what a crash takes
            node.latency = (0.01, dice.uniform(0.02, 2.0))
        node.after_steps(dice.randint(1, 40), act)

    def _count(self, kind: str, hit: bool) -> None:
        if hit:
            self.fired[kind] += 1

    def _stop(self) -> bool:
        node = self._node()
        node.stop()
        return node.process is not None

    def _refuse(self) -> bool:
        node, dice = self._node(), self._world.dice
        for kind in dice.sample(_KINDS, 2):
            node.disk.faults[kind] = [dice.choice(("", "", "EIO", "ENOSPC")) for _ in range(dice.randint(1, 6))]
        node.disk.faults["read"] = ["EIO"]  # not for good: what a disk never gives again is lost, and counted
        return node.process is not None and node.disk.failing

    def _drag(self) -> bool:
        node, dice = self._node(), self._world.dice
        node.latency = (0.0, 0.01, dice.uniform(0.05, 3.0))

        def fast() -> None:
            node.latency = LATENCY

        self._later(self._between(0.5, 20.0), f"the disk of {node.name} is fast", fast)
        return node.process is not None

    def _full(self) -> bool:
        node, dice = self._node(), self._world.dice
        node.disk.capacity = node.disk.used + dice.choice((0, 4096, 200_000))

        def free() -> None:
            node.disk.capacity = _UNLIMITED

        self._later(self._between(0.5, 40.0), f"{node.name} has room", free)
        return node.process is not None

    def _hold(self, *ways: str) -> bool:
        hit = False
        for link in self._links():
            hit = hit or bool(link.calls)
            self._network.hold(link, *ways)
            self._later(self._between(0.1, 60.0), "a link is back", lambda link=link: self._network.release(link))  # type: ignore[misc]
        return hit

    def _cut(self) -> bool:
        return self._hold("up", "down")

    def _half(self) -> bool:
        return self._hold(self._world.dice.choice(("up", "down")))

    def _reset(self) -> bool:
        hit = False
        for link in self._links():
            hit = hit or bool(link.calls)
            self._network.reset(link)
        return hit

    def _slow(self) -> bool:
        links = self._links()
        for link in links:
            link.delay = (0.1, self._world.dice.uniform(0.2, 4.0))

            def fast(link: Link = link) -> None:
                link.delay = Link().delay

            self._later(self._between(1.0, 30.0), "a link is fast", fast)
        return bool(links)

    def _clock(self) -> bool:
        node, dice = self._node(), self._world.dice
        node.wall = dice.choice((-_YEARS, _YEARS, dice.uniform(-_YEARS, _YEARS), 0.0))
        return node.process is not None

    def _suspend(self) -> bool:
        node = self._node()
        hit = node.process is not None and node.asleep_since is None
        node.suspend()
        self._later(self._between(1.0, self._world.dice.choice((5.0, 60.0, 7200.0))), f"{node.name} wakes", node.wake)
        return hit

    def _sink(self) -> bool:
        archive, dice = self._world.dice.choice(self._archives), self._world.dice
        archive.away = dice.random() < 0.3
        archive.trouble = dice.random()

        def better() -> None:
            archive.away, archive.trouble = False, 0.0

        self._later(self._between(0.5, 30.0), "the archive is back", better)
        return True

    # Those that cost doubles

    def _restore(self) -> bool:
        """An agent's data directory is put back as it was a while ago."""
        agent = self._world.dice.choice(self._agents)
        image = self._images.get(agent)
        if image is None or self._world.dice.random() < 0.3:
            self._images[agent] = agent.disk.copy()
            return False
        agent.kill()
        agent.disk = image.copy()
        agent.start()
        return True

    def _wipe(self) -> bool:
        """A collector gets a new disk."""
        collector = self._world.dice.choice(self._collectors)
        hit = collector.process is not None
        collector.kill()
        collector.disk = SimDisk()
        self._later(self._between(0.1, 5.0), f"{collector.name} starts", collector.start)
        return hit

    # Those that cost records of a sink that may drop

    def _lag(self) -> bool:
        """The store of an agent's own is away for so long that its sink drops records."""
        copy = self._world.dice.choice(self._agents).copy
        assert copy is not None, "agents have no second sink in this plan"
        copy.away = True

        def back() -> None:
            copy.away = False

        self._later(self._between(20.0, 150.0), "a store is back", back)
        return True
