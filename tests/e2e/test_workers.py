"""``workers: 2`` in real agents: every line once, in order, whatever is killed."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.processes import Node, records, wait_for
from support.whole import whole_records

LINES = 30_000
STEPS = 3
CONFIG = """
data_dir: {folder}/data
workers: 2
sources:
  app: {{type: file, include: ["{folder}/a.log"], processors: [{processors}]}}
sinks: {{out: {{type: file, path: "{folder}/out.ndjson"}}}}
"""
NUMBERED = '''
"""Beside the config."""

from shipper import Processor, Record


class Numbered(Processor):
    """Number the records of a file, over all batches."""

    bisect = False

    def setup(self) -> None:
        self.last = 0

    def process(self, record: Record) -> Record:
        self.last += 1
        return record | {"number": self.last}

    def snapshot(self) -> bytes:
        return b"%d" % self.last

    def restore(self, state: bytes) -> None:
        self.last = int(state)
'''
LOCAL = '''
"""Beside the config."""

from shipper import Processor, Record


def make():
    class Local(Processor):
        """It stands in a function."""

        def process(self, record: Record) -> Record:
            return record

    return Local


Local = make()
'''
CHAINS = {
    "free": "parse_json, drop: {where: \"kind == 'odd'\"}",
    "bound": "parse_json, './numbered.py:Numbered'",
}


@pytest.fixture(params=CHAINS)
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    (tmp_path / "numbered.py").write_text(NUMBERED)
    return Node(tmp_path, "agent", CONFIG.format(folder=tmp_path, processors=CHAINS[request.param]))


def write(node: Node, start: int, end: int) -> None:
    """Append lines of these numbers to the log."""
    with (node.config.parent / "a.log").open("a") as log:
        for n in range(start, end):
            log.write(f'{{"n":{n},"kind":"{("even", "odd")[n % 2]}","text":"{"x" * (n * 7 % 150)}"}}\n')


def arrived(node: Node) -> list[dict[str, Any]]:
    """The records at the sink so far."""
    return whole_records(node.config.parent / "out.ndjson")


def check(node: Node) -> None:
    """Each line once, in order, with the right number."""
    found = list(records(node.config.parent / "out.ndjson"))
    bound = "number" in found[0]
    assert [record["n"] for record in found] == list(range(0, LINES, 1 if bound else 2))
    if bound:
        assert [record["number"] for record in found] == list(range(1, LINES + 1))


def workers_of(node: Node) -> list[int]:
    """The process ids of the agent's workers."""
    pid = node.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def kill_workers(node: Node) -> None:
    """Kill -9."""
    for pid in workers_of(node):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_backlog_arrives_in_order(agent: Node) -> None:
    write(agent, 0, LINES)
    agent.start("--once")
    assert agent.wait() == 0
    check(agent)
    assert "everything is delivered" in agent.output()


def wait_for_more(node: Node, than: int) -> None:
    """Until more records have arrived."""
    wait_for(lambda: len(arrived(node)) > than, "records")


def wait_for_end(pids: list[int]) -> None:
    """Until these processes are gone."""
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of the workers")


def test_workers_that_are_killed_lose_and_double_nothing(agent: Node) -> None:
    agent.start()
    wait_for(lambda: agent.up, "the agent")
    for start in range(0, LINES, LINES // STEPS):
        before = len(arrived(agent))
        write(agent, start, start + LINES // STEPS)
        wait_for(lambda: len(workers_of(agent)) == 2, "both workers")
        kill_workers(agent)
        wait_for_more(agent, before)
    wait_for(lambda: arrived(agent)[-1]["n"] >= LINES - 2, "the last line")
    assert agent.stop() == 0
    check(agent)


def test_an_agent_that_is_killed_or_stopped_goes_on_where_it_was(agent: Node) -> None:
    """Its workers are gone with it."""
    for step, start in enumerate(range(0, LINES, LINES // STEPS)):
        write(agent, start, start + LINES // STEPS)
        before = len(arrived(agent))
        agent.start()
        wait_for_more(agent, before)
        workers = workers_of(agent)
        if step % 2:
            assert agent.stop() == 0
        else:
            agent.kill()
        wait_for_end(workers)
    agent.start("--once")
    assert agent.wait() == 0
    check(agent)


def test_workers_that_cannot_start_are_said_at_once(tmp_path: Path) -> None:
    """A class that stands in a function."""
    (tmp_path / "local.py").write_text(LOCAL)
    (tmp_path / "a.log").write_text("a line\n")
    node = Node(tmp_path, "agent", CONFIG.format(folder=tmp_path, processors="'./local.py:Local'"))
    node.start()
    assert node.wait() == 1
    assert "worker 0 of 2 cannot be started" in node.output()
    assert "define its class at the top of a module" in node.output()
