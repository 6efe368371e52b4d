"""Does the test suite notice when a promise is broken?

    make mutants
    PYTHONPATH=tests .venv/bin/python -m mutants [--only WORD] [--jobs N] [--whole]

Each mutant is the code with one mistake in it. Its tests run in a copy of the tree; those that notice it also without
it, as tests that fail anyhow show nothing. Prints a Markdown table; exits 1 when a mutant is not caught.
"""
# ruff: noqa: T201 - a tool that prints

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from mutants.mutant import HERE, ROOT, Mutant, Stale, mutants
from mutants.workshop import Outcome, Workshop

T = TypeVar("T")
R = TypeVar("R")


def main(words: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="mutants", description="Does the suite notice when a promise is broken?")
    parser.add_argument("--only", default="", metavar="WORD", help="only mutants with it in their file or promise")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="so many at a time")
    parser.add_argument("--whole", action="store_true", help="run all tests on what its own tests do not catch")
    parser.add_argument("--tables", type=Path, default=HERE, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    try:
        chosen = [one for one in mutants(ROOT, options.tables) if options.only in f"{one.file} {one.promise}"]
    except Stale as error:
        print(error, file=sys.stderr)
        return 1
    if not chosen:
        print(f"no mutant has {options.only!r} in its file or promise", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="shipper-mutants-") as folder:
        Path(folder).chmod(0o755)  # some tests run something as another user
        return _all(chosen, options.jobs, Path(folder).resolve(), whole=options.whole)


def _all(chosen: list[Mutant], jobs: int, folder: Path, *, whole: bool) -> int:
    began = time.monotonic()
    free: SimpleQueue[Workshop] = SimpleQueue()
    for number in range(jobs):
        free.put(Workshop(ROOT, folder / str(number)))
    print("| | file | promise that is broken | caught by | seconds |\n|---|---|---|---|---|", flush=True)
    numbers, uncaught = count(1), 0
    proofs = Proofs()

    def tried(shop: Workshop, mutant: Mutant) -> Outcome:
        outcome = shop.tried(mutant, whole=whole)
        if outcome.verdict == "caught" and (failed := proofs.failed(shop, outcome.test)):
            outcome = outcome._replace(verdict="broken", by=f"without the mistake, too, fails {failed.by}")
        return outcome

    for mutant, outcome in _spread(tried, chosen, free, jobs):
        uncaught += outcome.verdict != "caught"
        print(f"| {next(numbers)} {_row(mutant, outcome)}", flush=True)
    said = f"{len(chosen)} mutants, {len(chosen) - uncaught} caught, {uncaught} not; {time.monotonic() - began:.0f} s"
    print(said, file=sys.stderr)
    return 1 if uncaught else 0


class Proofs:
    """Calls of pytest that were made without any mistake."""

    def __init__(self) -> None:
        self._known: dict[str, Future[Outcome | None]] = {}
        self._lock = Lock()

    def failed(self, shop: Workshop, test: str) -> Outcome | None:
        """What failed then; None: nothing did."""
        with self._lock:
            known = self._known.get(test)
            made = self._known.setdefault(test, Future())
        if known is None:
            try:
                made.set_result(shop.run(test))
            except BaseException as error:
                made.set_exception(error)
                raise
        return made.result()


def _row(mutant: Mutant, outcome: Outcome) -> str:
    by = outcome.by if outcome.verdict == "caught" else f"**{outcome.verdict}** {outcome.by}"
    cells = (mutant.file, mutant.promise, by, f"{outcome.seconds:.0f}")
    return "".join(f"| {cell.replace('|', '/')} " for cell in cells) + "|"


def _spread(
    work: Callable[[Workshop, T], R], items: Iterable[T], free: "SimpleQueue[Workshop]", jobs: int
) -> Iterator[tuple[T, R]]:
    """The work on each item, in order; so many at a time as there are workshops."""

    def one(item: T) -> R:
        shop = free.get()
        try:
            return work(shop, item)
        finally:
            free.put(shop)

    items = list(items)
    with ThreadPoolExecutor(jobs) as threads:
        yield from zip(items, threads.map(one, items), strict=True)


if __name__ == "__main__":
    sys.exit(main())
