"""Errors of the disk, injected at the system calls of a real agent and a real collector.

Single ones are survived by the process that runs; ones that stay end it, and the next start has everything. Nothing is
acknowledged that is not durable. At the end every line is there, once, in order.
"""

import random
import time
from pathlib import Path

import pytest
from support.faults import WRITES, Faults
from support.processes import Node, free_port, records, wait_for

LINES = 1_000
DICE = random.Random(1)


class Pair:
    """An agent that reads a file, and a collector that writes one. Faults hit one of them, or both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log, self.out = folder / "a.log", folder / "out.ndjson"
        self.log.touch()
        port = free_port()
        self._configs = {
            "collector": f"data_dir: {folder}/collector\nspool: {{max_bytes: 2MiB}}\n"
            f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out}'}}}}\n",
            "agent": f"data_dir: {folder}/agent\nspool: {{max_bytes: 2MiB}}\nbatch: {{max_bytes: 4KiB}}\n"
            f"sources: {{app: {{type: file, include: ['{self.log}']}}}}\n"
            f"sinks: {{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{min: 50ms, max: 200ms}}}}}}\n",
        }
        self.written = 0

    def start(self, name: str, *rules: str) -> tuple[Node, Faults]:
        """Start one of the two under these faults."""
        place = self.folder / f"{name}-trace"
        place.mkdir(exist_ok=True)
        faults = Faults(place, *rules)
        node = Node(self.folder, name, self._configs[name], inside=faults.inside if rules else ())
        node.start()
        wait_for(lambda: node.up or not node.running, f"the {name}")
        return node, faults

    def write(self, count: int = LINES) -> None:
        """Lines, a few at a time, so that the spools write many groups."""
        with self.log.open("a", buffering=1) as file:
            for begin in range(self.written, self.written + count, 50):
                file.writelines(f"{number} {DICE.randbytes(100).hex()}\n" for number in range(begin, begin + 50))
                time.sleep(0.02)
        self.written += count

    def wait_arrived(self) -> None:
        """All that was written is in the collector's file."""
        wait_for(lambda: self.out.exists() and self.out.read_bytes().count(b"\n") >= self.written, "all lines", 30)

    def check(self, *nodes: Node) -> None:
        """They stop when they are asked to, and every line is there, once, in order."""
        for node in nodes:
            assert node.stop() == 0, node.output()[-3000:]
        seen = [int(str(record["message"]).split()[0]) for record in records(self.out)]
        assert seen == list(range(self.written))


def hit_writer(node: Node, faults: Faults) -> bool:
    """The fault hit a segment, and not in the opening, which is the main thread's."""
    return any(call.thread != node.process.pid for call in faults.fired(".seg"))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


# What ``when=`` counts is counted for each thread: never three in a row, in the opening as in the writer. The file sink
# takes a new thread for each try, so of what it calls the first few go well.
@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["fdatasync:error=EIO:when=5+5"], "cannot sync"),
        ([f"{WRITES}:error=EIO:when=2+3"], "Input/output error; check the disk"),
        ([f"{WRITES}:error=ENOSPC:when=2+5"], "No space left on device"),
        (["fallocate:error=EDQUOT:when=2+3"], "quota exceeded"),
        ([f"{WRITES}:retval=0:when=2+2"], ""),  # a short write; what is left goes through pwrite64
        ([f"{WRITES}:retval=0:when=2+2", "pwrite64:retval=0:when=3+3"], "bytes could be written"),
    ],
)
def test_single_errors_are_survived_by_agent_and_collector(pair: Pair, rules: list[str], said: str) -> None:
    (collector, below), (agent, above) = pair.start("collector", *rules), pair.start("agent", *rules)
    pair.write()
    while not (hit_writer(collector, below) and hit_writer(agent, above)):
        assert pair.written < 10 * LINES, "the fault hit a segment while the process ran"
        pair.write(200)
    pair.wait_arrived()
    pair.check(agent, collector)
    assert said in collector.output()
    assert said in agent.output()


@pytest.mark.parametrize("call", ["fdatasync", WRITES])
@pytest.mark.parametrize("name", ["agent", "collector"])
def test_a_disk_that_refuses_for_good_ends_the_process_and_nothing_was_acknowledged_that_is_not_durable(
    pair: Pair, name: str, call: str
) -> None:
    """What no sync followed stays in the page cache (nor can it be cut off); a power cut takes it."""
    rules = [f"{call}:error=EIO:when=9+", "ftruncate:error=EIO"]
    nodes = {each: pair.start(each, *(rules if each == name else ())) for each in ("collector", "agent")}
    node, faults = nodes[name]
    while node.running and pair.written < 10 * LINES:
        pair.write(100)
    assert node.wait() == 1, node.output()[-3000:]
    assert "Input/output error; check the disk" in node.output()
    faults.wait_ended(node.process.pid)
    assert len(faults.fired(f"/{name}/spool/")) >= 3, "the fault fired"
    assert faults.cut_power() or call != "fdatasync"
    nodes[name] = pair.start(name)
    pair.wait_arrived()
    pair.check(nodes["agent"][0], nodes["collector"][0])
