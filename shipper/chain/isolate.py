"""Calling one processor on the records of a batch, so that a bad record costs itself alone.

The quick way is one loop, or one call; everything else here is for the batch in which something happened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import is_
from pathlib import Path
from traceback import walk_tb
from types import NoneType
from typing import Any, Final, Protocol

from shipper.batch import Record
from shipper.chain.lineage import matched

_ENGINE: Final = Path(__file__).parent


class Fail(Protocol):
    """What the engine does with a record that failed."""

    def __call__(self, at: int, record: Record, error: Exception) -> Record | None:
        """``at`` is its index before the step. Returns the record that goes on in its place, or None."""
        ...


@dataclass(slots=True)
class Outcome:
    """What a step made of its records."""

    records: list[Record]
    sources: Callable[[], list[int]] | None = None
    """For each record its index before the step; None where all kept their places."""
    filtered: int = 0
    """How many records the processor dropped."""


def run_each(process: Callable[[Record], Any], records: list[Record], fail: Fail) -> Outcome:
    """Call ``process`` for one record after the other."""
    results: list[Any] = []
    rest = iter(records)
    while len(results) < len(records):
        try:
            for record in rest:
                results.append(process(record))  # noqa: PERF401 - what was done before an error must not be done twice
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises costs this record
            results.append(_located(error))
        except SystemExit:  # and it cannot end the process
            results.append(_exit())
    return settle(results, records.__getitem__, fail)


def settle(results: list[Any], record_at: Callable[[int], Record], fail: Fail) -> Outcome:
    """One result a record: a record, several, None, or an exception. Anything else is an error of its record, which
    ``record_at`` gives.
    """
    kinds = set(map(type, results))
    if kinds <= {dict}:
        return Outcome(results)
    if kinds <= {dict, NoneType}:
        kept = [record for record in results if record is not None]
        return Outcome(kept, lambda: [at for at, r in enumerate(results) if r is not None], len(results) - len(kept))
    instead: dict[int, list[Record]] = {}
    filtered = 0
    for at, result in enumerate(results):
        if result.__class__ is dict:
            continue
        made: Any = [result] if isinstance(result, dict) else [] if result is None else result
        if isinstance(made, list) and all(isinstance(record, dict) for record in made):
            filtered += not made
        else:
            error = result if isinstance(result, Exception) else _rubbish("process", result)
            left = fail(at, record_at(at), error)
            made = [] if left is None else [left]
        instead[at] = made
    return _replaced(results, instead, filtered)


def _replaced(results: list[Any], instead: dict[int, list[Record]], filtered: int) -> Outcome:
    """The results with other records in some places: one, several or none."""
    if all(len(made) == 1 for made in instead.values()):
        for at, made in instead.items():
            results[at] = made[0]
        return Outcome(results)
    kept: list[Record] = []
    sources: list[int] = []
    start = 0
    for at, made in instead.items():
        kept += results[start:at]
        kept += made
        sources += range(start, at)
        sources += [at] * len(made)
        start = at + 1
    kept += results[start:]
    sources += range(start, len(results))
    return Outcome(kept, lambda: sources, filtered)


def run_batch(
    process_batch: Callable[[list[Record]], Any], records: list[Record], fail: Fail, *, bisect: bool
) -> Outcome:
    """Call ``process_batch`` for all records; when it raises for each half, and so on, or with ``bisect`` False not."""
    made = _attempt(process_batch, records)
    if not isinstance(made, Exception):
        kept = made
        if len(kept) == len(records) and all(map(is_, kept, records)):
            return Outcome(kept)
        return Outcome(kept, lambda: matched(records, kept), max(0, len(records) - len(kept)))
    if bisect and len(records) > 1:
        middle = len(records) // 2
        parts = [(0, records[:middle]), (middle, records[middle:])]
        outcomes = [
            (start, run_batch(process_batch, part, _shifted(fail, start), bisect=True)) for start, part in parts
        ]
        sources = [start + source for start, outcome in outcomes for source in _sources(outcome)]
        kept = [record for _, outcome in outcomes for record in outcome.records]
        return Outcome(kept, lambda: sources, sum(outcome.filtered for _, outcome in outcomes))
    failed = [(at, fail(at, record, made)) for at, record in enumerate(records)]
    left = [(at, record) for at, record in failed if record is not None]
    return Outcome([record for _, record in left], lambda: [at for at, _ in left])


def run_where(
    run: Callable[[list[Record], Fail], Outcome], records: list[Record], mask: list[bool], fail: Fail
) -> Outcome:
    """Run a step for the records that the mask has; the others pass untouched, and all keep their order."""
    places = list(compress(range(len(records)), mask))
    outcome = run([records[place] for place in places], lambda at, record, error: fail(places[at], record, error))
    if outcome.sources is None:
        merged = records.copy()
        for place, record in zip(places, outcome.records, strict=True):
            merged[place] = record
        return Outcome(merged)
    slots = [[record] for record in records]
    for place in places:
        slots[place] = []
    for record, source in zip(outcome.records, outcome.sources(), strict=True):
        slots[places[source]].append(record)
    sources = [at for at, slot in enumerate(slots) for _ in slot]
    return Outcome(list(chain.from_iterable(slots)), lambda: sources, outcome.filtered)


def _attempt(process_batch: Callable[[list[Record]], Any], records: list[Record]) -> Any:
    try:
        made = process_batch(records.copy())
    except Exception as error:  # noqa: BLE001 - code of others: whatever it raises costs these records
        return _located(error)
    except SystemExit:  # and it cannot end the process
        return _exit()
    if not isinstance(made, list):
        return _rubbish("process_batch", made)
    if set(map(type, made)) <= {dict}:
        return made
    odd = [record for record in made if not isinstance(record, dict)]
    return _rubbish("process_batch", odd) if odd else made


def _located(error: Exception) -> Exception:
    """The error without its traceback, which would keep the batch alive, but with the line of the processor's file."""
    frames = [step for step in walk_tb(error.__traceback__) if Path(step[0].f_code.co_filename).parent != _ENGINE]
    if frames and not isinstance(error, ValueError):  # whose text is the author's own, and enough
        file = frames[0][0].f_code.co_filename
        line = [line for frame, line in frames if frame.f_code.co_filename == file][-1]
        error.__dict__["place"] = f"{Path(file).name}:{line}"
    return error.with_traceback(None)


def _exit() -> RuntimeError:
    return RuntimeError("the processor called sys.exit()")


def _rubbish(method: str, result: Any) -> TypeError:
    if isinstance(result, list):
        kinds = ", ".join(sorted({type(item).__name__ for item in result if not isinstance(item, dict)}))
        return TypeError(f"{method} returned a list that holds {kinds}; it may hold records only")
    wanted = "a record, a list of records or None" if method == "process" else "a list of records"
    return TypeError(f"{method} returned {type(result).__name__}, not {wanted}")


def _shifted(fail: Fail, start: int) -> Fail:
    return lambda at, record, error: fail(start + at, record, error)


def _sources(outcome: Outcome) -> Sequence[int]:
    return range(len(outcome.records)) if outcome.sources is None else outcome.sources()
