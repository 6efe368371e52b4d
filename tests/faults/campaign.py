"""Runs rows and says what became of them."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
from faults.results import REPLAY, Result, commit, drained, machine, recovery
from faults.row import Outcome, Row
from support.processes import Node

Form = Literal["short", "long"]
SCRATCH: Final = "shipper-torture-"
"""What the folders begin with that rows run in."""


def run_row(row: Row, form: Form, seed: int, injections: int | None = None) -> Result:
    """Run one row here; what it left, if it failed, is kept for whoever looks into it."""
    count = injections or (row.short if form == "short" else row.long)
    command = f"{REPLAY} --only '{row.name}' --{form} --seed {seed}"
    result = Result(
        row=row.name,
        fault=row.fault,
        promise=row.promise,
        state="not run",
        seed=seed,
        form=form,
        command=command + (f" --injections {injections}" if injections else ""),
        commit=commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        machine=machine(),
    )
    if why := row.needs():
        result.why = why
        return result
    place = Path(tempfile.mkdtemp(prefix=SCRATCH))
    begun, used = time.monotonic(), _cpu()
    os.environ["PYTHONFAULTHANDLER"] = "1"  # a process that a row aborts says what its threads were at
    try:
        outcome = row.run(row.begin(place, seed, count))
    except Exception:  # noqa: BLE001 - a row may fail in any way; the others go on
        result.state, result.why = "failed", traceback.format_exc()
    else:
        outcome.notes += row.pace(outcome)
        _fill(result, outcome)
        problems = row.problems(outcome) + (row.late(outcome) if form == "long" else [])
        result.state, result.why = ("failed", "\n".join(problems)) if problems else ("passed", "")
    finally:
        _end_nodes()
    result.seconds, result.cpu_seconds = round(time.monotonic() - begun, 1), round(_cpu() - used, 1)
    if result.state == "failed":
        result.why += f"\nwhat it left: {place}\nagain: {result.command}"
    else:
        shutil.rmtree(place)
    return result


def _fill(result: Result, outcome: Outcome) -> None:
    for name in ("injected", "fired", "written", "lost", "doubled", "altered", "misordered", "ledger", "notes"):
        setattr(result, name, getattr(outcome, name))
    result.recover_p50, result.recover_max = recovery(outcome.recover)
    result.drained_p50, result.drained_min = drained(outcome.drained)


def _end_nodes() -> None:
    for node in Node.all:
        if node.running:
            node.kill()
    Node.all.clear()


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def run_rows(rows: list[Row], form: Form, seed: int, jobs: int, injections: int | None) -> Iterator[Result]:
    """Run rows, so many side by side, each in a process of its own; each result as its row ends."""
    with ThreadPoolExecutor(jobs) as threads:
        running = [threads.submit(_in_process, row, form, seed, injections) for row in rows]
        for ended in as_completed(running):
            yield ended.result()


def _in_process(row: Row, form: Form, seed: int, injections: int | None) -> Result:
    command = [sys.executable, "-m", "faults", "--only", row.name, f"--{form}", "--seed", str(seed), "--json"]
    more = ["--injections", str(injections)] if injections else []
    done = subprocess.run([*command, *more], stdout=subprocess.PIPE, env=dict(_environment()), check=False)
    try:
        return msgspec.json.decode(done.stdout, type=Result)
    except msgspec.DecodeError:
        return Result(
            row=row.name,
            fault=row.fault,
            promise=row.promise,
            state="failed",
            why=f"its process ended with {done.returncode}",
            seed=seed,
            form=form,
            command=f"{REPLAY} --only '{row.name}' --{form} --seed {seed}",
        )


def _environment() -> Iterator[tuple[str, str]]:
    """Ours, in which the rows are found as they are here."""
    yield from os.environ.items()
    yield "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
