"""Workloads 1 to 6: a file that is there, shipped by ``run --once``, per CPU second of the agent.

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
from benchmarks.report import Bar, Row, per
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
    title: str
    kind: Kind
    lines: int
    processors: list[Any]
    expect: Expect
    read: Callable[[Path], Iterator[Content | None]]
    bar: float
    """What it must reach: records per CPU second, or MB per CPU second where ``bytes`` says so."""
    bytes: bool = False
    source: dict[str, Any] = field(default_factory=dict)
    """More settings of the source."""


_NO_DEBUG: Final = {"drop": {"where": "level == 'debug'"}}
_CONSTANTS: Final = {"add_fields": {"fields": verify.CONSTANTS}}


def raw(lines: int) -> Workload:
    """Workload 1; its bar is another (see ``measure``)."""
    return Workload("1", "raw lines", "json", lines, [], verify.expect_raw, verify.read_raw, 60)


def added(lines: int) -> Workload:
    """Workload 2."""
    chain = ["parse_json", _NO_DEBUG, _CONSTANTS]
    title = "JSON: parse, drop 20 %, add two"
    return Workload("2", title, "json", lines, chain, verify.expect_added, verify.read_fields, 480_000)


def changed(lines: int) -> Workload:
    """Workload 3."""
    chain = ["parse_json", _NO_DEBUG, _CONSTANTS, "./upper_level.py:UpperLevel"]
    title = "JSON: parse, drop 20 %, add two, change one"
    return Workload("3", title, "json", lines, chain, verify.expect_changed, verify.read_fields, 240_000)


def access(lines: int) -> Workload:
    """Workload 4."""
    chain = [{"parse_regex": {"pattern": COMBINED, "types": {"status": "int", "bytes": "int"}}}]
    title = "access log: ten fields by parse_regex"
    return Workload("4", title, "access", lines, chain, verify.expect_access, verify.read_fields, 200_000)


def errors(lines: int) -> Workload:
    """Workload 5."""
    chain = ["parse_json", {"keep": {"where": "level == 'error'"}}]
    title = "JSON: parse, keep 1 %"
    return Workload("5", title, "calm", lines, chain, verify.expect_errors, verify.read_fields, 900_000)


def joined(events: int) -> Workload:
    """Workload 6, its Java traces."""
    source = {"multiline": "java"}
    return Workload(
        "6",
        "Java traces, joined",
        "java",
        events,
        [],
        verify.expect_raw,
        verify.read_raw,
        100,
        bytes=True,
        source=source,
    )


def redacted(lines: int) -> Workload:
    """Workload 6, its three patterns, of which none is there."""
    chain = [{"redact": {"find": ["cards", "emails", "ips"]}}]
    title = "redact: cards, e-mails, IPs; no hits"
    return Workload("6r", title, "calm", lines, chain, verify.expect_raw, verify.read_raw, 150, bytes=True)


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
        agent = rig.agent(corpus.path, {"processors": workload.processors}, once=True, source=workload.source)
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
            "zstd -1 MB per CPU s": per(corpus.size / _MB, zstd),
            "busy %": per(100 * zstd, busy),
            "% of zstd -1 --single-thread": 100 * single / cpu,
        }
        return [Row("1", "raw lines, of `zstd -1` alone", 100 * zstd / cpu, "%", Bar(60), None, run.check, details)]
    amount, unit = (corpus.size / _MB, "MB") if workload.bytes else (corpus.lines, "records")
    details[f"busy {unit} per CPU s"] = per(amount, busy)
    bar = Bar(workload.bar)
    return [Row(workload.number, workload.title, amount / cpu, f"{unit} per CPU s", bar, None, run.check, details)]


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
