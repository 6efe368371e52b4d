"""A network of our own between an agent and a collector: two namespaces and a virtual cable, which can fail.

Needs root, or user namespaces. The namespaces live as long as two sleeping processes, so that nothing is left behind.
"""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

Side = Literal["agent", "collector"]

ADDRESSES: Final[dict[Side, str]] = {"agent": "10.77.0.1", "collector": "10.77.0.2"}
_ROOT: Final = os.geteuid() == 0


class Cable:
    """Two hosts on one cable."""

    def __enter__(self) -> Self:
        own = [] if _ROOT else ["--user", "--map-root-user"]
        self._holders: dict[Side, subprocess.Popen[bytes]] = {
            "agent": self._hold(["unshare", *own, "--net", "--mount"])
        }
        self._holders["collector"] = self._hold([*self._join(), "unshare", "--net"])
        peer = str(self._holders["collector"].pid)
        self.run("agent", "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", peer)
        for side, address in ADDRESSES.items():
            self.run(side, "ip", "address", "add", f"{address}/24", "dev", "cable")
            self.run(side, "ip", "link", "set", "lo", "up")
            self.run(side, "ip", "link", "set", "cable", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for holder in self._holders.values():
            holder.kill()
            holder.wait()

    def inside(self, side: Side) -> list[str]:
        """What stands before a command to run it on that host."""
        pid = str(self._holders[side].pid)
        mount = ["--mount"] if side == "agent" else []
        return [*self._join(), "nsenter", "--target", pid, "--net", *mount, "--"]

    def run(self, side: Side, *command: str) -> None:
        """Run a command on a host."""
        done = subprocess.run([*self.inside(side), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    def unplug(self) -> None:
        """Both sides lose the carrier."""
        self.run("collector", "ip", "link", "set", "cable", "down")

    def plug(self) -> None:
        """The carrier is back."""
        self.run("collector", "ip", "link", "set", "cable", "up")

    def swallow(self, *sides: Side) -> None:
        """What these sides send is dropped, and nobody is told."""
        for side in sides:
            other = ADDRESSES["collector" if side == "agent" else "agent"]
            self.run(side, "ip", "route", "replace", "blackhole", f"{other}/32")

    def let_through(self, *sides: Side) -> None:
        """They send again."""
        for side in sides:
            other = ADDRESSES["collector" if side == "agent" else "agent"]
            self.run(side, "ip", "route", "delete", "blackhole", f"{other}/32")

    def narrow(self, rate: str) -> None:
        """The agent sends at most so much: ``512kbit``."""
        self.run("agent", *f"tc qdisc replace dev cable root tbf rate {rate} burst 16kb latency 200ms".split())

    def widen(self) -> None:
        """At full speed again."""
        self.run("agent", "tc", "qdisc", "delete", "dev", "cable", "root")

    def name(self, folder: Path, host: str, *addresses: str) -> None:
        """On the agent, a host name has these addresses, in this order."""
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {host}\n" for address in addresses))
        self.run("agent", "mount", "--bind", str(hosts), "/etc/hosts")

    def _join(self) -> list[str]:
        """Into the user namespace that owns the others, where there is one."""
        if _ROOT:
            return []
        join = ["nsenter", "--target", str(self._holders["agent"].pid), "--user", "--preserve-credentials"]
        return [*join, "--"]

    def _hold(self, prefix: list[str]) -> "subprocess.Popen[bytes]":
        """A process that keeps namespaces open. It says so once it is inside."""
        holder = subprocess.Popen([*prefix, "sh", "-c", "echo; exec sleep 3600"], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n", "no network namespace can be made: this needs root or user namespaces"
        holder.stdout.close()
        return holder
