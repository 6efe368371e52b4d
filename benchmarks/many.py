"""Workload 15: the same bytes as one file and as a thousand files, by ``run --once``: what does the number cost?

The runs take turns, so that a machine that slows down slows both down. What counts is the run of each that took least:
what else goes on there only adds to it, up to a third, and by chance; the ratio is to tell a few percent apart.
"""

import shutil
import statistics
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


def measure(lines: int, runs: int, folder: Path, cores: Cores, files: int = FILES) -> list[Row]:
    """The ratio of the quietest runs; a wrong run always shows."""
    corpus = Corpus.write("json", lines, folder)
    parts = folder / "many"
    shutil.rmtree(parts, ignore_errors=True)
    each = corpus.split(files, parts)
    done = [
        (_ship(corpus, corpus.path, lines, folder, cores), _ship(corpus, parts / "*.log", each, folder, cores))
        for _ in range(runs)
    ]
    shutil.rmtree(parts)
    checks = [check for pair in done for _, check in pair]
    check = next((check for check in checks if not check.clean), checks[0])
    one, many = (min(pair[at][0].cpu for pair in done) for at in (0, 1))
    middle = [statistics.median(pair[at][0].cpu for pair in done) for at in (0, 1)]
    walls = [statistics.median(pair[at][0].wall for pair in done) for at in (0, 1)]
    details: dict[str, float | str] = {
        "MB": corpus.size / _MB,
        "one file: MB per CPU s": corpus.size / _MB / one,
        f"{files:,} files: MB per CPU s": corpus.size / _MB / many,
        "CPU ms a file": 1000 * (many - one) / (files - 1),
        "ratio of the medians": middle[0] / middle[1],
        "ratio of the wall times": walls[0] / walls[1],
        "peak RSS MiB, one": max(pair[0][0].peak_rss for pair in done) / _MIB,
        "many": max(pair[1][0].peak_rss for pair in done) / _MIB,
        "CPU s of each": " ".join(f"{pair[0][0].cpu:.2f}/{pair[1][0].cpu:.2f}" for pair in done),
    }
    what = f"{files:,} files against one, same bytes: per CPU s"
    return [Row("15", what, one / many, "of one file's", Bar(0.9), None, check, details)]


def _ship(corpus: Corpus, path: Path, each: int, folder: Path, cores: Cores) -> tuple[Usage, Verdict]:
    with Rig(folder / "workload-15", cores) as rig:
        collector = rig.collector()
        used = rig.agent(path, {}, once=True).wait(_TIMEOUT)
        collector.stop(_TIMEOUT)
        check = verify.compare_parts(corpus, each, verify.read_raw(rig.output))
    return used, check
