"""An agent and a collector as a user runs them: config files, ``python -m shipper run``, a port on 127.0.0.1."""

import glob
import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from support.ports import lasting_port

from benchmarks.processes import BenchError, Child, Cores

_START: Final = 60.0
"""Seconds in which a process must have started, on a machine that is busy with others: seconds otherwise."""
_DRAIN: Final = 180.0
_MIB: Final = 1024 * 1024
_PROCESSORS: Final = Path(__file__).parent / "processors"


class Rig:
    """One run: an empty folder, a collector that is ready, and agents to start. A context manager."""

    def __init__(self, folder: Path, cores: Cores) -> None:
        self.folder = folder
        self.cores = cores
        self.output = folder / "collector-output.ndjson"
        """What the collector's file sink writes."""
        self.port = free_port()
        self.admin_port = free_port()
        """For an agent that is given ``answering(admin_port)``."""
        self.collector_admin_port = free_port()
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path in _PROCESSORS.glob("*.py"):
            shutil.copy(path, self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in self._children:
            child.kill()
        if error is None:  # after a failure the logs and what was written tell more than the message
            shutil.rmtree(self.folder)

    @property
    def nowhere(self) -> dict[str, Any]:
        """A sink that nobody answers: the spool keeps everything, for ``kept`` to look at afterwards."""
        return {"type": "grpc", "addresses": [f"127.0.0.1:{free_port()}"]}

    def collector(
        self,
        sink: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        *,
        piped: bool = False,
        core: int | None = None,
        drain: float = _DRAIN,
    ) -> Child:
        """Start the collector and wait until it listens.

        ``piped``: its standard output is a pipe. ``core``: another one than that of the bench. ``drain``: seconds that
        it has for its sink after SIGTERM.
        """
        config = {
            "data_dir": str(self.folder / "collector"),
            "sources": {"edge": {"type": "grpc", "listen": f"127.0.0.1:{self.port}"}},
            "sinks": {"out": sink or {"type": "file", "path": str(self.output)}},
            "shutdown_timeout": f"{drain:g}s",
            **(extra or {}),
        }
        child = self._run("collector", config, self.cores.other if core is None else core, piped=piped)
        wait_until(lambda: _listens(self.port), child, "listens")
        return child

    def agent(
        self,
        path: Path,
        extra: dict[str, Any],
        *,
        once: bool,
        piped: bool = False,
        source: Mapping[str, Any] = MappingProxyType({}),
    ) -> Child:
        """Start an agent that reads ``path``, which may be a pattern.

        ``piped``: its standard output is a pipe. ``source``: more settings of its source.
        """
        config = {
            "data_dir": str(self.folder / "agent"),
            "sources": {"app": {"type": "file", "include": [str(path)], **source}},
            "sinks": {"central": {"type": "grpc", "addresses": [f"127.0.0.1:{self.port}"]}},
            **extra,
        }
        cache(path)
        return self._run("agent", config, self.cores.measured, once=once, piped=piped)

    def _run(self, name: str, config: dict[str, Any], core: int, *, once: bool = False, piped: bool = False) -> Child:
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(config, indent=2) + "\n")  # JSON is YAML
        return self.start(name, ["-m", "shipper", "run", *(["--once"] if once else []), str(path)], core, piped=piped)

    def start(self, name: str, arguments: list[str], core: int, *, piped: bool = False) -> Child:
        """Start a Python process that ends with the rig, if not before."""
        command, log = [sys.executable, *arguments], self.folder / f"{name}.log"
        return self.adopt(Child(command, core, log, stdout=subprocess.PIPE if piped else None))

    def adopt(self, child: Child) -> Child:
        """Another process that ends with the rig."""
        self._children.append(child)
        return child


def cache(path: Path) -> None:
    """Have in the page cache what is to be read: ``path``, or what a pattern means. Some machines drop it soon."""
    for name in glob.glob(str(path)):
        with open(name, "rb", buffering=0) as file:
            while file.read(_MIB):
                pass


def wait_until(done: Callable[[], bool], child: Child, what: str, timeout: float = _START) -> None:
    """Wait for a condition.

    :raises BenchError: the child ended first, or it took too long.
    """
    deadline = time.monotonic() + timeout
    while not done():
        if not child.alive() or time.monotonic() > deadline:
            raise BenchError(f"{child}: never got so far that it {what}\n{child.tail()}")
        time.sleep(0.02)


def settled(path: Path) -> Callable[[], bool]:
    """A condition: the file is there and holds something."""
    return lambda: path.exists() and path.stat().st_size > 0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses, and that no connection takes before or between its servers."""
    return lasting_port()


def answering(port: int) -> dict[str, Any]:
    """A part of a config: with it a process answers ``fetch_status``."""
    return {"admin": {"listen": f"127.0.0.1:{port}"}}


def fetch_status(port: int) -> dict[str, Any]:
    """What ``/status`` says.

    :raises OSError: nobody answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START)
    try:
        connection.request("GET", "/status")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
