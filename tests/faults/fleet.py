"""Agents and collectors in any number, as real processes: what rows about copies and several collectors disturb."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from faults.oracle import Judge, ledger_of, line, messages
from faults.row import Outcome
from support.ports import lasting_port
from support.processes import Node, records, wait_for

PATIENCE: Final = 120.0
"""Seconds; only a machine with much else to do takes more than a few."""


class Fleet:
    """Each agent follows a folder of its own, each collector writes one file, in which records have their identity."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self.ports: Final[dict[str, int]] = {}
        self.written: Final[dict[str, int]] = {}
        """Lines of each log, whichever agent follows it."""
        self._homes: Final[dict[str, Node]] = {}

    def collector(self, name: str, more: str = "", sinks: str = "", edge: str = "", inside: Sequence[str] = ()) -> Node:
        """A collector, or one that takes its place. ``sinks``: instead of the file ``out(name)``. ``edge``: more
        settings of its source. ``inside``: a command that runs another one.
        """
        port = self.ports.setdefault(name, lasting_port())
        return self._node(
            name,
            f"data_dir: {self.home(name)}\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}', {edge}}}}}\n"
            f"sinks: {sinks or f'{{archive: {self.file(name)}}}'}\n{more}",
            inside,
        )

    def agent(
        self, name: str, *collectors: str, more: str = "", sinks: str = "", addresses: Sequence[str] = ()
    ) -> Node:
        """An agent that ships to these collectors, the first one first. ``addresses`` or ``sinks``: instead of them."""
        self.logs(name).mkdir(exist_ok=True)
        central = f"{{central: {self.grpc(*addresses or [self.address(each) for each in collectors])}}}"
        return self._node(
            name,
            f"data_dir: {self.home(name)}\n"
            f"sources: {{app: {{type: file, include: ['{self.logs(name)}/*.log']}}}}\n"
            f"sinks: {sinks or central}\n{more}",
        )

    def _node(self, name: str, config: str, inside: Sequence[str] = ()) -> Node:
        timeout = "" if "shutdown_timeout" in config else "shutdown_timeout: 20s\n"
        self._homes[name] = Node(self.folder, name, config + timeout, inside)
        return self._homes[name]

    def home(self, name: str) -> Path:
        """A data directory."""
        return self.folder / f"{name}.data"

    def logs(self, agent: str) -> Path:
        """What an agent follows."""
        return self.folder / f"{agent}.logs"

    def out(self, name: str) -> Path:
        """What a collector, or an agent with a sink of its own, writes."""
        return self.folder / f"{name}.ndjson"

    def address(self, collector: str) -> str:
        """Where a collector listens."""
        return f"127.0.0.1:{self.ports[collector]}"

    def grpc(self, *addresses: str, more: str = "") -> str:
        """The settings of a sink that ships to one of these, and soon tries again."""
        patience = "backoff: {min: 50ms, max: 200ms}, breaker: {open_for: 200ms}"
        return f"{{type: grpc, addresses: {list(addresses)}, {patience}, {more}}}"

    def file(self, name: str) -> str:
        """The settings of a sink that writes ``out(name)``."""
        return f"{{type: file, path: '{self.out(name)}', identity: true}}"

    def write(self, agent: str, log: str, count: int, size: int = 60) -> None:
        """Append so many lines to a log of an agent."""
        with (self.logs(agent) / f"{log}.log").open("ab", buffering=0) as file:
            file.write(self.lines(log, count, size))

    def lines(self, log: str, count: int, size: int = 60) -> bytes:
        """The next lines of a log, which count as written."""
        begin = self.written.get(log, 0)
        self.written[log] = begin + count
        return "".join(f"{line(log, number, size)}\n" for number in range(begin, begin + count)).encode()

    def heard(self, *names: str) -> Judge:
        """Who has heard what these wrote, one after the other."""
        judge = Judge()
        judge.hear(messages(*(self.out(name) for name in names if self.out(name).exists())))
        return judge

    def wait(self, *names: str) -> None:
        """Wait until every line that is written is with one of these."""
        wait_for(
            lambda: self._complete(names),
            lambda: f"all lines\n{self.trouble()}\nlost: {self.heard(*names).lost(self.written)[:5]}",
            PATIENCE,
        )

    def _complete(self, names: Iterable[str]) -> bool:
        outs = [self.out(name) for name in names if self.out(name).exists()]
        if sum(out.read_bytes().count(b"\n") for out in outs) < sum(self.written.values()):
            return False
        try:
            return not self.heard(*names).lost(self.written)
        except ValueError:  # a line is being written
            return False

    def up(self, *nodes: Node) -> None:
        """Start these, and wait until each is up."""
        for node in nodes:
            node.start()
            self.wait_up(node)

    def wait_up(self, node: Node) -> None:
        """Wait until this one has begun."""
        wait_for(lambda: node.up or not node.running, "a start", PATIENCE)
        assert node.running, node.output()[-3000:]

    def stop(self, *nodes: Node) -> None:
        """Stop these, one after the other. :raises AssertionError: one does not end as it should."""
        for node in nodes:
            if node.running:
                self.wait_up(node)
                assert node.stop(PATIENCE) == 0, node.output()[-3000:]
                assert "Traceback" not in node.output(), node.output()

    def rest(self, node: Node, dice: random.Random) -> None:
        """End this one as it should be, or with kill -9."""
        if dice.random() < 0.5:
            node.kill()
        else:
            self.stop(node)

    def trouble(self) -> str:
        """The end of what all said."""
        return "\n".join(f"{name}: {node.output()[-1500:]}" for name, node in self._homes.items() if node.log.exists())

    def judge(self, outcome: Outcome, *names: str, audited: Iterable[str] = ()) -> Outcome:
        """What became of the lines: each is lost if it is with none of ``names``, and judged for order and doubles at
        each of them alone. ``audited``: whose ledgers have to balance; all of them have ended.
        """
        self.heard(*names).give(outcome, self.written)
        alone = [self.heard(name) for name in names]
        outcome.doubled = sum(judge.doubled for judge in alone)
        outcome.misordered = sum(judge.misordered for judge in alone)
        for name in names:
            outcome.altered += clashes(self.out(name)) if self.out(name).exists() else 0
        outcome.ledger = ledger_of(*(self.home(name) for name in audited))
        return outcome


def clashes(path: Path) -> int:
    """Different records that share an identity: nobody could tell them from one that came twice."""
    different = {(r["_stream"], r["_seq"], r["_index"], r["message"]) for r in records(path)}
    return sum(count - 1 for count in Counter(one[:3] for one in different).values())
