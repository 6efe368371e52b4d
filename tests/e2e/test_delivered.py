"""``ack: delivered``: an agent, a relay that acknowledges what the next collector has, and that collector.

Real processes. What the relay says is what the far side has, so not even the loss of the relay's disk loses a line.
"""

import random
import shutil
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from support.fleet import LINES, Fleet, once_each_in_order
from support.processes import Node, free_port, wait_for


class Chain(Fleet):
    """Three nodes in a row; the files of ``Fleet`` at one end, its output at the other."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.far = self.collector("far")
        port = self.ports["relay"] = free_port()
        self.relay = Node(
            root,
            "relay",
            f"data_dir: {root}/relay\n"
            f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}', ack: delivered}}}}\n"
            f"sinks: {{far: {{type: grpc, addresses: ['127.0.0.1:{self.ports['far']}'], backoff: {{max: 200ms}},\n"
            f"  breaker: {{open_for: 200ms}}}}}}\n"
            "shutdown_timeout: 20s\n",
        )
        self.edge = self.agent("relay")
        self.edge.config.write_text(f"{self.edge.config.read_text()}batch: {{max_delay: 10ms}}\n")
        self.admins: dict[Node, int] = {}
        for node in (self.edge, self.relay):
            port = self.admins[node] = free_port()
            node.config.write_text(f"{node.config.read_text()}admin: {{listen: '127.0.0.1:{port}'}}\n")
        self.nodes = [self.edge, self.relay, self.far]

    def _count(self, node: Node, metric: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admins[node]}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except OSError:  # it is starting
            return 0
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(metric))

    @property
    def acknowledged(self) -> int:
        """How many lines the relay acknowledged to the agent since the agent's start."""
        return self._count(self.edge, "shipper_sink_acked_total{")

    def wait_spooled(self, count: int) -> None:
        """Wait until the relay has taken so many lines into its spool since its start, duplicates not counted."""
        kept = 'shipper_records_total{source="edge",stage="kept"}'
        wait_for(lambda: self._count(self.relay, kept) == count, f"{count} lines in the relay's spool")

    def wait_acknowledged(self, count: int) -> None:
        """Wait until the relay has acknowledged so many lines since the agent's start."""
        wait_for(lambda: self.acknowledged == count, f"the acknowledgement of {count} lines")

    def start_and_cut_off(self) -> None:
        """Ship the first lines all the way, then take the far side away: the next ones stay in the relay's spool."""
        for node in self.nodes:
            node.start()
        self.write()
        self.wait_acknowledged(LINES)
        assert self.far.stop() == 0
        self.write()
        self.wait_spooled(2 * LINES)

    def stop(self) -> None:
        """Stop all, the agent first."""
        for node in self.nodes:
            wait_for(lambda node=node: node.up, "a node")  # type: ignore[misc]
            assert node.stop() == 0, node.output()[-3000:]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_nothing_is_acknowledged_beyond_what_is_delivered_and_all_of_it_arrives_once(chain: Chain) -> None:
    chain.start_and_cut_off()
    assert chain.acknowledged == LINES
    chain.relay.kill()
    chain.relay.start()
    chain.write()
    chain.wait_spooled(LINES)
    assert chain.acknowledged == LINES
    chain.far.start()
    chain.wait("far")
    chain.wait_acknowledged(3 * LINES)
    chain.stop()
    assert chain.got("far") == chain.lines


def test_a_relay_whose_disk_is_lost_while_the_far_side_is_away_loses_nothing(chain: Chain) -> None:
    chain.start_and_cut_off()
    chain.relay.kill()
    shutil.rmtree(chain.root / "relay")
    chain.relay.start()
    chain.write()
    chain.far.start()
    chain.wait("far")
    chain.stop()
    assert chain.got("far") == chain.lines


def test_what_a_sink_leaves_out_and_what_it_gave_up_holds_up_no_acknowledgement(chain: Chain) -> None:
    """The relay has three sinks: the far side, one that takes few lines, one that is away and drops."""
    text = chain.relay.config.read_text().replace(
        "sinks: {far:",
        f"spool: {{max_bytes: 2MiB}}\n"
        f"sinks: {{few: {{type: file, path: '{chain.out('few')}', where: \"endswith(message, '7')\"}},\n"
        f"  away: {{type: grpc, addresses: ['127.0.0.1:{free_port()}'], when_full: drop_oldest, max_backlog: 64KiB}},\n"
        "  far:",
    )
    chain.relay.config.write_text(text)
    for node in chain.nodes:
        node.start()
    for _ in range(3000):
        chain.write(1, mark=random.randbytes(400).hex())
    wait_for(lambda: chain.acknowledged > len(chain.lines) / 2, "the acknowledgement of most lines")
    chain.wait("far")
    chain.stop()
    assert chain.got("far") == chain.lines
    assert chain.got("few") == [line for line in chain.lines if line.endswith("7")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("wiped", [False, True])
def test_kill_9_of_each_in_random_order_under_load(chain: Chain, wiped: bool) -> None:
    """Without loss of the relay's disk each line arrives once and in order; with it, at least once.

    A relay that lost its disk has a new stream: what the far side got and the agent did not hear of comes again.
    """
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    done = threading.Event()

    def pour() -> None:
        while not done.is_set():
            chain.write(40)
            time.sleep(0.02)

    for node in chain.nodes:
        node.start()
    chain.write()
    chain.wait_acknowledged(LINES)
    writer = threading.Thread(target=pour)
    writer.start()
    try:
        victims = chain.nodes * 3
        dice.shuffle(victims)
        for victim in victims:
            time.sleep(dice.uniform(0.1, 0.8))
            victim.kill()
            if wiped and victim is chain.relay:
                shutil.rmtree(chain.root / "relay", ignore_errors=True)  # it may not have begun before
            time.sleep(dice.uniform(0, 0.5))
            victim.start()
    finally:
        done.set()
        writer.join()
    chain.wait("far")
    chain.stop()
    got = chain.got("far")
    assert set(got) == set(chain.lines), f"seed {seed}"
    if not wiped:
        once_each_in_order(got)
