"""Where the agent's CPU time goes in one workload; sampled from outside, from the other core.

Two samplers at once, for neither sees all: ``perf`` knows what runs on the core (kernel, zstd, interpreter, by library
and C function), ``py-spy`` which Python function holds the interpreter. The product knows nothing of them. They slow
the agent down, so a profile gives shares, not speeds.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from benchmarks import throughput
from benchmarks.lines import Corpus
from benchmarks.processes import BenchError, Child, Cores, Usage
from benchmarks.throughput import Workload
from benchmarks.verify import Verdict

_RATE: Final = 999
_END: Final = 60.0
_TOP: Final = 30
_LINE: Final = re.compile(r":\d+\)$")
_PLACES: Final = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


class Shipped(Protocol):
    """What came of a run."""

    @property
    def agent(self) -> Usage:
        """What it took."""

    @property
    def check(self) -> Verdict:
        """What arrived."""


def profile(workload: Workload, folder: Path, cores: Cores) -> str:
    """Ship a workload once under the samplers; what they saw, as text.

    :raises BenchError: py-spy is not there.
    """
    corpus = Corpus.write(workload.kind, workload.lines, folder)
    return sample(corpus, partial(throughput.ship, workload, corpus, folder / "profile", cores), folder, cores)


def sample(corpus: Corpus, ship: Callable[[Callable[[Child], None]], Shipped], folder: Path, cores: Cores) -> str:
    """``ship`` under the samplers: it gives the agent that it starts to the function that it is called with.

    :raises BenchError: py-spy is not there.
    """
    spy, perf = (shutil.which(name, path=_PLACES) for name in ("py-spy", "perf"))
    if spy is None:
        raise BenchError(f"a profile needs py-spy: {sys.executable} -m pip install py-spy")
    stacks, events = folder / "py-spy.stacks", folder / "perf.data"
    samplers: list[Child] = []

    def watch(agent: Child) -> None:
        pid = str(agent.pid)
        command = [spy, "record", "--nonblocking", "--gil", "--threads", "--rate", str(_RATE), "--duration", "3600"]
        command += ["--format", "raw", "--output", str(stacks), "--pid", pid]
        samplers.append(Child(command, cores.other, folder / "py-spy.log"))
        if perf is not None:
            command = [perf, "record", "-e", "cpu-clock", "-F", str(_RATE), "-o", str(events), "-p", pid]
            samplers.append(Child(command, cores.other, folder / "perf.log"))

    run = ship(watch)
    for sampler in samplers:
        sampler.wait(_END)
    text = f"the agent took {run.agent.cpu:.2f} CPU s for {corpus.lines:,} lines; lost/doubled/altered {run.check}\n"
    for keys in ("dso", "sym,dso") if perf is not None else ():
        text += f"\nperf, on the core, by {keys}:\n{_perf(str(perf), events, keys)}\n"
    return f"{text}\npy-spy, holding the interpreter:\n{summary(stacks.read_text())}"


def summary(folded: str) -> str:
    """Threads and functions with the most samples: on top of the stack, and anywhere on it."""
    threads: Counter[str] = Counter()
    own: Counter[str] = Counter()
    with_called: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = (_LINE.sub(")", frame) for frame in stack.split(";"))
        if not frames:
            continue
        threads[thread] += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            with_called[frame] += int(count)
    total = threads.total() or 1
    parts = [f"{threads.total()} samples"]
    for title, counts in (("by thread", threads), ("on top of the stack", own), ("anywhere on it", with_called)):
        parts.append(f"\n{title}:")
        parts += [f"{100 * count / total:6.1f} %  {name}" for name, count in counts.most_common(_TOP)]
    return "\n".join(parts)


def _perf(perf: str, events: Path, keys: str) -> str:
    command = [perf, "report", "-i", str(events), "--sort", keys, "--stdio"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines[:_TOP])
