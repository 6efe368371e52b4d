"""Workload 15: the same bytes as one file and as a thousand files, by ``run --once``: what does the number cost?

The two runs of a pair come right after each other, in turns in either order, and are checked afterwards: a machine that
is slow for a while is slow for both. What counts is the median of the pairs' ratios.
"""

import shutil
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import verify
from benchmarks.lines import Corpus
from benchmarks.processes import Cores, Usage
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig
from benchmarks.verify import Verdict

FILES: Final = 1000
_TIMEOUT: Final = 600.0
_MB: Final = 1_000_000
_MIB: Final = 1024 * 1024


def measure(lines: int, pairs: int, folder: Path, cores: Cores, files: int = FILES) -> list[Row]:
    """The median of the ratios of pairs of runs; a wrong run always shows."""
    corpus = Corpus.write("json", lines, folder)
    parts = folder / "many"
    shutil.rmtree(parts, ignore_errors=True)
    each = corpus.split(files, parts)
    ways = [(corpus.path, lines), (parts / "*.log", each)]
    done = [_pair(corpus, ways, folder, cores, [0, 1] if number % 2 == 0 else [1, 0]) for number in range(pairs)]
    shutil.rmtree(parts)
    checks = [check for pair in done for _, check in pair]
    check = next((check for check in checks if not check.clean), checks[0])
    ratios = [one.cpu / many.cpu for (one, _), (many, _) in done]
    one, many = (statistics.median(pair[at][0].cpu for pair in done) for at in (0, 1))
    walls = [statistics.median(pair[at][0].wall for pair in done) for at in (0, 1)]
    details: dict[str, float | str] = {
        "MB": corpus.size / _MB,
        "one file: MB per CPU s": corpus.size / _MB / one,
        f"{files:,} files: MB per CPU s": corpus.size / _MB / many,
        "CPU ms a file": 1000 * (many - one) / (files - 1),
        "ratio of the wall times": walls[0] / walls[1],
        "peak RSS MiB, one": max(pair[0][0].peak_rss for pair in done) / _MIB,
        "many": max(pair[1][0].peak_rss for pair in done) / _MIB,
        "CPU s of each": " ".join(f"{pair[0][0].cpu:.2f}/{pair[1][0].cpu:.2f}" for pair in done),
    }
    what = f"{files:,} files against one, same bytes: per CPU s"
    return [Row("15", what, statistics.median(ratios), "of one file's", Bar(0.9), None, check, details)]


def _pair(
    corpus: Corpus, ways: Sequence[tuple[Path, int]], folder: Path, cores: Cores, order: Sequence[int]
) -> list[tuple[Usage, Verdict]]:
    """Ship the corpus each way (what to read, and the lines of a file), in this order."""
    used: dict[int, Usage] = {}
    with ExitStack() as stack:
        rigs = [stack.enter_context(Rig(folder / f"workload-15-{at}", cores)) for at in range(len(ways))]
        for at in order:
            collector = rigs[at].collector()
            used[at] = rigs[at].agent(ways[at][0], {}, once=True).wait(_TIMEOUT)
            collector.stop(_TIMEOUT)
        return [
            (used[at], verify.compare_parts(corpus, each, verify.read_raw(rig.output)))
            for at, (rig, (_, each)) in enumerate(zip(rigs, ways, strict=True))
        ]
