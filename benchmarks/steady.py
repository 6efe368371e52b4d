"""Workload 7: 10,000 lines a second for a while; the cores and the memory that the agent takes.

Measured over a window in the middle, once lines arrive at the collector: starting is not part of a steady state. The
peak (VmHWM) is of the whole life all the same.
"""

import time
from pathlib import Path
from typing import Any, Final

from benchmarks import verify
from benchmarks.idle import lines_of
from benchmarks.lines import Corpus
from benchmarks.paced import start_writer
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig, settled, wait_until
from benchmarks.verify import Expect

_RATE: Final = 10_000
_WARM: Final = 3.0
_SPARE: Final = 2.0
"""Seconds that the writer goes on behind the window."""
_ARRIVAL: Final = 30.0
_MIB: Final = 1024 * 1024


def measure(seconds: float, folder: Path, cores: Cores) -> list[Row]:
    """The raw lines passed through, and beside it the same lines parsed."""
    plain, parsed = ({"processors": chain} for chain in ([], ["parse_json"]))
    return [
        *_measure("10,000 lines a second", plain, verify.expect_raw, seconds, folder, cores, with_bars=True),
        *_measure("the same with parse_json", parsed, verify.expect_json, seconds, folder, cores, with_bars=False),
    ]


def _measure(
    what: str, extra: dict[str, Any], expect: Expect, seconds: float, folder: Path, cores: Cores, *, with_bars: bool
) -> list[Row]:
    corpus = Corpus.write("json", int(_RATE * (seconds + _WARM + _SPARE + 1)), folder)
    read = verify.read_raw if expect is verify.expect_raw else verify.read_fields
    with Rig(folder / "workload-7", cores) as rig:
        collector = rig.collector()
        live = rig.folder / "live.log"
        live.touch()
        agent = rig.agent(live, extra, once=False)
        writer = start_writer(corpus.path, live, _RATE, cores.other, folder / "paced.log")
        try:
            wait_until(settled(rig.output), agent, "delivered a line")
            time.sleep(_WARM)
            used, memory = _window(agent, seconds)
            peak = agent.peak_rss()
            if not writer.alive():
                raise BenchError(f"the writer ended before the window did; the machine is too busy\n{writer.tail()}")
            writer.wait(_ARRIVAL)
        finally:
            writer.kill()
        wait_until(lambda: lines_of(rig.output) >= corpus.lines, collector, "had every line", _ARRIVAL)
        agent.stop(_ARRIVAL)
        collector.stop(_ARRIVAL)
        check = verify.compare(corpus, expect, read(rig.output))
    rss, pss = (max(column) / _MIB for column in zip(*memory, strict=True))
    details: dict[str, float | str] = {
        "seconds": seconds,
        "first RSS in the window": memory[0][0] / _MIB,
        "last": memory[-1][0] / _MIB,
        "peak since the start": peak / _MIB,
    }
    bars = (Bar(0.08, at_least=False), Bar(45, at_least=False)) if with_bars else (None, None)
    goals = (Bar(0.06, at_least=False), Bar(40, at_least=False)) if with_bars else (None, None)
    return [
        Row("7", f"{what}: cores", used, "cores", bars[0], goals[0], check, {"lines": corpus.lines}),
        Row("7", f"{what}: RSS", rss, "MiB", bars[1], goals[1], check, details),
        Row("7", f"{what}: PSS", pss, "MiB", bars[1], goals[1], check),
    ]


def _window(agent: Child, seconds: float) -> tuple[float, list[tuple[int, int]]]:
    """Cores used over the window, and (RSS, PSS) about once a second."""
    began, before = time.monotonic(), agent.cpu()
    memory = []
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        # smaps_rollup walks the page tables in our own time, not in the agent's.
        now = agent.memory()
        memory.append((now.rss, now.pss))
    return (agent.cpu() - before) / (time.monotonic() - began), memory
