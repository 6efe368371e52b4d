"""The fault campaign: ``make torture``, and a part of it again. ``--help`` says more."""

import argparse
import random
import sys
from pathlib import Path

import msgspec
from faults.campaign import run_row, run_rows
from faults.results import Result, merge
from faults.row import all_rows


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1: a row failed."""
    asked = _parser().parse_args(arguments)
    every = all_rows()
    names = {row.name for row in every}
    if asked.render is not None:
        merge(asked.render, [], every)
        return 0
    rows = [row for row in every if not asked.only or any(_means(word, row.name, names) for word in asked.only)]
    if asked.list or not rows:
        _print("\n".join(f"{row.name:44} {row.short:>6} {row.long:>9}  {row.fault}" for row in rows or every))
        return 0 if rows else 2
    seed = asked.seed or random.randrange(1, 10**6)
    if asked.json:
        _print(msgspec.json.encode(run_row(rows[0], asked.form, seed, asked.injections)).decode())
        return 0
    _print(f"seed {seed}, {len(rows)} rows")
    states: list[str] = []
    for result in run_rows(rows, asked.form, seed, asked.jobs, asked.injections):
        _say(result)
        states.append(result.state)
        if asked.report:  # each at once: a campaign that is cut short keeps what it has
            merge(asked.report, [result], every)
    _print(f"{states.count('passed')} passed, {states.count('failed')} failed, {states.count('not run')} not run")
    return 1 if "failed" in states else 0


def _means(word: str, name: str, names: set[str]) -> bool:
    """A whole name means that row alone."""
    return word == name if word in names else word in name


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(result: Result) -> None:
    figures = (
        f"injected {result.injected:,}, fired {result.fired:,}, written {result.written:,}, lost {result.lost}, "
        f"doubled {result.doubled}, altered {result.altered}, ledger {result.ledger.splitlines()[:1]}"
    )
    told = f"{result.state}: {result.row} ({result.seconds:.0f} s, {result.cpu_seconds:.0f} s of CPU)"
    _print("\n  ".join([told, *([figures] if result.injected else []), *result.why.splitlines()]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description="Inject faults and count what was lost.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--long", dest="form", action="store_const", const="long", default="long", help="the default")
    form.add_argument("--short", dest="form", action="store_const", const="short", help="as in `make test`")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="rows with this in their name")
    parser.add_argument("--seed", type=int, help="replays a run; without it a new one, which is printed")
    parser.add_argument("--injections", type=int, metavar="N", help="instead of what the form says")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many rows side by side")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write campaign.md and .json; other rows there stay")
    parser.add_argument("--render", type=Path, metavar="DIR", help="run nothing: write the report there again")
    parser.add_argument("--list", action="store_true", help="show the rows")
    parser.add_argument("--json", action="store_true", help="run the first row alone, and print its result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
