"""The network between an agent and its collector fails in a real network: nothing lost, nothing twice, by itself."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.network import ADDRESSES, Cable
from support.processes import Node, records, wait_for

from shipper.sinks.grpc import GrpcSink

SOON = 30.0
"""Seconds after which shipping must go on once the network is there again; it takes about five."""


class Site:
    """An agent, a collector, and a writer that goes on whatever happens."""

    def __init__(self, folder: Path, cable: Cable, host: str = ADDRESSES["collector"]) -> None:
        self.cable = cable
        self.out = folder / "out.ndjson"
        self.collector = Node(
            folder,
            "collector",
            f"data_dir: {folder}/collector\nsources: {{edge: {{type: grpc, listen: '0.0.0.0:7420'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out}'}}}}\n",
            cable.inside("collector"),
        )
        self.agent = Node(
            folder,
            "agent",
            f"data_dir: {folder}/agent\nsources: {{app: {{type: file, include: ['{folder}/logs/*.log']}}}}\n"
            f"sinks: {{central: {{type: grpc, addresses: ['{host}:7420']}}}}\n",
            cable.inside("agent"),
        )
        (folder / "logs").mkdir()
        self._file = (folder / "logs" / "a.log").open("a", buffering=1)
        self.written = 0
        self._done = threading.Event()
        self._writer = threading.Thread(target=self._write)

    def start(self) -> None:
        self.collector.start()
        wait_for(lambda: "listening" in self.collector.output(), "the collector")
        self.agent.start()
        self._writer.start()
        self.arrives_again()

    def _write(self) -> None:
        while not self._done.wait(0.01):
            self._file.writelines(f"line {self.written + n} {os.urandom(50).hex()}\n" for n in range(5))
            self.written += 5

    def arrived(self) -> int:
        """Lines at the collector."""
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0

    def arrives_again(self) -> None:
        """What is written from now on gets through."""
        wanted = self.written + 1
        wait_for(lambda: self.arrived() >= wanted, "lines to arrive again", SOON)

    def nothing_arrives(self, seconds: float) -> None:
        """The fault is there: it lasts so long, and nothing gets through meanwhile."""
        time.sleep(0.5)  # what was on its way
        before = self.arrived()
        time.sleep(seconds)
        assert self.arrived() == before, "the fault did not fire"

    def close(self) -> None:
        """Stop writing, let all arrive, stop; every line is there once, in order."""
        self.end()
        wait_for(lambda: self.arrived() >= self.written, "all lines", SOON)
        assert self.agent.stop() == 0, self.agent.output()
        assert self.collector.stop() == 0, self.collector.output()
        numbers = [int(str(record["message"]).split()[1]) for record in records(self.out)]
        assert numbers == list(range(self.written))

    def end(self) -> None:
        """Stop writing."""
        self._done.set()
        if self._writer.ident is not None:
            self._writer.join()
        self._file.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Cable() as cable:
        site = Site(tmp_path, cable)
        try:
            site.start()
            yield site
        finally:
            site.end()
            for node in (site.agent, site.collector):  # before their network goes
                if node.running:
                    node.kill()


@pytest.mark.parametrize("seconds", [2, 20], ids=["shorter than the deadline", "longer than the deadline"])
def test_a_cable_that_is_unplugged(site: Site, seconds: int) -> None:
    """The deadline for acknowledgements is 15 s: beyond it the agent has given the connection up."""
    site.cable.unplug()
    site.nothing_arrives(seconds)
    assert ("cannot deliver" in site.agent.output()) == (seconds > GrpcSink.ack_deadline), site.agent.output()
    site.cable.plug()
    site.arrives_again()
    site.close()


@pytest.mark.parametrize("sides", [("agent",), ("collector",), ("agent", "collector")], ids=" and ".join)
def test_a_route_that_swallows_what_one_side_or_both_send(site: Site, sides: tuple[str, ...]) -> None:
    """Where only the collector's answers are lost, what it has is not sent a second time."""
    site.cable.swallow(*sides)  # type: ignore[arg-type]
    if "agent" in sides:
        site.nothing_arrives(3)
    else:
        time.sleep(3)
    site.cable.let_through(*sides)  # type: ignore[arg-type]
    site.arrives_again()
    site.close()


def test_a_narrow_link_is_used_and_the_connection_is_not_given_up(site: Site) -> None:
    """128 kbit/s, about half of what comes: a backlog grows, acknowledgements still come, and afterwards it drains."""
    site.cable.narrow("128kbit")
    time.sleep(8)
    assert site.arrived() < site.written - 300, "the fault did not fire"
    site.arrives_again()
    site.cable.widen()
    site.arrives_again()
    site.close()
    assert "cannot deliver" not in site.agent.output()


def test_a_host_name_with_several_addresses_works_while_one_of_them_answers(tmp_path: Path) -> None:
    """Nobody has the first; the second is the collector."""
    with Cable() as cable:
        cable.name(tmp_path, "collector", "10.77.0.99", ADDRESSES["collector"])
        site = Site(tmp_path, cable, "collector")
        try:
            site.start()
            site.close()
        finally:
            site.end()
            for node in (site.agent, site.collector):
                if node.running:
                    node.kill()
