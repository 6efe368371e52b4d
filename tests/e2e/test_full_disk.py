"""A real file system of 16 MiB, filled and freed again and again under a whole agent: all of it arrives, once."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Node, free_port, records, wait_for
from support.small_disk import SmallDisk

ROUNDS = 10
LINES = 15_000
"""A round; about 100 bytes each once they are compressed: more than a segment."""
SIZE = 16 * 1024 * 1024
DICE = random.Random(3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "small", SIZE)
    yield small
    for node in Node.all:
        if node.running:
            node.kill()
    small.close()


def write(log: Path, number: int) -> None:
    """The lines of a round."""
    with log.open("a") as file:
        file.writelines(f"{number * LINES + at} {DICE.randbytes(96).hex()}\n" for at in range(LINES))


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.timeout(300)
def test_a_disk_that_is_filled_and_freed_ten_times_loses_and_doubles_nothing(tmp_path: Path, disk: SmallDisk) -> None:
    """In turn: somebody takes all of it; the spool fills what is left while the collector is away. Twice it is killed
    and started while the disk is full.
    """
    port = free_port()
    (tmp_path / "logs").mkdir()
    log, out = tmp_path / "logs" / "a.log", tmp_path / "out.ndjson"
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{out}'}}}}\n",
    )
    agent = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/small/agent\nsources: {{app: {{type: file, include: ['{log}']}}}}\n"
        f"sinks: {{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 1s}}}}}}\n",
        inside=disk.inside,
    )
    collector.start()
    agent.start()
    wait_for(lambda: agent.up, "the agent")
    for number in range(ROUNDS):
        said = agent.output().count("no room: ")
        if number % 2:
            assert collector.stop() == 0, collector.output()
        disk.fill(1_200_000 if number % 2 else 0)
        write(log, number)
        wait_for(lambda: agent.output().count("no room: ") > said, f"round {number}: the full disk\n{agent.output()}")  # noqa: B023
        if number in (4, 7):
            agent.kill()
            agent.start()
        if number % 2:
            collector.start()
        assert agent.running, agent.output()
        disk.clear()
        wait_for(lambda: count(out) >= (number + 1) * LINES, f"round {number}: its lines\n{agent.output()[-3000:]}")  # noqa: B023
    assert agent.stop() == 0, agent.output()[-3000:]
    assert collector.stop() == 0, collector.output()[-3000:]
    seen = [int(str(record["message"]).split()[0]) for record in records(out)]
    assert seen == list(range(ROUNDS * LINES)), "every line once, in order"
    output = agent.output()
    assert "min_free" in output
    assert "the disk is full" in output
