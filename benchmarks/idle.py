"""Workload 8: an agent that follows files into which nobody writes; its share of a core and its memory.

Every file holds a few lines, which were shipped before: the agent knows each of them, waits for more, and is connected.
The share is taken from the process's CPU clock, for /proc counts in ticks of 10 ms. Two minutes hold each kind of
rescan (docs/decisions/121-rescans-that-only-glance.md).
"""

import time
from pathlib import Path
from typing import Final

from benchmarks import verify
from benchmarks.lines import Corpus
from benchmarks.processes import Child, Cores
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig, settled, wait_until

FILES: Final = (1, 100, 1000)
_LINES: Final = 20
_QUIET: Final = 3.0
"""Seconds between the last line's arrival and the window."""
_ARRIVAL: Final = 180.0
_MIB: Final = 1024 * 1024
_GOAL: Final = 1000
"""Files for which the bars are meant."""


def measure(seconds: float, folder: Path, cores: Cores, counts: tuple[int, ...] = FILES) -> list[Row]:
    """Each number of files, for so many seconds."""
    return [row for count in counts for row in _measure(count, seconds, folder, cores)]


def _measure(count: int, seconds: float, folder: Path, cores: Cores) -> list[Row]:
    corpus = Corpus.write("json", count * _LINES, folder)
    with Rig(folder / "workload-8", cores) as rig:
        collector = rig.collector()
        corpus.split(count, rig.folder / "logs")
        agent = rig.agent(rig.folder / "logs" / "*.log", {}, once=False)
        wait_until(settled(rig.output), agent, "delivered a line", _ARRIVAL)
        wait_until(lambda: lines_of(rig.output) >= corpus.lines, collector, "had every line", _ARRIVAL)
        time.sleep(_QUIET)
        share = idle_share(agent, seconds)
        memory = agent.memory()
        agent.stop(_ARRIVAL)
        collector.stop(_ARRIVAL)
        check = verify.compare_parts(corpus, _LINES, verify.read_raw(rig.output))
    what = f"idle, {count:,} file{'s' * (count != 1)}"
    bars = (Bar(0.2, at_least=False), Bar(40, at_least=False)) if count == _GOAL else (None, None)
    details: dict[str, float | str] = {"seconds": seconds}
    return [
        Row("8", f"{what}: share of a core", 100 * share, "%", bars[0], None, check, details),
        Row("8", f"{what}: RSS", memory.rss / _MIB, "MiB", bars[1], None, check, {"PSS MiB": memory.pss / _MIB}),
    ]


def idle_share(process: Child, seconds: float) -> float:
    """Cores that a process takes over a while in which nobody asks anything of it."""
    began, before = time.monotonic(), process.own_cpu()
    time.sleep(seconds)
    return (process.own_cpu() - before) / (time.monotonic() - began)


def lines_of(path: Path) -> int:
    """Lines in a file."""
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
