"""One record on its way through a chain, watched step by step: for ``shipper explain`` and ``shipper test``.

The steps run as a config means them (``chain.step.Step.run``, without a plan), over a batch of one record, in a chain
of their own: what stateful processors remember is what was seen here before, and no more.
"""

import ast
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shipper.batch import Batch, DeadLetter, Format, Labels, Payload, Record, SourceRange
from shipper.chain.decode import raw_record
from shipper.chain.encode import encode_json, encode_records
from shipper.chain.expression import Condition
from shipper.chain.isolate import Outcome
from shipper.chain.run import Chain
from shipper.chain.step import Step
from shipper.chain.words import described
from shipper.chain.work import Work
from shipper.config import Config
from shipper.differing import shown
from shipper.errors import ConfigError, PatternTimeout
from shipper.plugins import suggest
from shipper.processor import OnError

_ALL: Final = slice(None)
_ROOM: Final = 1 << 40
"""Dead letters go nowhere here, so there is room for each."""


@dataclass(slots=True)
class Failure:
    """A record that a processor could not process."""

    record: Record
    error: str
    on_error: OnError
    """What becomes of it."""


@dataclass(slots=True)
class Stage:
    """What one processor did."""

    name: str
    place: str
    """``file:line`` of its definition, or whose work it goes on with."""
    before: list[Record]
    after: list[Record]
    labels: Labels
    """Labels that it added."""
    dropped: int
    """Records that it took out."""
    failures: list[Failure]
    reason: str
    """What its condition says of the first record, where that is why nothing was changed, or why it was dropped, or
    what the processor says of that; else empty."""
    seconds: float


@dataclass(slots=True)
class Trace:
    """What became of one record."""

    stages: list[Stage]
    records: list[Record]
    """What goes on to the sinks: usually one."""
    labels: Labels
    dead_letters: list[DeadLetter]

    @property
    def dropped_by(self) -> str | None:
        """The processor that took the record, or the last of what became of it, out; None where something goes on."""
        taken = [stage.name for stage in self.stages if stage.dropped]
        return taken[-1] if taken and not self.records else None


class Tracer:
    """The processors of one source, to send records through."""

    def __init__(self, config: Config, source: str | None = None, *, planned: bool = False, part: slice = _ALL) -> None:
        """``source``: which one; None where there is only one. ``planned``: for ``run``. ``part``: only these of its
        processors.

        :raises ConfigError: there is no such source, or several and none was named; or a processor cannot be used.
        """
        self.source = chosen_source(config, source)
        specs = [spec.fresh() for spec in config.chain_of(self.source)[part]]
        self.labels: Labels = config.labels_of(self.source)
        self.chain: Final = Chain(specs, self.source, lambda: _ROOM, planned=planned)

    def trace(self, line: bytes | Record, labels: Mapping[str, Any] | None = None) -> Trace:
        """Send a raw line, or a record as another shipper would send it, through the chain. ``labels``: more of them,
        as a source finds them (``file`` ...).
        """
        work = _Watched(self._batch(line, labels))
        stages = []
        records = [raw_record(line)] if isinstance(line, bytes) else [copy.deepcopy(line)]
        for step in self.chain.steps:
            stages.append(_stage(step, work, records))
            records = _copied(stages[-1].after)
        work.failures = []
        done, _ = work.finish(self.chain.changing)
        if work.failures:
            left = f"of what {self.chain.changing()} left"
            stages.append(Stage("encode", left, records, [], {}, 0, work.failures, "", 0.0))
            records = [record for record in records if _encodes(record)]
            stages[-1].after = records
        return Trace(stages, records, done.labels, done.dead_letters)

    def run(self, line: bytes | Record, labels: Mapping[str, Any] | None = None) -> Batch:
        """Send it through as ``shipper run`` does: nobody watches, and ``planned`` says how."""
        return self.chain.run(self._batch(line, labels))

    def run_all(self, records: Sequence[Record], labels: Mapping[str, Any] | None = None) -> Batch:
        """The same for several records in one batch."""
        payload = encode_records(records)[0]
        span = SourceRange(self.source, bytes(16), 0, len(payload.data), read=payload.count, kept=payload.count)
        return self.chain.run(Batch(self.source, {**self.labels, **(labels or {})}, payload, [span], 0))

    def close(self) -> None:
        """After the last record."""
        self.chain.teardown()

    def _batch(self, line: bytes | Record, more: Mapping[str, Any] | None) -> Batch:
        labels = {**self.labels, **(more or {})}
        if isinstance(line, bytes):
            payload = Payload.sized([line]) if b"\n" in line else Payload.lines(line + b"\n")
        else:
            payload = Payload(Format.NDJSON, encode_json(line) + b"\n", 1)
        span = SourceRange(self.source, bytes(16), 0, len(payload.data), read=1, kept=1)
        return Batch(self.source, labels, payload, [span], 0)


