"""Kill -9 at every system call that changes a disk: of an agent, and of a collector.

In their first lives and in the ones after a crash, before the call and right after it; as many calls as there are.
"""

import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from faults.oracle import Judge, ledger_of, line, messages
from faults.row import BALANCED, Outcome, Row, Run
from support import call_points
from support.call_points import Point, Points, When
from support.ports import lasting_port
from support.processes import Node, wait_for
from support.strict import STRICT, called

_LINES: Final = {"long0": (200, 1_500), "long1": (200, 1_500), "refused": (20, 60)}
"""By file: how many, and of what size. A spool's segments are full several times."""
_KEPT: Final = 400
"""Of these, lines that are not refused."""
_PATIENCE: Final = 200.0
"""Seconds; only a machine with much else to do takes more than a few."""
_ROUNDS: Final = 3
"""Calls are counted anew, as no two lives make the very same ones; beyond the last call nobody is killed."""
_SPOOL: Final = "spool: {max_bytes: 2MiB, min_free: 0}\n"
_ALL: Final = 1_000_000


class Life(NamedTuple):
    """Where a process is killed."""

    again: bool
    """It was killed before, and recovers."""
    when: When
    at: int
    """The call, from 1; 0: it is not killed."""


class Played(NamedTuple):
    """What became of a life."""

    calls: list[Point]
    died: bool


_LIVES: Final = [Life(again, when, 0) for again in (False, True) for when in ("before", "after")]


