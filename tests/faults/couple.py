"""An agent and a collector that small batches and small segments keep busy, and whose end is no surprise to anyone."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from faults.growing import Growing
from faults.load import Load
from faults.oracle import ledger_of
from faults.row import Outcome
from support.ports import lasting_port
from support.processes import Node, wait_for

_PATIENCE: Final = 200.0
"""Seconds; only a machine with much else to do takes more than a few."""
_STALLED: Final = 60.0
"""Seconds without a line after which nothing is waited for any more."""
_SPOOL: Final = "spool: {max_bytes: 2MiB, min_free: 0}\nshutdown_timeout: 30s\n"


class Source(Protocol):
    """Who writes the logs, and knows what has to arrive."""

    @property
    def total(self) -> int:
        """Lines that have to arrive."""

    def finish(self) -> None:
        """Write no more, and end; every line is complete then."""

    def judge(self, outcome: Outcome, out: Path) -> Outcome:
        """Write into an outcome, which is returned, what became of the lines: ``out`` is the collector's file."""


class Couple:
    """Their data is in ``homes``, the agent's and the collector's, who writes there too."""

    def __init__(
        self,
        place: Path,
        *,
        homes: tuple[Path, Path] | None = None,
        logs: Path | None = None,
        inside: Sequence[str] = (),
        seen: Callable[[Path], Path] = Path,
    ) -> None:
        """``logs``: the folder that the agent follows. ``inside``: the command in which both run. ``seen``: a path of
        theirs as it is seen from here.
        """
        upper, lower = homes or (place, place)
        self._data = [upper / "agent", lower / "collector"]
        self._inside = inside
        self.logs = seen(logs) if logs else place / "logs"
        self.out = seen(lower / "out" / "app.ndjson")
        port = lasting_port()
        self.agent = Node(
            place,
            "agent",
            f"data_dir: {upper}/agent\nbatch: {{max_bytes: 8KiB, max_delay: 20ms}}\n{_SPOOL}"
            f"sources: {{app: {{type: file, include: ['{logs or self.logs}/*.log']}}}}\n"
            f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'],"
            " backoff: {min: 20ms, max: 100ms}}}\n",
            inside,
        )
        self.collector = Node(
            place,
            "collector",
            f"data_dir: {lower}/collector\n{_SPOOL}sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{lower}/out/{{source}}.ndjson'}}}}\n",
            inside,
        )
        self._growing = Growing()

    def start(self) -> None:
        """Start both, and wait for neither."""
        self.collector.start()
        self.agent.start()

    def arrived(self) -> int:
        """Lines in the collector's file."""
        return self._growing.lines(self.out)

    def resumed(self) -> float:
        """Wait until lines arrive, and both are up; seconds from now until a line came.

        :raises AssertionError: none comes, or one of them ends.
        """
        begin, before, came = time.monotonic(), self.arrived(), 0.0

        def again() -> bool:
            nonlocal came
            assert self.agent.running, f"the agent ended by itself\n{self.said()}"
            assert self.collector.running, f"the collector ended by itself\n{self.said()}"
            if not came and self.arrived() > before:
                came = time.monotonic() - begin
            return bool(came) and self.agent.up and self.collector.up

        wait_for(again, lambda: f"lines to arrive again\n{self.stacks()}", _PATIENCE)
        return came

    def stacks(self) -> str:
        """End them, and have them say what each of their threads was at."""
        for node in self.nodes:
            if node.running:
                node.signal(signal.SIGABRT)
                node.wait()
        return self.said(8000)

    def settle(self, total: int) -> None:
        """Wait until so many lines are there, or none comes any more: who judges finds what is missing."""
        last, since = self.arrived(), time.monotonic()
        while last < total and time.monotonic() - since < _STALLED:
            time.sleep(0.05)
            if (now := self.arrived()) != last:
                last, since = now, time.monotonic()

    def is_bad(self, outcome: Outcome, load: Load, after: str) -> bool:
        """Whether something is wrong with what was written so far; if not, the load goes on. ``after``: how much was
        done to it, for the notes.
        """
        load.rest()
        self.settle(load.total)
        if bad(load.judge(outcome, self.out)):
            outcome.notes.append(f"it was found after {after}")
            return True
        load.tidy()
        load.go_on()
        return False

    def end_halves(self) -> None:
        """Have the agent ship all that is there: half lines that nobody is going to end, too, which else takes 30 s.

        :raises AssertionError: it does not end as it should.
        """
        self._stop(self.agent)
        self.agent.start("--once")
        assert self.agent.wait(_PATIENCE) == 0, self.said()
        self.agent.start()

    def _stop(self, *nodes: Node) -> None:
        wait_for(lambda: all(node.up for node in self.nodes), lambda: f"both to be up\n{self.stacks()}", _PATIENCE)
        for node in nodes:
            code = node.stop(_PATIENCE)
            assert code == 0, f"{node.config.stem} ended with {code}\n{self.said()}"

    def finish(self, outcome: Outcome, load: Source) -> Outcome:
        """The last judgement: all is written, arrived and stopped.

        :raises AssertionError: one of them did not stop as it was asked to, or failed in a way that it did not expect.
        """
        load.finish()
        self.settle(load.total)
        self._stop(self.agent, self.collector)
        assert "Traceback" not in self.agent.output() + self.collector.output(), self.said(4000)
        load.judge(outcome, self.out)
        outcome.ledger = ledger_of(*self._data, inside=self._inside)
        return outcome

    def said(self, most: int = 2000) -> str:
        """The end of what they said."""
        return "\n".join(f"{node.config.stem}: {node.output()[-most:]}" for node in self.nodes)

    @property
    def nodes(self) -> Iterable[Node]:
        return self.collector, self.agent


def bad(outcome: Outcome) -> bool:
    """Something is wrong already: there is no use in going on."""
    return bool(outcome.lost or outcome.doubled or outcome.altered or outcome.misordered)
