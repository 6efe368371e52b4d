"""The writer of a live log: appends a corpus to a file at a fixed rate. ``python -m benchmarks.paced --help``."""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

_STEP = 0.01


def pace(lines: list[bytes], rate: float, step: float, write: Callable[[bytes], object]) -> None:
    """Write ``rate`` lines a second, in one write a step; it keeps to the clock when it was held up."""
    start = time.monotonic()
    done = 0
    while done < len(lines):
        due = min(len(lines), int((time.monotonic() - start + step) * rate))
        if due > done:
            write(b"".join(lines[done:due]))
            done = due
        pause = start + done / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)


def main() -> None:
    """Append one file to another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paced", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("rate", type=float, help="lines a second")
    args = parser.parse_args()
    with args.source.open("rb") as file:
        lines = file.readlines()
    descriptor = os.open(args.target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    pace(lines, args.rate, _STEP, lambda data: os.write(descriptor, data))


if __name__ == "__main__":
    main()
