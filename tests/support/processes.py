"""Real shipper processes for end-to-end tests: started, killed, started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import orjson
from support.ports import lasting_port


def free_port() -> int:
    """A port on loopback that nobody listens on, until the test does."""
    return lasting_port()


def wait_for(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = 120) -> None:
    """Wait until a condition holds; fail with what was waited for (as it stands when the time is up)."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what if isinstance(what, str) else what()}"
        time.sleep(0.02)


class Node:
    """One agent or collector: a config and the process that runs it."""

    all: ClassVar[list["Node"]] = []
    """Every node of the test that runs; tests/e2e/conftest.py ends what it leaves."""

    def __init__(self, folder: Path, name: str, config: str, inside: Sequence[str] = ()) -> None:
        """``inside``: a command that runs another one somewhere else, as ``nsenter ...``."""
        self.config = folder / f"{name}.yaml"
        self.config.write_text(config)
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0
        self._inside = inside
        Node.all.append(self)

    def start(self, *arguments: str) -> None:
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, sys.executable, "-m", "shipper", "run", *arguments, str(self.config)],
                stdout=log,
                stderr=log,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def up(self) -> bool:
        """The start-up line of this start was written: signals are handled now."""
        return " \u2192 " in self.log.read_bytes()[self._from :].decode()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds: float = 120) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = 120) -> int:
        """SIGTERM, then the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def output(self) -> str:
        return self.log.read_text()


def records(path: Path) -> Iterator[dict[str, object]]:
    """The records of an NDJSON file."""
    with path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)
