"""Workloads 1, 3 and 4: a file that is there, shipped by ``run --once``, per CPU second of the agent.

The agent's CPU seconds are those of its whole life, start and stop included. What an agent takes that finds nothing to
do is measured beside it: "busy" figures are without that. The agent exits after every acknowledgement, so everything
it read is then durable in the collector's spool; afterwards the collector drains into its file sink and stops, and the
bench compares that file with the input.
"""

import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import verify
from benchmarks.lines import Corpus, Kind
from benchmarks.processes import BenchError, Child, Cores, Usage
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig
from benchmarks.verify import Content, Expect, Verdict

_TIMEOUT: Final = 600.0
_MB: Final = 1_000_000
_MIB: Final = 1024 * 1024

COMBINED: Final = (
    r'(?P<remote>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>[^"]+)" '
    r'(?P<status>\d+) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)
"""The combined log format: ten fields."""


@dataclass(frozen=True)
class Workload:
    """What is shipped, through which chain, and what must arrive."""

    number: str
    kind: Kind
    lines: int
    processors: list[Any]
    expect: Expect
    read: Callable[[Path], Iterator[Content | None]]
    extra: dict[str, Any] = field(default_factory=dict)


def raw(lines: int) -> Workload:
    """Workload 1."""
    return Workload("1", "json", lines, [], verify.expect_raw, verify.read_raw)


def changed(lines: int) -> Workload:
    """Workload 3."""
    chain = [
        "parse_json",
        {"drop": {"where": "level == 'debug'"}},
        {"add_fields": {"fields": verify.CONSTANTS}},
        "./upper_level.py:UpperLevel",
    ]
    return Workload("3", "json", lines, chain, verify.expect_changed, verify.read_fields)


def access(lines: int) -> Workload:
    """Workload 4."""
    chain = [{"parse_regex": {"pattern": COMBINED, "types": {"status": "int", "bytes": "int"}}}]
    return Workload("4", "access", lines, chain, verify.expect_access, verify.read_fields)


@dataclass(frozen=True)
class Run:
    """One agent's life."""

    agent: Usage
    collector: Usage
    check: Verdict


def ship(workload: Workload, corpus: Corpus, folder: Path, cores: Cores, watch: Callable[[Child], None]) -> Run:
    """Ship a corpus once and check what arrived. ``watch`` is given the agent while it runs."""
    with Rig(folder, cores) as rig:
        collector = rig.collector()
        agent = rig.agent(corpus.path, {"processors": workload.processors}, once=True)
        watch(agent)
        used = agent.wait(_TIMEOUT)
        drained = collector.stop(_TIMEOUT)
        check = verify.compare(corpus, workload.expect, workload.read(rig.output))
    return Run(used, drained, check)


def measure(workload: Workload, folder: Path, cores: Cores, runs: int) -> list[Row]:
    """Several runs; the one with the median CPU time counts, but a wrong one always shows."""
    corpus = Corpus.write(workload.kind, workload.lines, folder)
    done = [ship(workload, corpus, folder / f"workload-{workload.number}", cores, _no_watch) for _ in range(runs)]
    wrong = [run for run in done if not run.check.clean]
    run = wrong[0] if wrong else sorted(done, key=lambda run: run.agent.cpu)[(runs - 1) // 2]
    idle = _idle(workload, folder, cores)
    cpu, busy = run.agent.cpu, run.agent.cpu - idle
    details: dict[str, float | str] = {
        "lines": corpus.lines,
        "MB": corpus.size / _MB,
        "agent CPU s": cpu,
        "of it start and stop": idle,
        "wall s": run.agent.wall,
        "agent peak RSS MiB": run.agent.peak_rss / _MIB,
        "collector CPU s": run.collector.cpu,
        "runs": runs,
        "CPU s of each": " ".join(f"{each.agent.cpu:.2f}" for each in done),
    }
    if workload.number == "1":
        zstd, single = (
            statistics.median(_zstd(corpus.path, more, folder, cores) for _ in range(max(3, runs)))
            for more in ([], ["--single-thread"])
        )
        details |= {
            "MB per CPU s": corpus.size / _MB / cpu,
            "zstd -1 MB per CPU s": corpus.size / _MB / zstd,
            "busy %": 100 * zstd / busy,
            "% of zstd -1 --single-thread": 100 * single / cpu,
        }
        return [Row("1", "raw lines, of `zstd -1` alone", 100 * zstd / cpu, "%", Bar(60), None, run.check, details)]
    details["busy records per CPU s"] = corpus.lines / busy
    rate = corpus.lines / cpu
    what, bar = {
        "3": ("JSON: parse, drop 20 %, add two, change one", 240_000),
        "4": ("access log: ten fields by parse_regex", 150_000),
    }[workload.number]
    return [Row(workload.number, what, rate, "records per CPU s", Bar(bar), None, run.check, details)]


def _idle(workload: Workload, folder: Path, cores: Cores) -> float:
    """CPU seconds of an agent with the same config that ships one line."""
    one = Corpus.write(workload.kind, 1, folder)
    return ship(workload, one, folder / "start-and-stop", cores, _no_watch).agent.cpu


def _zstd(path: Path, more: list[str], folder: Path, cores: Cores) -> float:
    """CPU seconds of the command-line tool on the same bytes, on the agent's core.

    By default it reads, compresses and writes in threads of their own, which costs it CPU time even on one core;
    ``--single-thread`` is cheaper. Both are reported, the bar is about the default.
    """
    if shutil.which("zstd") is None:
        raise BenchError("workload 1 is measured against the zstd command; install it (apt install zstd)")
    command = ["zstd", "-1", "-q", *more, "-c", str(path)]
    return Child(command, cores.measured, folder / "zstd.log", stdout=subprocess.DEVNULL).wait(_TIMEOUT).cpu


def _no_watch(_: Child) -> None:
    """Nobody watches."""
