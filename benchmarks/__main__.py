"""The bench's command line; see README.md."""

import argparse
import compileall
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import shipper
import shipper_processors
from benchmarks import (
    append,
    backlog,
    fanin,
    idle,
    kafka,
    latency,
    ledger,
    many,
    outage,
    report,
    rsyslog,
    steady,
    throughput,
    workers,
)
from benchmarks.processes import BenchError, Cores
from benchmarks.profile import profile
from benchmarks.report import Row

_HERE: Final = Path(__file__).parent
_CHAINS: Final = {
    "1": throughput.raw,
    "2": throughput.added,
    "3": throughput.changed,
    "4": throughput.access,
    "5": throughput.errors,
    "6": throughput.joined,
    "6r": throughput.redacted,
}
_LONG_LINES: Final = {
    "1": 5_000_000,
    "2": 5_000_000,
    "3": 2_500_000,
    "4": 2_500_000,
    "5": 5_000_000,
    "6": 600_000,
    "6r": 5_000_000,
}
_QUICK_LINES: Final = 500_000
_WORKERS_LINES: Final = 1_500_000
_QUICK_EVENTS: Final = 100_000
_KAFKA_LINES: Final = 2_500_000
_MODES: Final = {"14": "at least once", "14x": "exactly once"}
_OUTAGES: Final = {"quick": (20, 50_000), "long": (300, 20_000), "full": (1800, 10_000)}
"""Seconds, and live lines a second."""
_ALL: Final = [
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "6r",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "13",
    "14",
    "15",
    "L",
    "W",
    "rsyslog",
]


def main() -> int:
    """Run the workloads; 1 when one could not be run, or when a record was lost, doubled, altered or out of order."""
    args = _arguments()
    folder: Path = args.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.other})
    for package in (shipper, shipper_processors):  # as pip leaves them: nobody compiles at each start
        compileall.compile_dir(package.__path__[0], quiet=2)
    lines = dict.fromkeys(_CHAINS, _QUICK_LINES) | {"6": _QUICK_EVENTS} if args.quick else _LONG_LINES
    about = report.surroundings()
    name = f"{'quick-' if args.quick else ''}{datetime.now(UTC):%Y%m%dT%H%M%S}"
    if args.profile:
        return _profile(
            _profiles(lines, folder, cores)[args.profile], args.profile, args.results / f"{name}-profile.txt"
        )
    rows: list[Row] = []
    failed = False
    for number, measure in _workloads(args, lines, folder, cores).items():
        print(f"workload {number} ...", flush=True)
        try:
            measured = measure()
        except BenchError as error:
            print(f"workload {number}: {error}", file=sys.stderr)
            failed = True
            continue
        rows += measured
        print(report.table(measured), flush=True)
    written = report.write(args.results, name, about, rows)
    print(report.table(rows))
    print(written)
    return int(failed or any(row.verdict == "WRONG" for row in rows))


def _profiles(lines: dict[str, int], folder: Path, cores: Cores) -> dict[str, Callable[[], str]]:
    """What can be profiled, by number."""
    made = {number: partial(profile, chain(lines[number]), folder, cores) for number, chain in _CHAINS.items()}
    kafka_lines = min(lines["1"], _KAFKA_LINES)
    return {**made, **{name: partial(kafka.profile, mode, kafka_lines, folder, cores) for name, mode in _MODES.items()}}


def _profile(sampled: Callable[[], str], number: str, result: Path) -> int:
    try:
        text = sampled()
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(f"workload {number}: {text}\n")
    print(text, result, sep="\n\n")
    return 0


def _workloads(
    args: argparse.Namespace, lines: dict[str, int], folder: Path, cores: Cores
) -> dict[str, Callable[[], list[Row]]]:
    """What to run, by number."""
    quick = args.quick
    known: dict[str, Callable[[], list[Row]]] = {
        number: partial(throughput.measure, chain(lines[number]), folder, cores, 1 if quick else 3)
        for number, chain in _CHAINS.items()
    }
    known["7"] = partial(steady.measure, 8 if quick else 60, folder, cores)
    known["8"] = partial(idle.measure, 5 if quick else 120, folder, cores)
    known["9"] = partial(latency.measure, 5 if quick else 60, folder, cores)
    known["10"] = partial(backlog.measure, 1 if quick else 10, folder, cores)
    known["11"] = partial(append.measure, 300 if quick else 2000, folder, cores)
    known["12"] = partial(fanin.measure, 4 if quick else 15, 8 if quick else 60, folder, cores)
    known["13"] = partial(
        outage.measure, *_OUTAGES["full" if args.full else "quick" if quick else "long"], folder, cores
    )
    known["14"] = partial(kafka.measure, _QUICK_LINES if quick else _KAFKA_LINES, 1 if quick else 3, folder, cores)
    known["15"] = partial(many.measure, _QUICK_LINES if quick else _LONG_LINES["1"], 1 if quick else 7, folder, cores)
    known["L"] = partial(
        ledger.measure,
        3 if quick else 5,
        4 if quick else 8,
        _QUICK_LINES if quick else _LONG_LINES["3"],
        folder,
        cores,
    )
    known["W"] = partial(_workers, _QUICK_LINES if quick else _WORKERS_LINES, 1 if quick else 5, folder, cores)
    known["rsyslog"] = partial(rsyslog.measure, 200_000 if quick else 1_000_000, 5 if quick else 30, folder, cores)
    return {number: known[number] for number in args.only or known}


def _workers(lines: int, pairs: int, folder: Path, cores: Cores) -> list[Row]:
    chains = (throughput.changed, throughput.access)
    return [row for chain in chains for row in workers.measure(chain(lines), pairs, folder, cores)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure shipper; see benchmarks/README.md."
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes in all; the figures are rough")
    parser.add_argument("--full", action="store_true", help="workload 13 as it is meant: an outage of 30 minutes")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=_ALL,
        metavar="N",
        help=f"only these workloads: {' '.join(_ALL)}",
    )
    parser.add_argument(
        "--profile", choices=sorted([*_CHAINS, *_MODES]), help="no figures: where the agent's CPU time goes"
    )
    parser.add_argument("--dir", type=Path, default=_HERE / "work", help="where to work: on the disk to be measured")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where to write the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
