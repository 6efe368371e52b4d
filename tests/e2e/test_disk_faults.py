"""Errors of the disk, injected at the system calls of a real agent and a real collector.

Single ones are survived by the process that runs; ones that stay end it, and the next start has everything. Nothing is
acknowledged that is not durable. At the end every line is there, once, in order.
"""

from pathlib import Path

import pytest
from support.faults import WRITES, Faults
from support.pair import LINES, Pair
from support.processes import Node


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
    faults.cut_power()  # of nothing, where the disk refused the cursors first
    nodes[name] = pair.start(name)
    pair.wait_arrived()
    pair.check(nodes["agent"][0], nodes["collector"][0])
