"""The long form of fuzzing: every target for a time, with new inputs in every run.

    make fuzz                       half a minute a target
    make fuzz SECONDS=600           ten minutes a target
    .venv/bin/python -m fuzz --only 'syslog framing' --seed 7 --seconds 60        (with PYTHONPATH=tests)

Prints a row a target. What fails is shown with the smallest input that does, to be pasted into a regression test, and
with the command that finds it again; then the exit code is 1.
"""
# ruff: noqa: T201 - a tool that prints

import argparse
import random
import sys
import time
import traceback
from contextlib import ExitStack
from typing import Final

from fuzz.target import Fuzz, Target
from fuzz.targets import every

from shipper.log import configure

_ROUND: Final = 60
"""Inputs that share a seed: Hypothesis remembers each of them, and slows down."""
_SHAKES: Final = 20


def main() -> int:
    """Run the targets; the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Hostile inputs for every parser.")
    parser.add_argument("--seconds", type=float, default=30.0, help="time for each target")
    parser.add_argument("--only", default="", help="targets with this in their names")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    given = parser.parse_args()
    configure(level="error")
    chosen = [target for target in every() if given.only in target.name]
    print(f"seed {given.seed}, {given.seconds:g} s a target\n")
    print("| target | inputs | a second | outcome |\n|---|---|---|---|")
    failed = [target for target in chosen if not _run(target, given.seconds, given.seed)]
    for target in failed:
        print(
            f"\nagain: .venv/bin/python -m fuzz --only {target.name!r} --seed {given.seed} --seconds {given.seconds:g}"
        )
    return 1 if failed or not chosen else 0


def _run(target: Target, seconds: float, seed: int) -> bool:
    fuzz, number, why = Fuzz(target), seed, ""
    with ExitStack() as opened:
        opened.enter_context(target.around())
        began = time.monotonic()
        try:
            while time.monotonic() - began < seconds:
                fuzz.run(_ROUND, number, _SHAKES, began + seconds)
                number += 1
        except Exception:  # noqa: BLE001 - whatever a target raises is what is looked for
            why = traceback.format_exc()
        took = time.monotonic() - began
    outcome = "FAILED" if why else "fine"
    print(f"| {target.name} | {fuzz.executions:,} | {fuzz.executions / took:,.0f} | {outcome} |", flush=True)
    if why:
        print(f"\n{why}\nthe smallest input found:\n{fuzz.last!r}\n", flush=True)
    return not why


if __name__ == "__main__":
    sys.exit(main())