class _Watched(Work):
    """A batch that tells what becomes of it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch, lambda: _ROOM)
        self.dropped = 0
        self.failures: list[Failure] = []

    def account(self, outcome: Outcome, name: str, before: int) -> None:
        """Count what a step took out."""
        self.dropped += outcome.filtered
        super().account(outcome, name, before)

    def fail(
        self, at: int, record: Record, error: Exception, name: str, on_error: OnError, field: str, place: str = ""
    ) -> Record | None:
        """A record failed."""
        self.failures.append(Failure(_copied([record])[0], described(error), on_error))
        return super().fail(at, record, error, name, on_error, field, place)


def chosen_source(config: Config, source: str | None) -> str:
    """The name of the source that is meant.

    :raises ConfigError: there is no such source, or several and none was named.
    """
    names = list(config.sources)
    if source is None and len(names) > 1:
        raise ConfigError([f"there are several sources: name one of {', '.join(names)}"])
    if source is not None and source not in names:
        raise ConfigError([f"there is no source '{source}'{suggest(source, names)}"])
    return names[0] if source is None else source


def unmet(condition: Condition, record: Record, labels: Mapping[str, Any]) -> str:
    """Why a record does not meet a condition: the part that is false, with the values that it saw."""
    tree = condition.tree
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for part in tree.values:
            alone = Condition.parse(ast.unparse(part))
            if not _met(alone, record, labels):
                return unmet(alone, record, labels)
    return f"{condition.text} is false: {values(condition, record, labels)}"


def values(condition: Condition, record: Record, labels: Mapping[str, Any]) -> str:
    """What a condition sees of a record: ``level is "info", status is missing``."""
    seen = []
    for name in sorted(condition.fields):
        if name in record:
            seen.append(f"{name} is {shown(record[name])}")
        elif name in labels:
            seen.append(f"{name} is {shown(labels[name])} (a label)")
        else:
            seen.append(f"{name} is missing")
    return ", ".join(seen)


def _copied(records: list[Record]) -> list[Record]:
    """The records as they are now; what cannot be copied is no JSON, and is shown as it is then."""
    try:
        return copy.deepcopy(records)
    except Exception:  # noqa: BLE001 - a processor can leave objects behind whose own code raises anything
        return [dict(record) for record in records]


def _encodes(record: Record) -> bool:
    try:
        encode_json(record)
    except ValueError:
        return False
    return True


def _stage(step: Step, work: _Watched, before: list[Record]) -> Stage:
    work.dropped, work.failures = 0, []
    known = dict(work.labels)
    seconds = _timed(lambda: step.run(work)) if before else 0.0
    added = {name: value for name, value in work.labels.items() if name not in known}
    # Asked for only behind the first step that had to: a parser that takes raw lines is to get them.
    after = before if work.rows is not None else _copied(work.records)
    reason = _reason(step, before, known)
    if not reason and work.dropped == len(before) == 1:
        reason = _own_reason(step, before[0])
    return Stage(step.name, step.place, before, after, added, work.dropped, work.failures, reason, seconds)


def _reason(step: Step, before: list[Record], labels: Labels) -> str:
    condition = step.condition
    if condition is None or not before:
        return ""
    if any(_met(condition, record, labels) for record in before):
        return f"{condition.text}: {values(condition, before[0], labels)}" if step.selects is not None else ""
    return unmet(condition, before[0], labels)


def _own_reason(step: Step, record: Record) -> str:
    try:
        return str(step.processor.why_dropped(_copied([record])[0]))
    except Exception as error:  # noqa: BLE001 - code of others
        return f"by its own rule, and it cannot say why: {described(error)}"


def _met(condition: Condition, record: Record, labels: Mapping[str, Any]) -> bool:
    try:
        return condition(record, labels)
    except PatternTimeout:
        return False


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
