"""Disks that refuse, and disks that are slow."""

import shutil
from collections.abc import Callable
from functools import partial
from typing import Final

from faults.row import Outcome, Row, Run
from faults.site import PATIENCE, SIDES, Side, Site
from support.faults import WRITES, Faults
from support.processes import Node, wait_for

_SPOOL: Final = "spool: {max_bytes: 2MiB}\n"
_SMALL: Final[dict[Side, str]] = {"agent": _SPOOL, "collector": _SPOOL}
_STEPS: Final = (5, 7)
"""Of the calls of a thread each fifth, or each seventh."""


def _no_strace() -> str | None:
    return None if shutil.which("strace") else "strace is missing"


class _Traced:
    """The two sides, each life of which may be under faults of its own."""

    def __init__(self, run: Run, site: Site) -> None:
        self._place = run.place
        self._site = site
        self._lives = 0

    def start(self, side: Side, *rules: str) -> Faults:
        """Start one of them with these faults."""
        self._lives += 1
        place = self._place / f"trace-{self._lives}"
        place.mkdir()
        faults = Faults(place, *rules)
        self._site.start(side, inside=faults.inside)
        return faults


def _hit_writer(node: Node, faults: Faults) -> bool:
    """The fault hit a segment, and not in the opening, which is the main thread's."""
    return any(call.thread != node.process.pid for call in faults.fired(".seg"))


def _has_synced(node: Node, faults: Faults) -> bool:
    """The same, where the fault is a delay."""
    calls = (call for call in faults.calls() if call.thread != node.process.pid and call.path.endswith(".seg"))
    return any(call.name == "fdatasync" for call in calls)


# What ``when=`` counts is counted for each thread: never three in a row, in the opening as in the writer. The file sink
# takes a new thread for each try, so of what it calls the first few go well. A try of the writer after a refusal takes
# up to four calls: were each fourth refused it might be the same one for ever.


def _single(rules: Callable[[Run], list[str]], said: str, run: Run) -> Outcome:
    """In turn both sides start with rules that hit single calls, and survive them."""
    outcome = Outcome(run.injections, 0, 0)
    with Site(run, more=_SMALL) as site:
        traced = _Traced(run, site)
        site.begin()
        for at in range(run.injections):
            side = SIDES[at % 2]
            assert site.nodes[side].stop(PATIENCE) == 0, site.trouble()
            faults = traced.start(side, *rules(run))
            node = site.nodes[side]
            wait_for(lambda node=node, faults=faults: _hit_writer(node, faults), site.trouble, PATIENCE)  # type: ignore[misc]
            outcome.recover.append(site.resumed())
            outcome.fired += 1
            assert said in site.said(side), site.trouble()
        return site.finish(outcome)


def _errors(run: Run) -> list[str]:
    call = run.dice.choice(["fdatasync", WRITES])
    return [f"{call}:error=EIO:when={run.dice.randint(4, 9)}+{run.dice.choice(_STEPS)}"]


def _no_room(run: Run) -> list[str]:
    call, error = run.dice.choice(
        [(WRITES, "ENOSPC"), (WRITES, "EDQUOT"), ("fallocate", "ENOSPC"), ("fallocate", "EDQUOT")]
    )
    return [f"{call}:error={error}:when=2+{run.dice.choice(_STEPS)}"]


def _short_writes(run: Run) -> list[str]:
    """What is left goes through pwrite64, which may do nothing either."""
    rules = [f"{WRITES}:retval=0:when=2+{run.dice.randint(2, 4)}"]
    return [*rules, "pwrite64:retval=0:when=3+3"] if run.dice.random() < 0.5 else rules


def _for_good(run: Run) -> Outcome:
    """From some call on all fail, so that the process ends; then the power goes, and with it what was not synced."""
    outcome = Outcome(run.injections, 0, 0)
    with Site(run, more=_SMALL) as site:
        traced = _Traced(run, site)
        site.begin()
        for _ in range(run.injections):
            side, call = run.dice.choice(SIDES), run.dice.choice(["fdatasync", WRITES])
            node = site.nodes[side]
            assert node.stop(PATIENCE) == 0, site.trouble()
            faults = traced.start(side, f"{call}:error=EIO:when={run.dice.randint(7, 20)}+", "ftruncate:error=EIO")
            node = site.nodes[side]
            assert node.wait(PATIENCE) == 1, site.trouble()
            assert "Input/output error; check the disk" in site.said(side), site.trouble()
            faults.wait_ended(node.process.pid)
            outcome.fired += len(faults.fired(f"/{side}/spool/")) >= 3
            faults.cut_power()
            site.start(side)
            outcome.recover.append(site.resumed())
        return site.finish(outcome)


def _slow_syncs(run: Run) -> Outcome:
    """Every sync takes long; at a moment of its own the process is killed and the power goes: nothing may have been
    acknowledged whose sync had not returned.
    """
    outcome, zeroed = Outcome(run.injections, 0, 0), 0
    with Site(run, more=_SMALL) as site:
        traced = _Traced(run, site)
        site.begin()
        for _ in range(run.injections):
            side = run.dice.choice(SIDES)
            site.nodes[side].kill()
            faults = traced.start(side, f"fdatasync:delay_enter={run.dice.randint(50, 300)}ms")
            node = site.nodes[side]
            wait_for(lambda node=node, faults=faults: _has_synced(node, faults), site.trouble, PATIENCE)  # type: ignore[misc]
            site.resumed()
            wait_for(lambda faults=faults: bool(faults.unsynced()), site.trouble, PATIENCE)  # type: ignore[misc]
            node.kill()
            faults.wait_ended(node.process.pid)
            cut = faults.cut_power()
            outcome.fired += cut > 0
            zeroed += cut
            site.start(side)
            outcome.recover.append(site.resumed())
        outcome.notes.append(f"{zeroed:,} bytes that no sync had followed were zeroed")
        return site.finish(outcome)


def _row(name: str, fault: str, run: Callable[[Run], Outcome], short: int, long: int, *, every: bool = True) -> Row:
    return Row(name, fault, "once", run, short, long, needs=_no_strace, every=every)


ROWS: Final = [
    _row(
        "disk: EIO",
        "Single fdatasync or write calls of agent and collector fail with EIO.",
        partial(_single, _errors, "Input/output error; check the disk"),
        short=4,
        long=100,
    ),
    _row(
        "disk: ENOSPC and EDQUOT",
        "Single write or fallocate calls of agent and collector find no room.",
        partial(_single, _no_room, ""),
        short=4,
        long=100,
    ),
    _row(
        "disk: short writes",
        "Single write calls of agent and collector write nothing, and say so.",
        partial(_single, _short_writes, ""),
        short=2,
        long=60,
    ),
    _row(
        "disk: refuses for good",
        "From some call on every sync or write fails; the process ends, and a power cut takes what was not synced.",
        _for_good,
        short=2,
        long=60,
    ),
    _row(
        "disk: slow syncs and a power cut",
        "Every fdatasync takes 50 to 300 ms; then the process is killed, and what no sync had followed is zeroed.",
        _slow_syncs,
        short=3,
        long=100,
        every=False,
    ),
]
