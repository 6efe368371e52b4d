"""Dead letters are replayed exactly once: through kills at every kind of system call, full disks, and each other."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faults import WRITES, Faults
from support.processes import Node, free_port, wait_for
from support.small_disk import SmallDisk
from support.strict import StrictAgent, dlq, listed

SMALL_BATCHES = "batch: {max_bytes: 4KiB}\n"
DEATHS = [("fdatasync", 9), ("fdatasync", 10), (WRITES, 12), (WRITES, 31), ("fdatasync", 15), ("fdatasync", 16)]
"""The call of the spool's thread at which the agent dies: of each batch it syncs the entry, then what it struck out."""


def replaying(agent: Node) -> "subprocess.Popen[bytes]":
    """``dlq replay --all`` on its way."""
    command = [sys.executable, "-m", "shipper", "dlq", "replay", str(agent.config), "--all"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def with_letters(agent: StrictAgent, lines: int, width: int = 200) -> None:
    """Have it read lines of which each second is refused, and stop and mend it."""
    agent.write(lines, bad=2, width=width)
    agent.up_and_running()
    wait_for(lambda: len(listed(agent)) == (lines + 1) // 2, "the dead letters")
    assert agent.stop() == 0
    agent.mend()


@pytest.mark.timeout(300)
def test_kills_at_any_system_call_of_a_replay_leave_each_letter_replayed_once(tmp_path: Path) -> None:
    """The agent dies at a write or a sync of its spool's thread, a little later each time; the collector counts."""
    port, out = free_port(), tmp_path / "out.ndjson"
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{out}'}}}}\n",
    )
    collector.start()
    sink = f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{min: 50ms, max: 200ms}}}}}}"
    agent = StrictAgent(tmp_path, sink, SMALL_BATCHES)
    lines = 2_000
    with_letters(agent, lines)
    for number, (call, when) in enumerate(DEATHS):
        trace = tmp_path / f"trace-{number}"
        trace.mkdir()
        faults = Faults(trace, f"{call}:signal=KILL:when={when}")
        inside = tuple(word for word in faults.inside if word != "--seccomp-bpf")  # with it strace sends no signals
        dying = StrictAgent(tmp_path, sink, SMALL_BATCHES, inside)
        dying.mend()
        dying.up_and_running()
        replaying(dying).communicate(timeout=60)
        assert dying.wait() == -signal.SIGKILL, dying.output()[-2000:]
    agent.up_and_running()
    asked = dlq("replay", agent.config, "--all")
    assert (asked.returncode, asked.stderr) == (0, ""), asked.stdout
    assert 0 < int(asked.stdout.split()[0]) < lines // 2, "some were replayed before"
    assert listed(agent, "--replayed") == []
    assert agent.stop() == 0
    wait_for(lambda: agent.arrived(out) >= lines, "all lines")
    assert collector.stop() == 0
    assert agent.numbers(out) == list(range(lines))


def test_replays_side_by_side_and_stops_between_them_replay_each_letter_once(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path, more=f"workers: 2\n{SMALL_BATCHES}")
    with_letters(agent, 4_000)
    agent.up_and_running()
    asking = [replaying(agent) for _ in range(2)]
    wait_for(lambda: len(listed(agent, "--replayed")) > len(listed(agent)), "the first letters to be replayed")
    assert agent.stop() == 0
    agent.up_and_running()
    asking += [replaying(agent) for _ in range(2)]
    for one in asking:
        one.communicate(timeout=60)
    assert [one.returncode for one in asking[2:]] == [0, 0]
    assert listed(agent) == []
    assert agent.stop() == 0
    assert agent.numbers() == list(range(4_000))


def test_lines_that_are_written_meanwhile_keep_their_order(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path, more=SMALL_BATCHES)
    with_letters(agent, 2_000)
    agent.up_and_running()
    asking = replaying(agent)
    with agent.written.open("a", buffering=1) as file:
        file.writelines(f"{number} later\n" for number in range(2_000, 4_000))
    said, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0, said
    wait_for(lambda: agent.arrived(agent.out) >= 4_000, "all lines")
    assert agent.stop() == 0
    arrived = [int(line.split(b'"')[3].split()[0]) for line in agent.out.read_bytes().splitlines()]
    assert sorted(arrived) == list(range(4_000))
    assert [number for number in arrived if number >= 2_000] == list(range(2_000, 4_000))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "small", 16 << 20)
    yield small
    for node in Node.all:
        if node.running:
            node.kill()
    small.close()


@pytest.mark.timeout(120)
def test_a_replay_onto_a_full_disk_waits_for_room_and_goes_on(tmp_path: Path, disk: SmallDisk) -> None:
    agent = StrictAgent(tmp_path, inside=tuple(disk.inside))
    agent.edit(f"data_dir: {tmp_path}/data", f"data_dir: {tmp_path}/small/data")
    outside = tmp_path / "outside.yaml"
    outside.write_text(agent.config.read_text().replace(f"{tmp_path}/small", str(disk.path)))
    dice = random.Random(1)
    lines = [f"{number} bad {dice.randbytes(330).hex()}\n" for number in range(4_000)]
    agent.written.write_text("".join(lines))
    agent.up_and_running()
    wait_for(lambda: len(dlq("ls", outside, "--json").stdout.splitlines()) == 4_000, "the dead letters")
    assert agent.stop() == 0
    agent.mend()
    agent.up_and_running()
    disk.fill(0)
    command = [*disk.inside, sys.executable, "-m", "shipper", "dlq", "replay", str(agent.config), "--all"]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: "no room: " in agent.output(), "the full disk")
    assert asking.poll() is None, "it waits"
    disk.clear()
    said, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0, said
    assert agent.stop() == 0
    assert agent.numbers() == list(range(4_000))
