"""Cases for a config: what must become of a line. They stand in ``NAME.test.yaml`` beside ``NAME.yaml``.

    cases:
      - name: debug lines are dropped
        source: app                      # not needed where there is only one
        input: '{"level": "debug"}'      # a line; a mapping: a record from another shipper; a list: several in a row
        dropped_by: drop
      - name: the others get a team
        input: '{"level": "info"}'
        labels: {file: /var/log/app.log} # what the source would find
        expect: {level: info, team: payments}

``expect`` is what goes on to the sinks: a record, or a list of them (``[]``: nothing). The fields of a record and the
labels that processors gave it must be those, and no others; the labels ``host``, ``source``, those of the config and of
the case are compared where ``expect`` names them. As in conditions 1 equals 1.0, and neither true nor '1'.
Each case has a chain of its own: what one remembers no other knows. It must hold step by step and by the chain's plan.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shipper.batch import Batch, Labels, Record
from shipper.chain.decode import decode_json, records_of
from shipper.chain.encode import encode_json
from shipper.config import Config
from shipper.config.decode import BAD, Decoder
from shipper.config.document import Mapping as Block
from shipper.config.document import Sequence, read
from shipper.config.files import TESTS
from shipper.config.problems import Place, Problems
from shipper.differing import MISSING, contrasted, differ, differing, paired, shown
from shipper.errors import ConfigError
from shipper.plugins import suggest
from shipper.trace import Trace, Tracer, chosen_source
from shipper.unnamed import culprit


class Case(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What must become of some input."""

    input: str | dict[str, Any] | list[str | dict[str, Any]]
    name: str = ""
    source: str | None = None
    labels: dict[str, Any] = {}
    expect: dict[str, Any] | list[dict[str, Any]] | None = None
    dropped_by: str | None = None

    def __post_init__(self) -> None:
        if (self.expect is None) == (self.dropped_by is None):
            raise ValueError("found neither or both of 'expect' and 'dropped_by', expected one of them")


@dataclass(slots=True, frozen=True)
class Placed:
    """A case and where it stands."""

    place: Place
    case: Case

    @property
    def name(self) -> str:
        """What to call it."""
        return self.case.name or f"case of line {self.place.line}"


def cases_beside(config: Path) -> Path:
    """The file of cases that belongs to a config file, or to a directory of them (``conf.d`` -> ``conf.test.yaml``)."""
    return config.with_name(config.name.partition(".")[0] + TESTS)


def load_cases(path: Path, config: Config) -> list[Placed]:
    """The cases in a file.

    :raises ConfigError: every problem that was found, with its line.
    """
    problems = Problems()
    problems.expect(str(path))
    block = read(path, problems)
    problems.raise_if_any()
    found = [] if block is None else list(_cases(block, config, problems, Place(str(path), 1)))
    problems.raise_if_any()
    return found


def _cases(block: Block, config: Config, problems: Problems, top: Place) -> Iterator[Placed]:
    for key in block.items:
        if key != "cases":
            problems.add(block.keys[key], key, "unknown key" + suggest(key, ["cases"]))
    listed = block.items.get("cases")
    if not isinstance(listed, Sequence) or not listed.items:
        problems.add(
            top, "cases", "expected a list of cases, as in cases: [{input: a line, expect: {message: a line}}]"
        )
        return
    decoder = Decoder(problems)
    for at, node in enumerate(listed.items):
        path = f"cases[{at}]"
        if not isinstance(node, Block):
            problems.add(node.place, path, "expected a mapping with input, and expect or dropped_by")
            continue
        case = decoder.struct(Case, node, path, node.place)
        if case is BAD:
            continue
        try:
            source = chosen_source(config, case.source)
        except ConfigError as error:
            problems.add(node.place, f"{path}.source", "; ".join(error.problems))
            continue
        names = [spec.name for spec in config.chain_of(source)]
        if case.dropped_by is not None and case.dropped_by not in names:
            text = f"there is no processor '{case.dropped_by}' for source {source}" + suggest(case.dropped_by, names)
            problems.add(node.place, f"{path}.dropped_by", text)
            continue
        yield Placed(node.place, case)


@dataclass(slots=True, frozen=True)
class _Fate:
    """What became of one input."""

    records: list[Record]
    labels: Labels
    dropped_by: str | None
    said: list[str]
    """What explains why less came out than went in."""


