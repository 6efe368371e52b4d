"""One agent and several collectors, as real processes."""

import shutil
import subprocess
from pathlib import Path

from support.processes import Node, free_port, records, wait_for

LINES = 300


class Fleet:
    """One agent's files and data, and the collectors that it may ship to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir()
        self.ports: dict[str, int] = {}
        self.lines: list[str] = []

    def collector(self, name: str) -> Node:
        """A collector that writes what it gets to a file of its own."""
        port = self.ports.setdefault(name, free_port())
        return Node(
            self.root,
            f"collector-{name}",
            f"data_dir: {self.root}/collector-{name}\n"
            f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out(name)}', identity: true}}}}\n",
        )

    def agent(self, *collectors: str, name: str = "agent", logs: Path | None = None) -> Node:
        """An agent that ships to these collectors."""
        addresses = [f"127.0.0.1:{self.ports[each]}" for each in collectors]
        return Node(
            self.root,
            name,
            f"data_dir: {self.root}/{name}\n"
            f"sources: {{app: {{type: file, include: ['{logs or self.logs}/*.log'], start_at: beginning}}}}\n"
            f"sinks: {{central: {{type: grpc, addresses: {addresses}, backoff: {{max: 200ms}},\n"
            f"  breaker: {{open_for: 200ms}}}}}}\n"
            "shutdown_timeout: 20s\n",
        )

    def started(self) -> tuple[Node, Node]:
        """The collector ``a`` and an agent at work, the first lines shipped."""
        collector, agent = self.collector("a"), self.agent("a")
        collector.start()
        agent.start()
        self.write()
        self.wait("a")
        return collector, agent

    def write(self, count: int = LINES, logs: Path | None = None, mark: str = "line") -> list[str]:
        """Append lines; return them."""
        new = [f"{mark} {len(self.lines) + n}" for n in range(count)]
        self.lines += new
        with ((logs or self.logs) / "a.log").open("a") as file:
            file.writelines(line + "\n" for line in new)
        return new

    def out(self, name: str) -> Path:
        """What a collector wrote."""
        return self.root / f"{name}.ndjson"

    def got(self, name: str) -> list[str]:
        """The lines at a collector, in order."""
        out = self.out(name)
        return [str(record["message"]) for record in records(out)] if out.exists() else []

    def wait(self, *collectors: str) -> None:
        """Wait until every line written so far is at one of the collectors."""
        wanted = set(self.lines)
        wait_for(lambda: wanted <= {line for name in collectors for line in self._complete(name)}, "all lines")

    def _complete(self, name: str) -> list[str]:
        try:
            return self.got(name)
        except ValueError:  # a line is being written
            return []


def once_each_in_order(lines: list[str]) -> None:
    """What one collector got holds nothing twice, and is in the order in which it was written."""
    numbers = [int(line.rpartition(" ")[2]) for line in lines]
    assert numbers == sorted(set(numbers))


def copy(data: Path, to: Path) -> Path:
    """``cp -a``."""
    subprocess.run(["cp", "-a", data, to], check=True)
    return to


def restore(backup: Path, data: Path) -> None:
    """Put a backup in the place of a data directory."""
    shutil.rmtree(data)
    copy(backup, data)
