"""A trace in words: a block of lines a record, for people."""

from collections.abc import Iterator
from typing import Final

from shipper.batch import Record
from shipper.chain.encode import encode_json
from shipper.chain.expression import Condition
from shipper.chain.flat import merge
from shipper.config import Config
from shipper.differing import MISSING, contrasted, differing, shown
from shipper.errors import PatternTimeout
from shipper.trace import Stage, Trace, unmet, values

_FATES: Final = {
    "keep": "it goes on with the error in a field (on_error: keep)",
    "dead_letter": "it is set aside as a dead letter (on_error: dead_letter)",
    "drop": "it is dropped (on_error: drop)",
}


def explained(config: Config, trace: Trace) -> list[str]:
    """What became of a record, one line after the other."""
    rows = []
    for number, stage in enumerate(trace.stages, 1):
        place = f" ({stage.place})" if stage.place else ""
        took = f", {_took(stage.seconds)}" if stage.before and stage.seconds else ""
        rows.append(f"{number}. {stage.name}{place}{took}")
        rows += [f"     {row}" for row in _did(stage)]
    if not trace.stages:
        rows.append("there are no processors: lines go on as they are")
    for record in trace.records:
        rows.append(f"=> {encode_json(merge(record, trace.labels, {})).decode()}")
        rows += [f"   {row}" for row in _sinks(config, record, trace)]
    if not trace.records:
        rows.append("=> nothing goes on to the sinks")
    return rows


def difference(before: Record, after: Record) -> Iterator[str]:
    """What differs, a line a place: ``+ added``, ``- removed``, ``~ changed``."""
    for path, old, new in differing(before, after, _same):
        if new is MISSING:
            yield f"- {path}: {shown(old)}"
        elif old is MISSING:
            yield f"+ {path}: {shown(new)}"
        else:
            was, now = contrasted(old, new)
            yield f"~ {path}: {was} -> {now}"


def _did(stage: Stage) -> Iterator[str]:
    if not stage.before:
        yield "saw nothing: no record came so far"
        return
    for failure in stage.failures:
        yield f"failed: {failure.error}"
        yield _FATES[failure.on_error]
    if stage.dropped:
        yield f"dropped: {stage.reason}" if stage.reason else "dropped by the processor's own rule"
    for name, value in stage.labels.items():
        yield f"+ {name}: {shown(value)} (a label: it costs nothing a record)"
    if len(stage.before) == len(stage.after):
        rows = [row for old, new in zip(stage.before, stage.after, strict=True) for row in difference(old, new)]
        yield from rows
        if stage.failures and not rows:
            yield "it has an error of an earlier processor, which stays"
        if not (rows or stage.labels or stage.failures):
            yield f"untouched: {stage.reason}" if stage.reason else "untouched"
    elif len(stage.after) > len(stage.before):
        yield f"{len(stage.before)} became {len(stage.after)}:"
        for record in stage.after:
            yield f"  {shown(record, 100)}"


def _sinks(config: Config, record: Record, trace: Trace) -> Iterator[str]:
    for name, sink in config.sinks.items():
        if sink.where is None:
            yield f"to {name}"
            continue
        condition = Condition.parse(sink.where)
        try:
            meets = condition(record, trace.labels)
        except PatternTimeout:  # what cannot be judged is sent
            meets = True
        if meets:
            yield f"to {name}: {values(condition, record, trace.labels)}"
        else:
            yield f"not to {name}: {unmet(condition, record, trace.labels)}"


def _took(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