class Stage:
    """A folder for each point, and what is there at the end of each."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.outcome = Outcome(0, 0, 0)
        self._texts = {
            name: "".join(line(name, number, size) + "\n" for number in range(count))
            for name, (count, size) in _LINES.items()
        }
        self._number = 0
        self._killed: Counter[str] = Counter()
        self._length = 1

    def crash(self) -> int:
        """Some call in the middle of a first life: where it ends that is to have another one."""
        return int(self._length * self.run.dice.uniform(0.3, 0.9))

    def folder(self) -> Path:
        """A new one, with the logs in it."""
        self._number += 1
        place = self.run.place / f"point{self._number}"
        (place / "logs").mkdir(parents=True)
        for name, text in self._texts.items():
            (place / "logs" / f"{name}.log").write_text(text)
        (place / "strict.py").write_text(STRICT)
        return place

    def agent(self, place: Path, port: int, source: str, inside: list[str] | None = None) -> Node:
        """It refuses every line of one of the files."""
        return Node(
            place,
            "agent",
            f"data_dir: {place}/agent\nbatch: {{max_bytes: 32KiB}}\n{_SPOOL}"
            f"sources: {{{source}: {{type: file, include: ['{place}/logs/*.log']}}}}\n"
            "processors: [{'./strict.py:Strict': {word: refused}}]\n"
            f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'],"
            " backoff: {min: 20ms, max: 100ms}}}\n",
            inside or (),
        )

    def judge(self, place: Path, out: Path, life: Life, *ledgers: Path) -> None:
        """Every line that is not refused is in the collector's file, and every one that is is a dead letter."""
        before = self.outcome.lost, self.outcome.doubled, self.outcome.altered, self.outcome.misordered
        letters = called("dlq", "ls", place / "agent", "--json")
        refused = [str(orjson.loads(letter)["raw"]) for letter in letters.stdout.splitlines()]
        for heard, names in ((messages(out), ("long0", "long1")), (iter(refused), ("refused",))):
            judge = Judge()
            judge.hear(heard)
            found = judge.give(Outcome(0, 0, 0), {name: _LINES[name][0] for name in names})
            for what in ("written", "lost", "doubled", "altered", "misordered"):
                setattr(self.outcome, what, getattr(self.outcome, what) + getattr(found, what))
        ledger = ledger_of(*ledgers)
        if ledger != BALANCED:
            self.outcome.ledger = ledger
        after = self.outcome.lost, self.outcome.doubled, self.outcome.altered, self.outcome.misordered
        if before != after or ledger != BALANCED:
            self.outcome.notes.append(f"wrong at {life}: {place}")
        else:
            shutil.rmtree(place)

    def explore(self, play: Callable[[Life], Played]) -> Outcome:
        """Every point, or as many as are asked for."""
        self._length = first = len(play(_LIVES[0]).calls)
        second = len(play(_LIVES[2]).calls)
        counts = {life: second if life.again else first for life in _LIVES}
        if self.run.injections >= sum(counts.values()):
            for life in _LIVES:
                self._every(life, play)
        else:
            for life in self._some(counts):
                self._one(life, play)
        self.outcome.notes.append("killed at " + ", ".join(f"{n} {name}" for name, n in sorted(self._killed.items())))
        return self.outcome

    def _some(self, counts: dict[Life, int]) -> Iterator[Life]:
        """Spread over all lives, each a part of its length by the dice."""
        each = -(-self.run.injections // len(_LIVES))
        for number in range(self.run.injections):
            life = _LIVES[number % len(_LIVES)]
            share = (number // len(_LIVES) + self.run.dice.random()) / each
            yield life._replace(at=1 + int(share * 0.95 * counts[life]))

    def _every(self, life: Life, play: Callable[[Life], Played]) -> None:
        at, beyond = 1, 0
        while beyond < _ROUNDS:
            beyond = 0 if self._one(life._replace(at=at), play) else beyond + 1
            at += beyond == 0

    def _one(self, life: Life, play: Callable[[Life], Played]) -> bool:
        """Whether this life made so many calls."""
        played = play(life)
        if len(played.calls) < life.at:
            return False
        self.outcome.injected += 1
        self.outcome.fired += played.died
        point = played.calls[life.at - 1]
        self._killed[f"{point.name} of {_kind(point.path)}"] += 1
        return True


def _kind(path: str) -> str:
    """What a file is for."""
    name = Path(path)
    return {".seg": "a segment", ".snap": "a snapshot", ".dlq": "dead letters", ".ndjson": "the output"}.get(
        name.suffix, "a cursor" if name.parent.name == "cursors" else name.name
    )


def _agent(run: Run) -> Outcome:
    """One collector serves them all; each is a new agent, of a source of its own."""
    stage = Stage(run)
    port = lasting_port()
    collector = Node(
        run.place,
        "collector",
        f"data_dir: {run.place}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{run.place}/out/{{source}}.ndjson'}}}}\n",
    )
    collector.start()

    def live(place: Path, points: Points | None) -> int:
        agent = stage.agent(place, port, place.name, points.inside if points else None)
        agent.start("--once")
        code = agent.wait(_PATIENCE)
        Node.all.remove(agent)
        assert code in (0, -signal.SIGKILL), agent.output()[-3000:]
        return code

    def play(life: Life) -> Played:
        place = stage.folder()
        if life.again:
            live(place, Points(place / "first", place / "agent", stage.crash(), "after"))
        points = Points(place / "points", place / "agent", life.at, life.when)
        died = live(place, points) != 0
        if died:
            assert live(place, None) == 0
        calls = points.calls()
        out = run.place / "out" / f"{place.name}.ndjson"
        wait_for(lambda: _count(out) >= _KEPT, lambda: f"{out}, {life}\n{collector.output()[-2000:]}", _PATIENCE)
        stage.judge(place, out, life, place / "agent")
        out.unlink()
        return Played(calls, died)

    outcome = stage.explore(play)
    assert collector.stop() == 0, collector.output()[-3000:]
    return outcome


def _collector(run: Run) -> Outcome:
    stage = Stage(run)
    port = lasting_port()

    def play(life: Life) -> Played:
        place = stage.folder()
        out = place / "disk" / "out" / "app.ndjson"

        def live(points: Points | None) -> Node:
            collector = Node(
                place,
                "collector",
                f"data_dir: {place}/disk/collector\n{_SPOOL}"
                f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
                f"sinks: {{archive: {{type: file, path: '{place}/disk/out/{{source}}.ndjson'}}}}\n",
                points.inside if points else (),
            )
            collector.start()
            return collector

        def all_there() -> bool:
            return not agent.running and _count(out) >= _KEPT

        agent = stage.agent(place, port, "app")
        agent.start("--once")
        if life.again:
            first = live(Points(place / "first", place / "disk", stage.crash(), "after"))
            wait_for(lambda: not first.running or all_there(), "its first end", _PATIENCE)
            first.kill()
        points = Points(place / "points", place / "disk", life.at, life.when)
        collector = live(points)
        wait_for(lambda: not collector.running or (collector.up and all_there()), "the lines, or its end", _PATIENCE)
        died = (collector.stop(_PATIENCE) if collector.running else collector.wait()) == -signal.SIGKILL
        if died:
            collector = live(None)
            wait_for(lambda: collector.up and all_there(), "the lines after its end", _PATIENCE)
            collector.stop(_PATIENCE)
        assert (agent.wait(), collector.wait()) == (0, 0), agent.output()[-2000:] + collector.output()[-2000:]
        calls = points.calls()
        Node.all.clear()
        stage.judge(place, out, life, place / "disk" / "collector", place / "agent")
        return Played(calls, died)

    return stage.explore(play)


def _count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _needs() -> str | None:
    return None if call_points.supported() else "system calls are counted on x86-64 and ARM64 only"


ROWS = [
    Row(
        name=f"kill at every system call of {who}",
        fault=f"{whose} is killed before and right after every system call that changes a file or a directory, in its "
        "first life and in the one after a crash, from its start to its orderly end.",
        promise="once",
        run=run,
        short=8,
        long=_ALL,
        needs=_needs,
        every=True,
    )
    for who, whose, run in (("an agent", "An agent", _agent), ("a collector", "A collector", _collector))
]
