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
Each case has a chain of its own: what one remembers no other knows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from shipper.batch import Record
from shipper.chain.decode import decode_json
from shipper.chain.encode import encode_json
from shipper.config import Config
from shipper.config.decode import BAD, Decoder
from shipper.config.document import Mapping as Block
from shipper.config.document import Sequence, read
from shipper.config.files import TESTS
from shipper.config.problems import Place, Problems
from shipper.errors import ConfigError
from shipper.plugins import suggest
from shipper.trace import Trace, Tracer, chosen_source, shown

_MISSING: Final = object()


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


def verdict(config: Config, case: Case) -> list[str]:
    """Run a case. What is wrong, a line a difference; nothing where all is as it must be.

    :raises ConfigError: a processor cannot be used.
    """
    tracer = Tracer(config, case.source)
    try:
        inputs = case.input if isinstance(case.input, list) else [case.input]
        traces = [tracer.trace(item.encode() if isinstance(item, str) else item, case.labels) for item in inputs]
        given = tracer.labels.keys() | case.labels.keys()
    finally:
        tracer.close()
    if case.dropped_by is not None:
        return [row for trace in traces for row in _not_dropped(trace, case.dropped_by)]
    wanted = case.expect if isinstance(case.expect, list) else [case.expect or {}]
    got = [(record, trace) for trace in traces for record in trace.records]
    rows = []
    for at, want in enumerate(wanted):
        title = f"record {at + 1}: " if len(wanted) > 1 else ""
        if at < len(got):
            rows += [f"{title}{row}" for row in _differences(want, *got[at], given)]
        else:
            rows.append(f"{title}expected {shown(want, 200)}")
    rows += [f"got one more: {shown(record, 200)}" for record, _ in got[len(wanted) :]]
    return [*rows, *_fates(traces)] if rows else []


def _not_dropped(trace: Trace, by: str) -> Iterator[str]:
    if trace.dropped_by == by:
        return
    yield f"expected that {by} drops it"
    yield from (f"got {shown(record, 200)}" for record in trace.records)
    yield from _fates([trace])


def _fates(traces: list[Trace]) -> Iterator[str]:
    """What explains why less came out than went in."""
    for trace in traces:
        for stage in trace.stages:
            yield from (f"{stage.name} failed: {failure.error}" for failure in stage.failures)
            if stage.dropped:
                yield f"dropped by {stage.name}" + (f": {stage.reason}" if stage.reason else "")


def _differences(want: Record, record: Record, trace: Trace, given: frozenset[str] | set[str]) -> Iterator[str]:
    got = _written(
        {**{name: value for name, value in trace.labels.items() if name in want or name not in given}, **record}
    )
    for name in dict.fromkeys([*want, *got]):
        expected, found = want.get(name, _MISSING), got.get(name, _MISSING)
        if found is _MISSING:
            yield f"{name}: expected {shown(expected)}, got nothing"
        elif expected is _MISSING:
            yield f"{name}: expected nothing, got {shown(found)}"
        elif not _equal(expected, found):
            yield f"{name}: expected {shown(expected)}, got {shown(found)}"


def _written(record: Record) -> Record:
    """The record as a sink would write it: dates as text, and so on. What cannot be written stays as it is."""
    try:
        return decode_json(encode_json(record))
    except ValueError:
        return record


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
