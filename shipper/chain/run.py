"""The engine: a source's processors, one after the other, over one batch at a time.

- One loop over a list for each processor; nothing is looked up or remembered for a record unless something happens.
- Raw lines stay raw bytes until a processor wants records, and records that nobody changed keep their bytes.
- An exception costs one record; what becomes of it says ``on_error``. Only what is no ``Exception`` passes.
- Every record that does not go on is counted: dropped by which processor and why, or failed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from shipper.batch import Batch, Payload, Record
from shipper.chain.decode import raw_record
from shipper.chain.isolate import Fail, Outcome, run_batch, run_each, run_where, settle
from shipper.chain.work import Work, unreadable
from shipper.errors import ConfigError, FrameError
from shipper.log import get_logger
from shipper.processor import Processor

if TYPE_CHECKING:
    from shipper.chain.expression import Condition

log = get_logger("chain")


class Spec(Protocol):
    """A processor of a config."""

    @property
    def name(self) -> str:
        """Unique in the chain."""
        ...

    @property
    def processor(self) -> Processor:
        """The instance that was made from the config."""
        ...


class Chain:
    """The processors of one source, ready to run. They are instances of its own: sources share no state.

    Calls of ``run`` must not overlap; they may come from any thread.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        source: str,
        dead_letter_room: Callable[[], int],
        state: Mapping[str, bytes] | None = None,
    ) -> None:
        """``state``: what ``Batch.state`` held before the restart, by the same keys (others are ignored).

        :raises ConfigError: a processor cannot be used as configured, or does not understand its state.
        """
        self.invalid_utf8 = 0
        """Records whose text was not UTF-8, so that U+FFFD stands for some of it."""
        self._errors: Counter[str] = Counter()
        self._room = dead_letter_room
        self._steps: list[_Step] = []
        state = state or {}
        try:
            for spec in specs:
                key = f"processor/{source}/{spec.name}"
                self._steps.append(_Step(spec.name, spec.processor, key))
                self._steps[-1].restore(state.get(key))
        except ConfigError:
            self.teardown()
            raise

    @property
    def empty(self) -> bool:
        """There is no processor: every batch comes back from ``run`` as it is."""
        return not self._steps

    def run(self, batch: Batch) -> Batch:
        """Process a batch and encode its records. A batch that no processor changes comes back as it is."""
        payload = batch.payload
        if not isinstance(payload, list):
            records = payload.count if isinstance(payload, Payload) else payload.records
            if not self._steps or not records:
                return batch
        try:
            work = Work(batch, self._room)
        except FrameError as error:
            assert not isinstance(payload, (Payload, list))  # noqa: S101 - for the type checker
            return unreadable(batch, payload, error, self._room())
        for step in self._steps:
            step.run(work)
        done, invalid = work.finish()
        self.invalid_utf8 += invalid
        self._errors += work.kept_errors
        for step in self._steps:
            step.save(done.state)
        return done

    def take_errors(self) -> list[tuple[str, int]]:
        """How many records failed and went on with the error in a field, by processor, since the last call."""
        errors, self._errors = self._errors, Counter()
        return list(errors.items())

    def teardown(self) -> None:
        """After the last batch: the processors give back what they hold. One that fails does not stop the others."""
        for step in reversed(self._steps):
            try:
                step.processor.teardown()
            except Exception as error:  # noqa: BLE001 - code of others, and nothing depends on it any more
                log.warning("a processor failed when it was stopped", processor=step.name, exc=error)
        self._steps = []


class _Step:
    """One processor in its place."""

    def __init__(self, name: str, model: Processor, key: str) -> None:
        """:raises ConfigError: it cannot be used as configured."""
        cls = type(model)
        self.name = name
        self.processor = processor = cls(**{field: getattr(model, field) for field in cls.__struct_fields__})
        self._key = key
        self._saved: bytes | None = None
        self._on_error = processor.on_error or cls.default_on_error
        self._stateful = cls.snapshot is not Processor.snapshot
        self._reads_lines = cls.process_lines is not Processor.process_lines
        self._whole = cls.process_batch is not Processor.process_batch
        self._only_selects = cls.writes is not None and not cls.writes
        self._condition: Condition | None = None
        try:
            if processor.where is not None:
                from shipper.chain import expression  # what few chains need

                self._condition = processor.__dict__["_condition"] = expression.Condition.parse(processor.where)
            processor.setup()
            self._constants = None if processor.where is not None else processor.constants()
        except Exception as error:
            raise ConfigError([f"processor {name}: {error}"]) from error
        if not (self._whole or cls.process is not Processor.process or self._constants is not None):
            raise ConfigError([f"processor {name}: {cls.__name__} must define process or process_batch"])

    def restore(self, state: bytes | None) -> None:
        """:raises ConfigError: the processor does not understand its state."""
        if state is None or not self._stateful:
            return
        try:
            self.processor.restore(state)
        except Exception as error:
            text = "cannot go on from its saved state; give it another name in the config to begin anew"
            raise ConfigError([f"processor {self.name}: {text}: {error!r}"]) from error
        self._saved = state

    def save(self, state: dict[str, bytes | None]) -> None:
        """Put the processor's state beside the batch that changed it."""
        if self._stateful:
            snapshot = self.processor.snapshot()
            if snapshot != self._saved:
                state[self._key] = self._saved = snapshot

    def run(self, work: Work) -> None:
        """Let the processor see the batch."""
        if self._constants is not None:
            added = {name: value for name, value in self._constants.items() if name not in work.labels}
            work.labels = {**work.labels, **added} if added else work.labels
            return
        self.processor.__dict__["_labels"] = MappingProxyType(work.labels)
        fail: Fail = partial(work.fail, name=self.name, on_error=self._on_error, field=self.processor.error_field)
        if self._reads_lines and self._condition is None and (lines := work.lines) is not None:
            outcome = self._parse(lines, fail)
            if outcome is not None:
                work.parsed(outcome, self.name)
                return
        records = work.records
        if not records:
            return
        if self._condition is None or self.processor.owns_where:
            outcome = self._call(records, fail)
        else:
            mask = self._condition.mask(records, work.labels)
            if True not in mask:
                return
            outcome = run_where(self._call, records, mask, fail)
        work.take(outcome, self.name, len(records))
        work.changed = work.changed or not self._only_selects

    def _call(self, records: list[Record], fail: Fail) -> Outcome:
        if self._whole:
            return run_batch(self.processor.process_batch, records, fail, bisect=self.processor.bisect)
        return run_each(self.processor.process, records, fail)

    def _parse(self, lines: list[bytes], fail: Fail) -> Outcome | None:
        """The raw lines, parsed; None where the processor takes them one by one after all."""
        try:
            results: Any = self.processor.process_lines(lines.copy())
        except Exception:  # noqa: BLE001 - then the ordinary way finds out which record it is
            return None
        if not isinstance(results, list) or len(results) != len(lines):
            return None
        return settle(results, lambda at: raw_record(lines[at]), fail)
