"""An agent that follows growing files and a collector, as real processes: what most rows of the campaign disturb."""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from faults.growing import Growing
from faults.load import Load
from faults.oracle import Judge, delivered, ledger_of, messages, place_of
from faults.row import BALANCED, Outcome, Run
from support.processes import Node, free_port, wait_for

Side = Literal["agent", "collector"]
SIDES: Final[tuple[Side, Side]] = ("collector", "agent")
"""In the order in which they are started."""
PATIENCE: Final = 200.0
"""Seconds; only a machine with much else to do takes more than a few."""
_FILES: Final = ("app", "web")
_QUICK: Final = """
from shipper.sinks.grpc import GrpcSink
from shipper.sources.grpc import GrpcSource


class QuickSource(GrpcSource):
    ack_interval = 0.5


class QuickSink(GrpcSink):
    ack_deadline = 1.5
"""
"""Both ends of the wire, with a tenth of their times."""


class Site:
    """One agent, one collector with a file sink, and lines on their way. Ends its processes when it is left."""

    def __init__(
        self,
        run: Run,
        *,
        inside: Mapping[Side, Sequence[str]] | None = None,
        homes: Mapping[Side, Path] | None = None,
        more: Mapping[Side, str] | None = None,
        out: Path | None = None,
        listen: str = "127.0.0.1",
        port: int = 0,
        address: str = "",
        quick: bool = False,
        backoff: str = "backoff: {min: 50ms, max: 1s}",
        rate: int = 200,
        size: int = 60,
    ) -> None:
        """``inside``: commands that run another one somewhere else. ``homes``: data directories as the processes see
        them. ``more``: lines of their configs. ``out``: where the collector writes, as it sees it. ``address``: where
        the agent finds the collector, if not where that listens. ``quick``: the wire has a tenth of its deadlines.
        ``backoff``: a setting of the agent's sink, or nothing. ``rate`` and ``size``: see ``Load``.
        """
        folder = self._folder = run.place
        self._inside: Final = inside or {}
        self.homes: Final[dict[Side, Path]] = {side: folder / side for side in SIDES} | dict(homes or {})
        """May be changed to how they are seen from here."""
        self.out = out or folder / "out.ndjson"
        """May be changed, too."""
        self.port: Final = port or free_port()
        self.load: Final = Load(folder / "logs", run.dice, _FILES, rate=rate, size=size)
        (folder / "quick.py").write_text(_QUICK)
        source, sink = ("./quick.py:QuickSource", "./quick.py:QuickSink") if quick else ("grpc", "grpc")
        more = more or {}
        self._configs: Final[dict[Side, str]] = {
            "collector": f"data_dir: {self.homes['collector']}\n"
            f"sources: {{edge: {{type: '{source}', listen: '{listen}:{self.port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out}'}}}}\n{more.get('collector', '')}",
            "agent": f"data_dir: {self.homes['agent']}\n"
            f"sources: {{app: {{type: file, include: ['{folder}/logs/*.log']}}}}\n"
            f"sinks: {{central: {{type: '{sink}', addresses: ['{address or f'{listen}:{self.port}'}'],"
            f" {backoff}}}}}\n{more.get('agent', '')}",
        }
        self.nodes: Final[dict[Side, Node]] = {}
        self._growing = Growing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.load.is_alive():
            self.load.finish()
        for node in self.nodes.values():
            if node.running:
                node.kill()

    def begin(self) -> None:
        """Start both, and the lines, and wait until some arrive."""
        self.start(*SIDES)
        assert all(node.running for node in self.nodes.values()), self.trouble()
        self.load.start()
        self.resumed()

    def start(self, *sides: Side, inside: Sequence[str] = ()) -> None:
        """Start these, one after the other; ``inside`` of that, and not of what they run in otherwise.

        One that ends before it is up is left alone.
        """
        for side in sides:
            node = Node(self._folder, side, self._configs[side], inside or self._inside.get(side, ()))
            self.nodes[side] = node
            node.start()
            wait_for(lambda node=node: node.up or not node.running, f"the {side}", PATIENCE)  # type: ignore[misc]

    def said(self, side: Side) -> str:
        """All that one of them ever said."""
        return (self._folder / f"{side}.log").read_text()

    @property
    def arrived(self) -> int:
        """Lines in the collector's file."""
        return self._growing.lines(self.out)

    def resumed(self) -> float:
        """Wait until a line arrives that is written from now on: how many seconds that took."""
        begin, wanted = time.monotonic(), self.load.total + 1
        self._wait(wanted)
        return time.monotonic() - begin

    def caught_up(self, excused: int = 0) -> None:
        """Wait until all that is written now has arrived, but so many."""
        self._wait(self.load.total - excused)

    def _wait(self, wanted: int) -> None:
        def come() -> bool:
            assert all(node.running for node in self.nodes.values()), f"it ended by itself\n{self.trouble()}"
            return self.arrived >= wanted

        wait_for(come, lambda: f"{wanted} lines, {self.arrived} came\n{self.trouble()}", PATIENCE)

    def trouble(self) -> str:
        """The end of what they said."""
        return "\n".join(f"{side}: {self.said(side)[-2000:]}" for side in self.nodes)

    def finish(self, outcome: Outcome, excused: Collection[tuple[str, int]] = ()) -> Outcome:
        """Write no more, let all arrive, stop; then judge. ``excused``: lines that will not come, see ``Judge.give``.

        :raises AssertionError: a process did not stop as it was asked to, or showed a traceback.
        """
        self.load.finish()
        try:
            self.caught_up(len(excused))
            if excused:  # some of them may have come all the same
                wait_for(lambda: self._are_all_there(excused), "the others", PATIENCE)
        except AssertionError:  # the judge says which do not come
            outcome.notes.append(self.trouble())
        for side in reversed(SIDES):
            assert self.nodes[side].stop(PATIENCE) == 0, self.trouble()
            assert "Traceback" not in self.said(side), self.trouble()
        judge = Judge()
        judge.hear(messages(self.out))
        outcome.ledger = ledger_of(*(self.homes[side] for side in SIDES))
        if outcome.ledger == BALANCED:
            outcome.ledger = self._delivered_as_said(excused)
        return judge.give(outcome, self.load.written, excused=excused)

    def _delivered_as_said(self, excused: Collection[tuple[str, int]]) -> str:
        """``BALANCED`` if the agent says that as much is delivered as is there. An agent that was killed may not know
        of some ``excused`` lines that they were.
        """
        said, there, unknown = delivered(self.homes["agent"], "central"), 0, 0
        for message in messages(self.out):
            there += len(message) + 1
            unknown += len(message) + 1 if place_of(message) in excused else 0
        if said <= there <= said + unknown:
            return BALANCED
        return f"the agent says that {said} bytes are delivered; there are {there}, {unknown} of them unknown to it"

    def _are_all_there(self, excused: Collection[tuple[str, int]]) -> bool:
        judge = Judge()
        try:
            judge.hear(messages(self.out))
        except ValueError:  # a line is being written
            return False
        return not set(judge.lost(self.load.written)).difference(excused)