def verdict(config: Config, case: Case) -> list[str]:
    """Run a case, step by step and by the plan that ``shipper run`` uses. What is wrong, a line a difference; nothing
    where all is as it must be.

    :raises ConfigError: a processor cannot be used.
    """
    given = case.input if isinstance(case.input, list) else [case.input]
    inputs = [item.encode() if isinstance(item, str) else item for item in given]
    watched = Tracer(config, case.source)
    known = watched.labels.keys() | case.labels.keys()
    with closing(watched):
        traces = [watched.trace(item, case.labels) for item in inputs]
    rows = _wrong(case, [_traced(trace) for trace in traces], known)
    planned = Tracer(config, case.source, planned=True)
    names = [step.name for step in planned.chain.steps]
    with closing(planned):
        run = [_run(planned.run(item, case.labels), names) for item in inputs]
    others = _wrong(case, run, known)
    if bool(rows) is bool(others):  # where neither holds, the first is mended first
        return rows
    why = culprit(config, case.source, inputs, case.labels)
    told = "does not hold when run by its plan, as 'shipper run' does" if others else "holds only when run by its plan"
    return [f"it {told}: {why}", *others, *rows]


def _traced(trace: Trace) -> _Fate:
    said = []
    for stage in trace.stages:
        said += [f"{stage.name} failed: {failure.error}" for failure in stage.failures]
        if stage.dropped:
            said.append(f"dropped by {stage.name}" + (f": {stage.reason}" if stage.reason else ""))
    return _Fate(trace.records, trace.labels, trace.dropped_by, said)


def _run(batch: Batch, names: list[str]) -> _Fate:
    records = records_of(batch.payload)
    taken = [name for name in names if any(f"{name}/filtered" in span.dropped for span in batch.ranges)]
    said = [f"{letter.processor} failed: {letter.error}" for letter in batch.dead_letters]
    by = taken[-1] if taken and not records else None
    return _Fate(records, batch.labels, by, [*said, *(f"dropped by {name}" for name in taken)])


def _wrong(case: Case, fates: list[_Fate], given: AbstractSet[str]) -> list[str]:
    """What is not as the case has it. ``given``: labels that come with the input."""
    if case.dropped_by is not None:
        return [row for fate in fates for row in _not_dropped(fate, case.dropped_by)]
    wanted = case.expect if isinstance(case.expect, list) else [case.expect or {}]
    got = [(record, fate.labels) for fate in fates for record in fate.records]
    rows = []
    for at, to in paired(wanted, got, lambda want, found: _cost(want, _seen(want, found[0], found[1], given))):
        title = f"record {at + 1}: " if at is not None and len(wanted) > 1 else ""
        if at is None and to is not None:
            rows.append(f"got one more: {shown(got[to][0], 200)}")
        elif at is not None and to is None:
            rows.append(f"{title}expected {shown(wanted[at], 200)}, and nothing like it came")
        elif at is not None and to is not None:
            rows += [f"{title}{row}" for row in _differences(wanted[at], _seen(wanted[at], *got[to], given))]
    return [*rows, *(row for fate in fates for row in fate.said)] if rows else []


def _not_dropped(fate: _Fate, by: str) -> Iterator[str]:
    if fate.dropped_by == by:
        return
    yield f"expected that {by} drops it"
    yield from (f"got {shown(record, 200)}" for record in fate.records)
    yield from fate.said


def _seen(want: Record, record: Record, labels: Labels, given: AbstractSet[str]) -> Record:
    """What a case compares with the record that it wants."""
    return _written({**{name: value for name, value in labels.items() if name in want or name not in given}, **record})


def _cost(want: Record, got: Record) -> float:
    """How much they differ: the part of their fields that are not the same."""
    names = want.keys() | got.keys()
    odd = sum(name not in want or name not in got or differ(want[name], got[name], _equal) for name in names)
    return odd / len(names) if names else 0.0


def _differences(want: Record, got: Record) -> Iterator[str]:
    for path, expected, found in differing(want, got, _equal):
        if found is MISSING:
            yield f"{path}: expected {shown(expected)}, got nothing"
        elif expected is MISSING:
            yield f"{path}: expected nothing, got {shown(found)}"
        else:
            yield "{}: expected {}, got {}".format(path, *contrasted(expected, found))


def _written(record: Record) -> Record:
    """The record as a sink would write it: dates as text, and so on. What cannot be written stays as it is."""
    try:
        return decode_json(encode_json(record))
    except ValueError:
        return record


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
