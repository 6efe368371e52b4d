"""What simulated machines are: agents, and collectors."""

from collections.abc import Sequence
from typing import Any, Final, cast

from simulation.archive import Archive, ArchiveSink
from simulation.lines import Programs, follow
from simulation.network import Network
from simulation.nodes import Node
from simulation.ports import SimDoor
from simulation.shared import SharedSink
from support.shared_world import Topic

from shipper.sinks.base import Sink
from shipper.sinks.delivery import Delivery
from shipper.sinks.grpc import GrpcSink
from shipper.sinks.sharing import Sharing
from shipper.sources.grpc import GrpcSource
from shipper.spool.spool import Spool

COPY: Final = "copy"
"""The sink that may drop."""
_MOST_BACKLOG: Final = 256 * 1024


class Agent(Node):
    """Follows log files and ships them; also to a store of its own, if that takes them fast enough."""

    def __init__(
        self,
        network: Network,
        name: str,
        collectors: list[str],
        files: int,
        copy: Archive | None = None,
        *,
        framed: bool = False,
    ) -> None:
        super().__init__(network, name, framed=framed)
        self.programs = Programs(network.world, name, files)
        self.collectors = collectors
        self.copy = copy

    @property
    def sinks(self) -> Sequence[str]:
        """See ``Node``."""
        return ("central",) if self.copy is None else ("central", COPY)

    @property
    def limits(self) -> dict[str, int | None]:
        """See ``Node``."""
        return {} if self.copy is None else {COPY: _MOST_BACKLOG}

    @property
    def copied(self) -> bool:
        """The store of its own has all that it can still get."""
        spool = self.spool
        return self.copy is None or (spool is not None and self.copy.next.get(spool.home, 1) >= spool.next_seq)

    def _begin(self, spool: Spool) -> tuple[list[Any], list[Delivery]]:
        intake = self._intake(spool, "app", Sharing([]))
        sink = GrpcSink(addresses=[f"{name}:7420" for name in self.collectors])
        sink.setup()
        assert self.process is not None
        sink._door = cast(Any, SimDoor(self.network, self.process))
        deliveries = [self._delivery("central", sink, spool)]
        if self.copy is not None:
            deliveries.append(self._delivery(COPY, ArchiveSink().use(self.copy), spool))
        return [follow(self.programs.files, intake)], deliveries


class Collector(Node):
    """Takes what agents send and delivers it to its archive."""

    def __init__(
        self,
        network: Network,
        name: str,
        archive: Archive,
        *,
        delivered: bool,
        topic: Topic | None = None,
        framed: bool = False,
    ) -> None:
        """``topic``: others deliver the same streams to the same archive, and this says whose turn it is."""
        super().__init__(network, name, framed=framed)
        self.archive = archive
        self._topic = topic
        self.address = f"{name}:7420"
        self._delivered = delivered

    def _begin(self, spool: Spool) -> tuple[list[Any], list[Delivery]]:
        topic, archive = self._topic, self.archive
        sink: Sink = ArchiveSink().use(archive) if topic is None else SharedSink().use(archive, topic)
        intake = self._intake(spool, "edge", Sharing([sink]))
        source = GrpcSource(listen=self.address, ack="delivered" if self._delivered else "spool")
        source.setup()
        return [source.run(intake, once=False)], [self._delivery("central", sink, spool)]
