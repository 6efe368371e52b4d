"""An agent and a collector as real processes, with one file between them."""

import random
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from support.faults import Faults
from support.processes import Node, free_port, records, wait_for

LINES = 1_000
DICE = random.Random(1)


class Pair:
    """An agent that reads a file, and a collector that writes one. Faults hit one of them, or both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log, self.out = folder / "a.log", folder / "out.ndjson"
        self.log.touch()
        port, self.admin = free_port(), free_port()
        self._configs = {
            "collector": f"data_dir: {folder}/collector\nspool: {{max_bytes: 2MiB}}\n"
            f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out}'}}}}\n",
            "agent": f"data_dir: {folder}/agent\nspool: {{max_bytes: 2MiB}}\nbatch: {{max_bytes: 4KiB}}\n"
            f"admin: {{listen: '127.0.0.1:{self.admin}'}}\n"
            f"sources: {{app: {{type: file, include: ['{self.log}']}}}}\n"
            f"sinks: {{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{min: 50ms, max: 200ms}}}}}}\n",
        }
        self.written = 0

    @property
    def spool(self) -> Path:
        """The agent's."""
        return self.folder / "agent" / "spool"

    def start(self, name: str, *rules: str, inside: Sequence[str] = (), wait: bool = True) -> tuple[Node, Faults]:
        """Start one of the two under these faults, or inside of another command."""
        place = self.folder / f"{name}-trace"
        place.mkdir(exist_ok=True)
        faults = Faults(place, *rules)
        node = Node(self.folder, name, self._configs[name], inside=faults.inside if rules else inside)
        node.start()
        if wait:  # an agent that finds no collector says so after 2 s
            wait_for(lambda: node.up or not node.running, f"the {name}")
        return node, faults

    def write(self, count: int = LINES) -> None:
        """Lines, a few at a time, so that the spools write many groups."""
        with self.log.open("a", buffering=1) as file:
            for begin in range(self.written, self.written + count, 50):
                file.writelines(f"{number} {DICE.randbytes(100).hex()}\n" for number in range(begin, begin + 50))
                time.sleep(0.02)
        self.written += count

    def wait_arrived(self, lost: Collection[int] = ()) -> None:
        """All that was written, but those lines, is in the collector's file."""
        wait_for(
            lambda: self.out.exists() and self.out.read_bytes().count(b"\n") >= self.written - len(lost),
            "all lines",
        )

    def check(self, *nodes: Node, lost: Collection[int] = ()) -> None:
        """They stop when they are asked to, and every line but those is there, once, in order."""
        for node in nodes:
            assert node.stop() == 0, node.output()[-3000:]
        seen = [int(str(record["message"]).split()[0]) for record in records(self.out)]
        assert seen == [number for number in range(self.written) if number not in lost]
