"""One processor in its place in a chain: how it is called, and what a plan may know of it."""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from shipper.batch import Labels, Record
from shipper.chain.decode import raw_record
from shipper.chain.isolate import Fail, Outcome, run_batch, run_each, run_where, settle
from shipper.chain.words import called
from shipper.chain.work import Work
from shipper.errors import ConfigError, PatternTimeout
from shipper.processor import Processor

if TYPE_CHECKING:
    from shipper.chain.expression import Condition
    from shipper.chain.sandbox import Sandbox


class Step:
    """One processor in its place."""

    def __init__(self, name: str, model: Processor, key: str, place: str = "") -> None:
        """``place``: where in the config it stands.

        :raises ConfigError: it cannot be used as configured.
        """
        cls = type(model)
        self.name = name
        self.place = place
        self.called = called(name, place)
        """For messages."""
        self.sandbox: Sandbox | None = None
        if model.isolation is None:
            processor = cls(**{field: getattr(model, field) for field in cls.__struct_fields__})
        else:
            from shipper.chain.sandbox import sandboxed  # what few chains need

            processor = self.sandbox = sandboxed(model)
            cls = type(processor)
        self.processor = processor
        processor.__dict__["_called"] = self.called
        self._key = key
        self._saved: bytes | None = None
        self.on_error = processor.on_error or processor.default_on_error
        self.stateful = cls.snapshot is not Processor.snapshot
        self._whole = cls.process_batch is not Processor.process_batch
        self.condition: Condition | None = None
        try:
            if processor.where is not None:
                from shipper.chain import expression  # what few chains need

                self.condition = processor.__dict__["_condition"] = expression.Condition.parse(processor.where)
            processor.setup()
            self.constants = None if processor.where is not None else processor.constants()
            """Fields that become labels; then the step does nothing else."""
            self.reads = processor.reads
            self.writes = processor.writes
            self.takes_json = processor.takes_json and self.condition is None
        except Exception as error:
            raise ConfigError([f"processor {self.called}: {error}"]) from error
        self.chosen = None if processor.owns_where else self.condition
        """By it the engine chooses the records that the processor sees."""
        self.selects = None if self.condition is None else cls.selects
        self.reads_lines = cls.process_lines is not Processor.process_lines and self.condition is None
        self.writes_json = cls.json_lines is not Processor.json_lines and self.condition is None
        self.suspects = cls.suspects is not Processor.suspects and self.condition is None
        if not (self._whole or cls.process is not Processor.process or self.constants is not None):
            raise ConfigError([f"processor {self.called}: {cls.__name__} must define process or process_batch"])

    def restore(self, state: bytes | None) -> None:
        """:raises ConfigError: the processor does not understand its state."""
        if state is None or not self.stateful:
            return
        try:
            self.processor.restore(state)
        except Exception as error:
            text = "cannot go on from its saved state; give it another name in the config to begin anew"
            raise ConfigError([f"processor {self.called}: {text}: {error!r}"]) from error
        self._saved = state

    def save(self, state: dict[str, bytes | None]) -> None:
        """Put the processor's state beside the batch that changed it."""
        if self.stateful:
            snapshot = self.processor.snapshot()
            if snapshot != self._saved:
                state[self._key] = self._saved = snapshot

    def run(self, work: Work) -> None:
        """Let the processor see the batch, all of it decoded. This is what a config means; a plan must equal it."""
        if self.constants is not None:
            self.label(work)
            return
        fail = self.begin(work)
        if self.reads_lines and (lines := work.lines) is not None:
            outcome = self._parse(lines, fail)
            if outcome is not None:
                work.parsed(outcome, self.name, len(lines))
                return
        records = work.records
        if records and self.see(records, work.labels, fail, partial(work.take, name=self.name)):
            work.changed = work.changed or self.writes != frozenset()

    @property
    def changes(self) -> bool:
        """A record may leave it otherwise than it came."""
        return self.constants is None and self.writes != frozenset()

    def label(self, work: Work) -> None:
        """Make labels of the constants."""
        constants = self.constants or {}
        added = {name: value for name, value in constants.items() if name not in work.labels}
        work.labels = {**work.labels, **added} if added else work.labels

    def begin(self, work: Work) -> Fail:
        """Show the processor the batch's labels. Returns what is done with a record that fails."""
        self.processor.__dict__["_labels"] = MappingProxyType(work.labels)
        return partial(
            work.fail, name=self.name, on_error=self.on_error, field=self.processor.error_field, place=self.place
        )

    def see(self, records: list[Record], labels: Labels, fail: Fail, take: "Take") -> bool:
        """Let the processor see those of the records that it is to see. ``take`` is told what became of them, perhaps
        twice. Returns whether there were any.
        """
        if self.chosen is None:
            take(self.call(records, fail), before=len(records))
            return True
        try:
            mask = self.chosen.mask(records, labels)
        except PatternTimeout:
            outcome, mask = _judged(self.chosen, records, labels, fail)
            take(outcome, before=len(records))
            records = outcome.records
        if True not in mask:
            return False
        take(run_where(self.call, records, mask, fail), before=len(records))
        return True

    def call(self, records: list[Record], fail: Fail) -> Outcome:
        """Let the processor see all of the records."""
        if self.sandbox is not None:
            return self.sandbox.run(records, fail)
        if self._whole:
            return run_batch(self.processor.process_batch, records, fail, bisect=self.processor.bisect)
        return run_each(self.processor.process, records, fail)

    def write_json(self, lines: list[bytes]) -> list[bytes | Exception] | None:
        """The raw lines as JSON objects; None where the processor parses them another way."""
        return _each(self.processor.json_lines, lines)

    def _parse(self, lines: list[bytes], fail: Fail) -> Outcome | None:
        results = _each(self.processor.process_lines, lines)
        return None if results is None else settle(results, lambda at: raw_record(lines[at]), fail)


class Take(Protocol):
    """Who is told what became of records."""

    def __call__(self, outcome: Outcome, *, before: int) -> None:
        """``before``: how many records there were."""
        ...


def _each(parse: Callable[[list[bytes]], Any], lines: list[bytes]) -> list[Any] | None:
    """One result a line; None where the processor takes them one by one after all."""
    try:
        results: Any = parse(lines.copy())
    except Exception:  # noqa: BLE001 - then the ordinary way finds out which record it is
        return None
    return results if isinstance(results, list) and len(results) == len(lines) else None


def _judged(condition: "Condition", records: list[Record], labels: Labels, fail: Fail) -> tuple[Outcome, list[bool]]:
    """The records that go on, and which of them meet the condition. One that took too long to judge has failed."""
    verdicts = [_verdict(condition, record, labels) for record in records]
    judged = [v if isinstance(v, Exception) else record for v, record in zip(verdicts, records, strict=True)]
    outcome = settle(judged, records.__getitem__, fail)
    left = range(len(records)) if outcome.sources is None else outcome.sources()
    return outcome, [verdicts[at] is True for at in left]


def _verdict(condition: "Condition", record: Record, labels: Labels) -> bool | PatternTimeout:
    try:
        return condition(record, labels)
    except PatternTimeout as error:
        return error
