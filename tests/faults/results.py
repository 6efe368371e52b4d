"""What became of the rows: kept as JSON, shown as Markdown. A part of the campaign replaces its own rows only."""

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from faults.found import Found, found, table
from faults.row import DRAINS, SOON, Row

REPLAY: Final = "PYTHONPATH=tests .venv/bin/python -m faults"
_ROOT: Final = Path(__file__).parents[2]
_HEAD: Final = f"""\
Written by `make torture`; `tests/faults` holds the rows, [guarantees.md](../guide/guarantees.md) what they are to show.
A row has passed when as many faults fired as must, no line was lost, doubled (where a line is promised once), altered
or out of order, and the ledger (`shipper audit`) balances where it is asked. "Not run" is neither passed nor failed.

- *injected*: the faults that the row was to do. *fired*: those that were seen to hit what they are meant for (a process
  that ran, a connection in use, data that nobody had synced); another one proves nothing.
- *must fire*: where it says "all", a single fault that did not fire fails the row. Where it says "one", one is enough
  to pass: what such a fault meets is left to chance, and *fired* says how many of them count.
- *seconds to recover*: from the end of a fault until lines arrived again; "simulated": of a simulated clock.
- *commit*: what the row ran on; `+`: with changes that were not committed. Commits of 20 to 22 November 2026 that are
  not in this history went into it as one, e6e7c48.

In the long form some rows also have to be quick: once a network is whole, lines arrive again within {SOON:g} s (the
median; the table has the longest, too), and the backlog of a slow sink drains at least {DRAINS:g} times as fast as
lines come.
"""


class Result(msgspec.Struct, kw_only=True):
    """What became of one row, and how to have it again."""

    row: str
    fault: str
    promise: Literal["once", "at least once"]
    state: Literal["passed", "failed", "not run"]
    why: str = ""
    """Of a row that failed or did not run."""
    injected: int = 0
    fired: int = 0
    written: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    misordered: int = 0
    ledger: str = ""
    recover_p50: float | None = None
    recover_max: float | None = None
    """Seconds."""
    drained_p50: float | None = None
    drained_min: float | None = None
    """How many times as fast as lines came a backlog drained."""
    notes: list[str] = []
    seed: int
    form: Literal["short", "long"]
    seconds: float = 0
    cpu_seconds: float = 0
    """Of the row's processes that have ended."""
    commit: str = ""
    date: str = ""
    machine: str = ""
    command: str = ""


class Report(msgspec.Struct):
    """``campaign.json``."""

    rows: list[Result]
    found: list[Found]


def machine() -> str:
    """Cores, kernel, Python."""
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def commit() -> str:
    """What the working tree is, ``+`` where it was changed since; empty outside of a clone."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "shipper", "processors", "tests")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def recovery(seconds: list[float]) -> tuple[float | None, float | None]:
    """The median and the longest."""
    if not seconds:
        return None, None
    return round(statistics.median(seconds), 2), round(max(seconds), 2)


def drained(ratios: list[float]) -> tuple[float | None, float | None]:
    """The median and the least."""
    if not ratios:
        return None, None
    return round(statistics.median(ratios), 2), round(min(ratios), 2)


def merge(folder: Path, new: Iterable[Result], rows: Sequence[Row]) -> list[Result]:
    """Put results into the report in ``folder``: others that it has stay. Those of rows that are no more go.

    :raises msgspec.ValidationError: the report there is no report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "campaign.json"
    kept = msgspec.json.decode(path.read_bytes(), type=Report).rows if path.exists() else []
    by_name = {result.row: result for result in kept} | {result.row: result for result in new}
    report = Report([by_name[row.name] for row in rows if row.name in by_name], found())
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    (folder / "campaign.md").write_text(markdown(report, rows))
    return report.rows


def markdown(report: Report, rows: Sequence[Row]) -> str:
    """The report for people. ``rows``: all that there are."""
    by_name = {row.name: row for row in rows}
    results = [(result, by_name[result.row]) for result in report.rows]
    columns = "fault||injected|fired|must fire|written|lost|doubled|altered|out of order|ledger"
    columns += "|seconds to recover: p50, max|seed|commit"
    table_of_rows = [
        f"| {columns.replace('|', ' | ')} |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|---:|---|---:|---:|---|",
        *(_row(result, row) for result, row in results),
    ]
    told = [table(report.found), "## Row by row", "", *(_paragraph(result, row) for result, row in results)]
    return "\n".join(["# The fault campaign", "", _extent(report.rows, rows), _HEAD, *table_of_rows, "", *told])


def _extent(results: Sequence[Result], rows: Sequence[Row]) -> str:
    """How many rows had a long run, what came of it, and which had none."""
    ran = {result.row: result.state for result in results if result.form == "long" and result.state != "not run"}
    states = list(ran.values())
    said = (
        f"**{len(ran)} of all {len(rows)} rows (`{REPLAY} --list`) have had a long run: "
        f"{states.count('passed')} passed, {states.count('failed')} failed.**"
    )
    commits = {result.commit for result in results if result.row in ran}
    if len(ran) == len(rows) and len(commits) == 1 and all(commits):
        said += f" All of them at {commits.pop()}."
    without = [row.name for row in rows if row.name not in ran]
    if without:
        said += f" {len(without)} had none yet: {'; '.join(without)}."
    return f"{said}\n"


def _row(result: Result, row: Row) -> str:
    name = f"[{result.row}](#{_anchor(result.row)})"
    if result.state == "not run":
        return f"| {name} | not run: {_cell(result.why)} |{' |' * 12}"
    state = result.state if result.form == "long" else f"{result.state} (short form)"
    doubled = f"{result.doubled:,}" + ("" if result.promise == "once" else " (allowed)")
    recover = "" if result.recover_p50 is None else f"{result.recover_p50}, {result.recover_max}"
    if recover and row.simulated:
        recover += " (simulated)"
    fired = [f"{result.injected:,}", f"{result.fired:,}", "all" if row.every else "one"]
    figures = [f"{result.written:,}", f"{result.lost:,}", doubled, f"{result.altered:,}", f"{result.misordered:,}"]
    ledger = _cell(result.ledger) if row.audited else "not asked"
    return f"| {' | '.join([name, state, *fired, *figures, ledger, recover, str(result.seed), result.commit])} |"


def _paragraph(result: Result, row: Row) -> str:
    lines = [f"### {result.row}", "", result.fault, ""]
    if row.judged:
        lines += [row.judged, ""]
    if result.why:
        lines += [f"{result.state}:", "", *(f"    {line}" for line in result.why.splitlines()), ""]
    lines += [f"- {note}" for note in result.notes]
    lines.append(
        f"- {result.form} form, {result.seconds:.0f} s ({result.cpu_seconds:.0f} s of CPU), {result.date}, "
        f"commit {result.commit}, {result.machine}: `{result.command}`"
    )
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _cell(text: str) -> str:
    first = text.strip().splitlines()
    return first[0].replace("|", "\\|") if first else ""
