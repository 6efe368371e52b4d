"""The writer of a live log: appends a corpus to a file at a fixed rate. ``python -m benchmarks.paced --help``."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from benchmarks.processes import BenchError, Child
from benchmarks.rig import settled, wait_until

_STEP = 0.01


def pace(lines: Iterable[bytes], rate: float, step: float, write: Callable[[bytes], object]) -> None:
    """Write ``rate`` lines a second, in one write a step; it keeps to the clock when it was held up."""
    rest = iter(lines)
    start = time.monotonic()
    done = 0
    while True:
        due = int((time.monotonic() - start + step) * rate)
        if due > done:
            chunk = list(islice(rest, due - done))
            if not chunk:
                return
            write(b"".join(chunk))
            done += len(chunk)
        pause = start + done / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)


def start_writer(source: Path, target: Path, rate: float, core: int, log: Path) -> Child:
    """A process that does it, from now on; SIGTERM ends it behind a whole line. It notes when it began on the monotonic
    clock.
    """
    writer = Child([sys.executable, "-m", "benchmarks.paced", str(source), str(target), str(rate)], core, log)
    try:
        wait_until(settled(log), writer, "began")  # a process of Python takes seconds to start on a busy machine
    except BenchError:
        writer.kill()
        raise
    return writer


def main() -> None:
    """Append one file to another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paced", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("rate", type=float, help="lines a second")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # between two writes
    descriptor = os.open(args.target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with args.source.open("rb") as lines:
        print(time.monotonic(), flush=True)
        pace(lines, args.rate, _STEP, lambda data: os.write(descriptor, data))


if __name__ == "__main__":
    main()
