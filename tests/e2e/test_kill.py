"""Kill -9, again and again, of the agent and of the collector: every line once, in order."""

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Node, free_port, records, wait_for

FILES = 20
LINES = int(os.environ.get("SHIPPER_E2E_LINES", "60000"))
"""The long run takes 1,000,000."""
KILLS = int(os.environ.get("SHIPPER_E2E_KILLS", "10"))
"""Of each process."""
SEED = int(os.environ.get("SHIPPER_E2E_SEED", "0")) or random.randrange(1, 10**6)


def line(file: int, number: int) -> str:
    text = f"{file} {number} {'x' * (number * 7 % 150)}"
    return f"{text} {hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


class Writer(threading.Thread):
    """Appends to all files in turn, now and then in the middle of a line."""

    def __init__(self, folder: Path, each: int) -> None:
        super().__init__()
        self._paths = [folder / f"app-{file}.log" for file in range(FILES)]
        self._each = each
        self.written = 0

    def run(self) -> None:
        dice = random.Random(SEED)
        handles = [path.open("ab", buffering=0) for path in self._paths]
        step = max(1, self._each // 200)
        for begin in range(0, self._each, step):
            for file, handle in enumerate(handles):
                data = "".join(line(file, n) + "\n" for n in range(begin, min(begin + step, self._each))).encode()
                cut = dice.randrange(len(data))
                handle.write(data[:cut])
                handle.write(data[cut:])
            self.written = min(begin + step, self._each)
            time.sleep(0.09)
        for handle in handles:
            handle.close()


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Node, Node]:
    port = free_port()
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\n"
        f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{tmp_path}/out/{{source}}.ndjson'}}}}\n"
        "shutdown_timeout: 20s\n",
    )
    agent = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/agent\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 1s}}}}}}\n"
        "shutdown_timeout: 20s\n",
    )
    return agent, collector


def check(path: Path, each: int) -> None:
    """Every line once, unaltered, in the order of its file."""
    expected = dict.fromkeys(range(FILES), 0)
    for record in records(path):
        message = str(record["message"])
        file, number = (int(word) for word in message.split(" ", 2)[:2])
        assert number == expected[file], f"seed {SEED}: file {file}: line {number} where {expected[file]} was due"
        assert message == line(file, number), f"seed {SEED}: altered: {message}"
        expected[file] += 1
    assert expected == dict.fromkeys(range(FILES), each), f"seed {SEED}"


@pytest.mark.timeout(3600)
def test_every_line_arrives_once_and_in_order_while_both_sides_are_killed(
    tmp_path: Path, nodes: tuple[Node, Node]
) -> None:
    """Agent and collector are each killed many times at random moments under load."""
    agent, collector = nodes
    (tmp_path / "logs").mkdir()
    dice = random.Random(SEED)
    writer = Writer(tmp_path / "logs", LINES // FILES)
    collector.start()
    agent.start()
    writer.start()
    victims = [agent] * KILLS + [collector] * KILLS
    dice.shuffle(victims)
    for victim in victims:
        time.sleep(dice.uniform(0.2, 1.4))
        assert victim.running, victim.output()
        victim.kill()
        victim.start()
    writer.join()
    out = tmp_path / "out" / "app.ndjson"
    total = LINES // FILES * FILES

    def arrived() -> bool:
        return out.exists() and sum(chunk.count(b"\n") for chunk in _chunks(out)) >= total

    wait_for(arrived, f"{total} lines (seed {SEED})\n{agent.output()[-2000:]}\n{collector.output()[-2000:]}", 300)
    wait_for(lambda: agent.up and collector.up, "both to be up")
    assert agent.stop() == 0, agent.output()[-3000:]
    assert collector.stop() == 0, collector.output()[-3000:]
    check(out, LINES // FILES)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
