"""Measure the peers and shipper in turns: ``python -m benchmarks.peers``; see README.md."""

import argparse
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.peers import table
from benchmarks.peers.fluentbit import FluentBit
from benchmarks.peers.jobs import WORKLOADS, Job
from benchmarks.peers.logprep import Logprep, LogprepProcessors
from benchmarks.peers.otelcol import OtelCollector
from benchmarks.peers.peer import Missing, Peer
from benchmarks.peers.rsyslog import Rsyslog
from benchmarks.peers.running import Run, run_ours, run_ours_acknowledged, run_peer
from benchmarks.peers.table import OURS, Line
from benchmarks.processes import BenchError, Cores

_HERE: Final = Path(__file__).parent.parent
PEERS: Final[tuple[Peer, ...]] = (Rsyslog(), FluentBit(), OtelCollector(), Logprep(), LogprepProcessors())
_LINES: Final = 1_000_000
_LEAST: Final = 20_000
_FEW: Final = 1000
"""Lines of the run that shows what starting and stopping takes; enough for some of them to be errors."""


def main() -> int:
    """Measure; 1 when a program could not be run, or when shipper lost, doubled, altered or reordered a record."""
    args = _arguments()
    folder: Path = args.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.other})
    about = report.surroundings() | {"command": shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]])}
    about |= {"lines": args.lines, "runs": args.runs}
    name = f"peers-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    there, missing = find(PEERS, folder)
    lines: list[Line] = []
    try:
        for number in args.only:
            print(f"workload {number} ...", flush=True)
            measured = measure(Job.make(number, args.lines, folder), there, folder, cores, args.runs)
            print(table.of(measured), flush=True)
            lines += measured
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if lines:
            print(table.write(args.results, name, about, lines, PEERS, missing))
    return int(any(not line.check.clean for line in lines if line.program.startswith(OURS)))


def find(peers: Iterable[Peer], folder: Path) -> tuple[dict[str, tuple[Peer, str]], dict[str, str]]:
    """Peers and their paths by name and version; why the others are missing, by name."""
    there: dict[str, tuple[Peer, str]] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            program = peer.find(folder)
            there[peer.version(program)] = peer, program
        except Missing as error:
            missing[peer.name] = str(error)
            print(f"{peer.name}: not run: {error}", file=sys.stderr)
    return there, missing


def measure(job: Job, there: dict[str, tuple[Peer, str]], folder: Path, cores: Cores, runs: int) -> list[Line]:
    """Every program in turns, so that what slows the machine for a while slows all of them.

    :raises BenchError: a program could not be run.
    """
    few = job.first(_FEW, folder)
    programs: dict[str, tuple[Job, Callable[[Job], Run]]] = {
        OURS: (job, partial(run_ours, folder=folder, cores=cores)),
        f"{OURS}, over gRPC, acknowledged": (job, partial(run_ours_acknowledged, folder=folder, cores=cores)),
    }
    for name, (peer, program) in there.items():
        part = job if peer.share == 1 else job.first(int(job.corpus.lines * peer.share), folder)
        programs[name] = part, partial(run_peer, peer, program, folder=folder, cores=cores)
    done: dict[str, list[Run]] = {name: [] for name in programs}
    idle: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, (part, run) in programs.items():
            done[name].append(run(part))
            idle[name].append(run(few).cpu)
    return [
        _line(
            job.workload.number, job.workload.title, name, part.corpus.lines, done[name], statistics.median(idle[name])
        )
        for name, (part, _) in programs.items()
    ]


def _line(number: str, title: str, program: str, lines: int, runs: list[Run], idle: float) -> Line:
    """The median of all runs counts, but a wrong one always shows."""
    cpu = statistics.median(run.cpu for run in runs)
    check = next((run.check for run in runs if not run.check.clean), runs[0].check)
    return Line(
        workload=number,
        title=title,
        program=program,
        lines=lines,
        rate=lines / cpu,
        busy=report.per(lines - _FEW, cpu - idle),
        idle=idle,
        peak_rss=max(run.peak_rss for run in runs),
        cpu=[round(run.cpu, 2) for run in runs],
        check=check,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Other programs beside shipper; see benchmarks/README.md."
    )
    parser.add_argument("--lines", type=int, default=_LINES, help=f"of the file, at least {_LEAST} (default {_LINES})")
    parser.add_argument("--runs", type=int, default=3, help="of each program; the median counts (default %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="N", help="only these workloads"
    )
    parser.add_argument("--dir", type=Path, default=_HERE / "work", help="where to work: on the disk to be measured")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where to write the results")
    args = parser.parse_args()
    if args.lines < _LEAST:
        parser.error(f"--lines {args.lines}: fewer than {_LEAST} show nothing but how the programs start")
    return args


if __name__ == "__main__":
    sys.exit(main())
