"""A collector that gets more than it can take slows its agents through the window; memory is flat, nobody starves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from support.processes import Node, free_port, wait_for
from support.wire import INCARNATION, MemoryOutlet, RawSender, big_frame, frame, grpc_sink, until

from shipper.sinks.base import Item
from shipper.wire.budget import BUDGET

GREEDY, QUIET, ROUNDS = 8, 50, 4
FRAME = 128 * 1024
WIDTH = 16
SLOW = """
import os
import time
from shipper import Processor, Record

class Slow(Processor):
    \"\"\"Note each frame in a file: the line of a quiet one, nothing for a large one.\"\"\"
    bisect = False
    def setup(self) -> None:
        self.noted = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def process_batch(self, records: list[Record]) -> list[Record]:
        line = str(records[0]["message"])
        os.write(self.noted, (line if len(line) < {width} else "").ljust({width}).encode())
        time.sleep(0.01)
        return records
"""


@pytest.fixture
def collector(tmp_path: Path) -> tuple[Node, int, Path]:
    """A collector that takes 100 frames a second, whatever their length, and notes them in their order."""
    port = free_port()
    noted = tmp_path / "noted"
    (tmp_path / "slow.py").write_text(SLOW.format(path=str(noted), width=WIDTH))
    node = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\n"
        f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}', processors: ['./slow.py:Slow']}}}}\n"
        "sinks: {out: {type: blackhole}}\n",
    )
    node.start()
    wait_for(lambda: "listening" in node.output(), "the collector")
    return node, port, noted


class Load:
    """Agents that send as fast as they are let, and what they got done."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.outlets = [
            MemoryOutlet(stream=bytes([at]) * 16, next_seq=2**40, incarnation=INCARNATION) for at in range(GREEDY)
        ]
        self.sent = [1] * GREEDY

    @property
    def acked(self) -> int:
        """Frames of all of them."""
        return sum(outlet.cursor - 1 for outlet in self.outlets)

    @property
    def under_way(self) -> int:
        """Bytes sent and not acknowledged."""
        return sum(sent - outlet.cursor for sent, outlet in zip(self.sent, self.outlets, strict=True)) * FRAME

    async def _pour(self, at: int) -> None:
        outlet, body = self.outlets[at], big_frame(1, FRAME, bytes([at]) * 16)
        sink = grpc_sink(self.port)
        await sink.connect(outlet)
        for number in count(1):
            await sink.send([Item(number, body)])
            self.sent[at] = number + 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of them at work."""
        tasks = [asyncio.create_task(self._pour(at)) for at in range(GREEDY)]
        try:
            yield
        finally:
            failed = [task.exception() for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not failed


async def test_eight_greedy_agents_neither_starve_fifty_quiet_ones_nor_fill_the_memory(
    collector: tuple[Node, int, Path],
) -> None:
    """A frame of a quiet agent waits for one frame of every other, not for what the greedy ones would like to send."""
    node, port, noted = collector
    load = Load(port)
    sent: dict[str, int] = {}
    backlog = 0
    memory: list[int] = []

    async def speak(at: int) -> None:
        nonlocal backlog
        stream = bytes([100 + at]) * 16
        async with RawSender(port) as sender:
            await sender.hello(stream=stream)
            for number in range(1, ROUNDS + 1):
                sent[f"{number} quiet {at}"] = noted.stat().st_size // WIDTH
                await sender.frames(number, [frame(number, f"quiet {at}", stream)])
                await sender.acked(number + 1)
                memory.append(resident(node))
                backlog += load.under_way >= GREEDY * FRAME

    async with load.running():
        async with asyncio.timeout(120):
            await until(lambda: load.acked > 10 * GREEDY, "the greedy ones are at work")
            await asyncio.gather(*map(speak, range(QUIET)))
    assert backlog > QUIET * ROUNDS // 2, "the collector was not overloaded"
    # Counted by the collector: these senders hear of it when their process gets its turn.
    lines = [line.decode().rstrip() for line in batched(noted.read_bytes(), WIDTH)]
    waited = [lines[before : lines.index(line)].count("") for line, before in sent.items()]
    assert len(waited) == QUIET * ROUNDS
    assert max(waited) < 4 * GREEDY
    assert all(outlet.cursor > 1 for outlet in load.outlets)
    assert max(memory) < 2 * BUDGET
    assert max(memory[len(memory) // 2 :]) < max(memory[: len(memory) // 2]) + BUDGET // 4
    assert node.stop() == 0, node.output()


def batched(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def resident(node: Node) -> int:
    """Bytes of memory that the process has."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
