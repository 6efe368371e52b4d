"""Workload W: ``workers: 2`` against none, in records per wall second on two cores, where the chain is what it costs.

The sink is one that nobody answers, so that all of both cores is the agent's. What counts is the middle of the file:
the processes are up before it, and none waits for the others' last batches in it. Runs with and without workers take
turns, in the order A B B A, so that a machine that slows down slows both down. What both left in the spool is compared:
the same records in the same order. Two cores that are otherwise idle are needed. Where they are not, the CPU time
beside the ratio tells how much faster two cores could be.
"""

import hashlib
import http.client
import os
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import kept
from benchmarks.lines import Corpus
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.report import Bar, Row, per
from benchmarks.rig import Rig, answering
from benchmarks.throughput import Workload
from benchmarks.verify import Verdict
from shipper.spool.frame import Frame

_WORKERS: Final = 2
_TIMEOUT: Final = 300.0
_LOOK: Final = 0.1
_MIB: Final = 1024 * 1024
_HOST: Final = "127.0.0.1"
_READ: Final = re.compile(rb'^shipper_records_total\{source="app",stage="read"\} (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class _Sample:
    """So far."""

    time: float
    read: int
    agent: float
    """CPU seconds of the agent."""
    workers: float
    """And of its workers."""


@dataclass(frozen=True)
class _Run:
    speed: float
    """Records read per wall second."""
    agent: float
    """CPU microseconds a record."""
    workers: float
    rss: int
    """Bytes, of all of them together, at the end."""
    kept: int
    """Records in the spool."""
    digest: str
    """Of all of them, in their order."""


def measure(workload: Workload, pairs: int, folder: Path, cores: Cores) -> list[Row]:
    """The median of the ratios of pairs of runs; a wrong run always shows."""
    corpus = Corpus.write(workload.kind, workload.lines, folder)
    runs: dict[int, list[_Run]] = {0: [], _WORKERS: []}
    for number in range(pairs):
        for count in runs if number % 2 == 0 else reversed(runs):
            runs[count].append(_run(workload, corpus, count, folder / "workload-W", cores))
    alone, beside = runs[0], runs[_WORKERS]
    ratios = [there.speed / here.speed for here, there in zip(alone, beside, strict=True)]
    agent, workers, one = (
        statistics.median(times)
        for times in ([run.agent for run in beside], [run.workers for run in beside], [run.agent for run in alone])
    )
    details: dict[str, float | str] = {
        "lines": corpus.lines,
        "records per s, in process": statistics.median(run.speed for run in alone),
        "with workers": statistics.median(run.speed for run in beside),
        "CPU us a record, in process": one,
        "agent with workers": agent,
        "workers": workers,
        "ratio that the CPU time allows": allowed(one, agent, workers),
        "RSS MiB, in process": max(run.rss for run in alone) / _MIB,
        "with workers, of all": max(run.rss for run in beside) / _MIB,
        "ratio of each pair": " ".join(f"{ratio:.2f}" for ratio in ratios),
    }
    what = f"{workload.title}: {_WORKERS} workers against none, per wall second"
    check = _compared([*alone, *beside])
    return [Row("W", what, statistics.median(ratios), "times as fast", Bar(1.7), None, check, details)]


def allowed(alone: float, agent: float, workers: float) -> float:
    """How many times as fast the agent and its workers can be on as many cores as there are workers, given the CPU time
    of a record of the agent alone, of the agent with workers, and of these. No figure where the clocks saw none.
    """
    return per(_WORKERS * alone, agent + workers)


def _run(workload: Workload, corpus: Corpus, workers: int, folder: Path, cores: Cores) -> _Run:
    """Ship the file into the spool.

    :raises BenchError: it took too long, or the agent ended.
    """
    with Rig(folder, cores) as rig:
        extra = {
            "workers": workers,
            "processors": workload.processors,
            "sinks": {kept.SINK: rig.nowhere},
            "spool": {"max_bytes": kept.ROOM, "min_free": 0},
            "shutdown_timeout": "3s",  # what was read must become durable, on a busy machine too
        }
        samples = [_Sample(time.monotonic(), 0, 0.0, 0.0)]
        agent = rig.agent(corpus.path, extra | answering(rig.admin_port), once=False)
        os.sched_setaffinity(agent.pid, {cores.measured, cores.other})  # its only thread's; children inherit it
        while samples[-1].read < corpus.lines:
            samples.append(_sample(agent, rig.admin_port))
            if samples[-1].time - samples[0].time > _TIMEOUT:
                raise BenchError(f"{agent}: read {samples[-1].read} records in {_TIMEOUT:g} s\n{agent.tail()}")
            time.sleep(_LOOK)
        rss = agent.memory().rss
        agent.stop(_TIMEOUT)
        count, digest = _content(folder / "agent")
    first, last = (next(at for at in samples if at.read >= part * corpus.lines) for part in (0.1, 0.9))
    if first is last:  # a short file was read between two looks
        first = samples[0]
    read = last.read - first.read
    speed, each = read / (last.time - first.time), 1e6 / read
    return _Run(speed, each * (last.agent - first.agent), each * (last.workers - first.workers), rss, count, digest)


def _sample(agent: Child, port: int) -> _Sample:
    """:raises BenchError: the agent has ended."""
    own = agent.own_cpu()
    workers = max(0.0, agent.cpu() - own)  # counted in ticks of 10 ms
    connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        found = _READ.search(connection.getresponse().read())
    except OSError:  # it does not listen yet
        found = None
    finally:
        connection.close()
    return _Sample(time.monotonic(), int(found[1]) if found else 0, own, workers)


def _content(data_dir: Path) -> tuple[int, str]:
    """How many records a spool holds, and a digest of them."""
    digest = hashlib.blake2b(digest_size=8)
    count = 0

    def visit(frame: Frame) -> None:
        nonlocal count
        count += frame.records
        payload = frame.payload()
        digest.update(b"" if payload is None else payload.data)

    kept.frames(data_dir, visit)
    return count, digest.hexdigest()


def _compared(runs: list[_Run]) -> Verdict:
    """All must have kept what the first one kept: that of a chain in process, which its own workload checks."""
    verdict, wanted = Verdict(), runs[0]
    for run in runs:
        lost, doubled = max(0, wanted.kept - run.kept), max(0, run.kept - wanted.kept)
        altered = run.kept if run.kept == wanted.kept and run.digest != wanted.digest else 0
        verdict += Verdict(wanted.kept, run.kept, lost, doubled, altered)
    return verdict
