"""The comparison as Markdown and as JSON, with what each program promises beside its figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.peer import Peer
from benchmarks.report import as_json, number, per
from benchmarks.verify import Verdict

OURS: Final = "shipper"
PROMISE: Final = (
    "durable: the spool and the output are synced; through a crash and a power cut nothing is lost and each record is "
    "written once"
)
_COLUMNS: Final = (
    "program",
    "lines",
    "records per CPU s",
    "x",
    "without start and stop",
    "x",
    "start and stop, CPU s",
    "peak RSS MiB",
    "lost / doubled / altered",
    "CPU s of each run",
)
_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One program in one workload."""

    workload: str
    title: str
    program: str
    lines: int
    """That it was given."""
    rate: float
    """Records read per CPU second, median of the runs."""
    busy: float
    """The same without what starting and stopping takes."""
    idle: float
    """CPU seconds of starting and stopping, with a few lines."""
    peak_rss: int
    """Bytes, of all its processes, the highest of the runs."""
    cpu: list[float]
    """Seconds of each run."""
    check: Verdict
    """The worst of the runs."""


def of(lines: Sequence[Line]) -> str:
    """A table for each workload; shipper's first line is what the others are compared with."""
    return "\n".join(_one(list(group)) for _, group in groupby(lines, key=lambda line: line.workload))


def write(
    folder: Path,
    name: str,
    about: dict[str, Any],
    lines: Sequence[Line],
    peers: Sequence[Peer],
    missing: dict[str, str],
) -> Path:
    """``NAME.md`` and ``NAME.json``; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    where = "\n".join(f"- {key}: {value}" for key, value in about.items())
    promises = {OURS: PROMISE} | {peer.name: peer.promise for peer in peers}
    said = "\n".join(f"- {program}: {promise}." for program, promise in promises.items())
    absent = "".join(f"- {program}: not run: {reason}\n" for program, reason in missing.items())
    markdown = folder / f"{name}.md"
    markdown.write_text(
        f"# Peers\n\n{where}\n\n{of(lines)}\nLost, doubled and altered records are the worst of all runs. x: how many "
        "times as many records shipper takes in a CPU second, from file to file.\n\n"
        f"## What the figures do not show\n{said}\n{absent}"
    )
    whole = {
        "about": about,
        "promises": promises,
        "missing": missing,
        "lines": [as_json(asdict(line)) for line in lines],
    }
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return markdown


def _one(lines: list[Line]) -> str:
    ours = lines[0]
    rows = [
        f"### Workload {ours.workload}: {ours.title}",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---" * len(_COLUMNS) + "|",
    ]
    for line in lines:
        cells = (
            line.program + (" (file to file)" if line is ours else ""),
            f"{line.lines:,}",
            f"**{number(line.rate)}**",
            number(per(ours.rate, line.rate)),
            number(line.busy),
            number(per(ours.busy, line.busy)),
            number(line.idle),
            number(line.peak_rss / _MIB),
            f"{line.check} of {line.check.expected:,}",
            " ".join(f"{seconds:.2f}" for seconds in line.cpu),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
