"""The network between simulated machines, at the level of gRPC's messages: bytes, in order, on calls that break.

Between two machines lies a ``Link``: it may be slow, hold everything back (a partition: nobody is told), hold back one
direction (half-open), or break the calls on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from unittest import mock

from simulation.ports import Finished, Ship, SimPort

if TYPE_CHECKING:
    from simulation.calls import Call
    from simulation.process import Process
    from simulation.world import World

_KEEPALIVE: Final = (20.0, 40.0)
"""Seconds after which gRPC finds that nothing comes through any more."""
Wire = tuple[str, str]


class Link:
    """Between an agent and a collector."""

    def __init__(self) -> None:
        self.delay = (0.0005, 0.02)
        """Seconds that a message takes, from and to."""
        self.held: set[str] = set()
        """Directions in which nothing comes through: "up" to the collector, "down" to the agent."""
        self.calls: dict[Call, None] = {}
        self.waiting: list[tuple[Call, Callable[[], object]]] = []
        """What was held back: TCP sends it again once the link is back."""


class Network:
    """All links, and who listens."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.links: dict[Wire, Link] = {}
        self.ports: dict[str, SimPort] = {}
        self.calls = 0
        """Calls made so far."""
        self.lost = 0
        """Messages that were on their way when their call broke."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Ports that are opened are of this network."""

        def port(listen: str, _most: int, _certificates: object, ship: Ship, _refused: object) -> SimPort:
            assert self.world.running is not None
            return SimPort(self, self.world.running, listen, ship)

        with mock.patch("shipper.sources.grpc.Port", port), mock.patch("shipper.sources.grpc.Unfinished", Finished):
            yield

    def link(self, agent: str, collector: str) -> Link:
        """That of a pair."""
        return self.links.setdefault((agent, collector), Link())

    def send(self, call: "Call", way: str, action: Callable[[], object]) -> None:
        """Have something arrive at the other side, after all that was sent before it."""
        now = self.world.now
        due = max(call.arrives.get(way, 0.0), now + self.world.dice.uniform(*call.link.delay))
        call.arrives[way] = due

        def arrive() -> None:
            if way in call.link.held:
                if call.context is not None or call.ended is None:  # nobody knocks for a client that gave up
                    call.link.waiting.append((call, arrive))
            else:
                action()

        self.world.at(due - now, f"{call.name} {way}", arrive)

    def hold(self, link: Link, *ways: str) -> None:
        """Let nothing through; keepalive ends the calls on it in time, if it lasts."""
        link.held.update(ways)
        for call in list(link.calls):
            for end in (call.fail, call.hang_up):
                self.world.at(self.world.dice.uniform(*_KEEPALIVE), f"{call.name} keepalive", _unless_back(link, end))

    def release(self, link: Link) -> None:
        """Let everything through again."""
        link.held.clear()
        waiting, link.waiting = link.waiting, []
        for _, arrive in waiting:
            arrive()

    def reset(self, link: Link) -> None:
        """Break the calls on a link; both sides are told."""
        for call in list(link.calls):
            call.fail()
            call.hang_up()

    def died(self, process: "Process", *, silently: bool) -> None:
        """A process is gone. ``silently``: with its machine, so that nobody closed its connections."""
        for port in [port for port in self.ports.values() if port.process is process]:
            del self.ports[port.address]
        for link in self.links.values():
            for call in list(link.calls):
                if call.process is process:
                    call.abandon()
                    self._tell(call, "up", call.hang_up, silently=silently)
                elif call.context is not None and call.context.port.process is process:
                    call.context.gone = True
                    self._tell(call, "down", call.fail, silently=silently)

    def _tell(self, call: "Call", way: str, end: Callable[[], object], *, silently: bool) -> None:
        if silently:
            self.world.at(self.world.dice.uniform(*_KEEPALIVE), f"{call.name} keepalive", end)
        else:
            self.send(call, way, end)


def _unless_back(link: Link, end: Callable[[], object]) -> Callable[[], object]:
    def check() -> None:
        if link.held:
            end()

    return check
