"""The agent and the collector of the demo: two real processes, their configs, and what they say of themselves."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from shipper.demo.lines import KINDS
from shipper.errors import DemoError

_ODD: Final = re.compile(r"[][*?{}$\x00-\x1f]")
_STOP: Final = 30.0
"""Seconds that a node has to stop by itself."""

_AGENT: Final = """\
# The agent: follows two log files and ships them. Logs, spool and this file are in {folder}
data_dir: "{folder}/agent"
labels: {{env: demo}}
sources:
  app:
    type: file
    include: ["{folder}/logs/app.log"]
    processors: [parse_json]
  access:
    type: file
    include: ["{folder}/logs/access.log"]
sinks:
  central:
    type: grpc
    addresses: ["127.0.0.1:{link}"]
    backoff: {{max: 500ms}}          # a demo has no time to wait longer
    breaker: {{open_for: 500ms}}
spool: {{max_bytes: 256MiB}}
admin: {{listen: "127.0.0.1:{admin}"}}
"""

_COLLECTOR: Final = """\
# The collector: takes what agents send and writes one file a source.
data_dir: "{folder}/collector"
sources:
  edge: {{type: grpc, listen: "127.0.0.1:{port}"}}
sinks:
  archive: {{type: file, path: "{folder}/central/{{source}}.ndjson"}}
spool: {{max_bytes: 256MiB}}
admin: {{listen: "127.0.0.1:{admin}"}}
"""


class Node:
    """One shipper process. ``admin`` is its admin port on loopback."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.admin = free_port()
        self.config = folder / f"{name}.yaml"
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. It is the leader of a session of its own: a Ctrl-C reaches the demo alone, which then
        stops its nodes in order.
        """
        with self.log.open("ab") as log:
            self._process = _spawn([sys.executable, "-m", "shipper", "run", str(self.config)], log)

    @property
    def running(self) -> bool:
        """The process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill -9: the process has no time for anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait until it has drained.

        :raises DemoError: it did not end, or not with 0.
        """
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP + 5):
                while self.running:  # noqa: ASYNC110 - a process, not a task
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise DemoError(f"the {self.name} does not stop; the end of its log:\n{self.tail()}") from None
        if self._process.returncode != 0:
            raise DemoError(f"the {self.name} ended with {self._process.returncode}; its log ends:\n{self.tail()}")

    def tail(self, lines: int = 8) -> str:
        """The end of what it said."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    async def ask(self, page: str) -> dict[str, Any] | None:
        """A JSON page of its admin port; None when it does not answer."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
                try:
                    writer.write(f"GET {page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                    answer = await reader.read()
                finally:
                    writer.close()
            found = orjson.loads(answer.partition(b"\r\n\r\n")[2])
        except (OSError, TimeoutError, orjson.JSONDecodeError):
            return None
        return found if isinstance(found, dict) else None


def prepare(folder: Path, link: int, port: int) -> tuple[Node, Node]:
    """Write both configs; returns agent and collector, not started. The agent ships to ``link``, the collector listens
    on ``port``.

    :raises DemoError: the folder's name cannot stand in a config.
    """
    if _ODD.search(str(folder)) or '"' in str(folder) or "\\" in str(folder):
        raise DemoError(f'{folder}: choose a directory without any of []{{}}*?$"\\ in its path')
    agent, collector = Node(folder, "agent"), Node(folder, "collector")
    agent.config.write_text(_AGENT.format(folder=folder, link=link, admin=agent.admin))
    collector.config.write_text(_COLLECTOR.format(folder=folder, port=port, admin=collector.admin))
    return agent, collector


def delivered(folder: Path) -> dict[str, Path]:
    """The collector's file of each kind."""
    return {kind.name: folder / "central" / f"{kind.name}.ndjson" for kind in KINDS}


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(command: list[str], log: BinaryIO) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - this interpreter with arguments of our own
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
