"""A journal, from journalctl to a collector, while the agent is killed."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journal import Journal
from support.processes import Node, free_port, records, wait_for

ENTRIES = 10_000
KILLS = 5


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def test_every_entry_arrives_once_and_in_order_while_the_agent_is_killed(tmp_path: Path, journal: Journal) -> None:
    """Under load, with a rotation between two kills; and no journalctl stays behind."""
    port = free_port()
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\n"
        f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{tmp_path}/out.ndjson'}}}}\n",
    )
    agent = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/agent\n"
        f"sources: {{journal: {{type: journald, directory: '{journal.directory}'}}}}\n"
        f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 200ms}}}}}}\n",
    )
    collector.start()
    agent.start()
    each = ENTRIES // (2 * KILLS)
    for turn in range(2 * KILLS):
        for begin in range(turn * each, (turn + 1) * each, each // 10):
            journal.many([b"entry %d\nof %d" % (number, ENTRIES) for number in range(begin, begin + each // 10)])
            time.sleep(0.01)
        if turn % 2:
            time.sleep(random.uniform(0, 0.3))
            agent.kill()
            agent.start()
        else:
            journal.rotate()
    out = tmp_path / "out.ndjson"
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") >= ENTRIES, agent.output()[-2000:])
    wait_for(lambda: agent.up, "the agent to be up")
    assert agent.stop() == 0, agent.output()[-3000:]
    assert collector.stop() == 0, collector.output()[-3000:]
    assert [record["message"] for record in records(out)] == [f"entry {n}\nof {ENTRIES}" for n in range(ENTRIES)]
    wait_for(lambda: not readers(journal.directory), "the end of every journalctl")


def readers(directory: Path) -> list[str]:
    """The command lines that read this journal."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if command[0] == b"journalctl" and f"--directory={directory}".encode() in command:
            found.append(str(process))
    return found
