"""Where the agent's CPU time goes in one workload: py-spy samples it from outside, from the other core.

The product knows nothing of it. The profiler slows the agent down, so a profile gives shares, not speeds.
"""

import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks import throughput
from benchmarks.lines import Corpus
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.throughput import Workload

_RATE: Final = 500
_TOP: Final = 40
_LINE: Final = re.compile(r":\d+\)$")


def profile(workload: Workload, folder: Path, cores: Cores, result: Path) -> str:
    """Ship once under the profiler; the folded stacks go to ``result``, the busiest functions come back as text."""
    tool = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    if tool is None:
        raise BenchError(f"a profile needs py-spy: {sys.executable} -m pip install py-spy")
    corpus = Corpus.write(workload.kind, workload.lines, folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        stacks = Path(scratch) / "stacks"
        started: list[Child] = []

        def watch(agent: Child) -> None:
            command = [tool, "record", "--native", "--threads", "--nonblocking"]
            command += ["-r", str(_RATE), "-d", "3600", "-f", "raw", "-o", str(stacks), "-p", str(agent.pid)]
            started.append(Child(command, cores.other, folder / "py-spy.log"))

        throughput.ship(workload, corpus, folder / "profile", cores, watch)
        started[0].wait(30)
        text = stacks.read_text()
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(text)
    return summary(text)


def summary(folded: str) -> str:
    """The functions with the most samples of their own, and with those that they called."""
    own: Counter[str] = Counter()
    with_called: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_LINE.sub(")", frame) for frame in stack.split(";")]
        if not frames or not count.isdigit():
            continue
        threads[frames[0]] += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            with_called[frame] += int(count)
    total = sum(own.values()) or 1
    parts = [f"{total} samples\n"]
    for title, counts, top in (
        ("threads", threads, 10),
        ("on top of the stack", own, _TOP),
        ("on the stack", with_called, 2 * _TOP),
    ):
        parts.append(f"{title}:")
        parts += [f"  {100 * count / total:5.1f} %  {name}" for name, count in counts.most_common(top)]
    return "\n".join(parts)
