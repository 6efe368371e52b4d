"""What was measured, as a Markdown table and as JSON."""

import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.verify import Verdict

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Bar:
    """A figure to reach: at least, or at most."""

    value: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        """The value reaches it."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.value)}"


@dataclass(frozen=True)
class Row:
    """One figure."""

    workload: str
    """Its number in performance.md."""
    what: str
    value: float
    unit: str
    bar: Bar | None = None
    """What must be reached now."""
    goal: Bar | None = None
    """What performance.md wants in the end, where that is more."""
    check: Verdict | None = None
    details: dict[str, float | str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``WRONG`` (records were lost, doubled, altered or out of order), or nothing: there is no
        bar, or no figure.
        """
        if self.check is not None and not self.check.clean:
            return "WRONG"
        if self.bar is None or math.isnan(self.value):
            return ""
        return "met" if self.bar.met(self.value) else "missed"


def per(amount: float, measured: float) -> float:
    """An amount by what was measured for it: seconds, bytes, records.

    Not a number where nothing was measured, which is no figure: a run of moments on a busy machine takes less CPU time
    than a tick of the clock that counts it, or no more than the empty run that is taken off.
    """
    return amount / measured if measured > 0 else math.nan


def number(value: float) -> str:
    """A figure with three digits that mean something, thousands apart."""
    if math.isnan(value):
        return "not measured"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| # | measured | value | bar | verdict | goal | lost / doubled / altered | beside it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        beside = ", ".join(
            f"{name} {number(value) if isinstance(value, float | int) else value}"
            for name, value in row.details.items()
        )
        cells = (
            row.workload,
            row.what,
            f"**{number(row.value)}** {row.unit}",
            str(row.bar or ""),
            row.verdict,
            str(row.goal or ""),
            "" if row.check is None else f"{row.check} of {row.check.expected:,}",
            beside,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def surroundings() -> dict[str, Any]:
    """Where and when, and of what, the figures are."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load at start": os.getloadavg()[0],
    }


def write(folder: Path, name: str, about: dict[str, Any], rows: Sequence[Row]) -> Path:
    """``NAME.md`` and ``NAME.json``; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    where = "\n".join(f"- {key}: {value}" for key, value in about.items())
    markdown = folder / f"{name}.md"
    markdown.write_text(f"# Bench\n\n{where}\n\n{table(rows)}")
    listed = [as_json({**asdict(row), "verdict": row.verdict}) for row in rows]
    whole = json.dumps({"about": about, "rows": listed}, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(whole + "\n")
    return markdown


def as_json(value: Any) -> Any:
    """What was not measured is null: JSON knows no such number."""
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if arguments[0] == "rev-parse" else "")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
