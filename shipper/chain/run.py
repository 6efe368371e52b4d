"""The engine: a source's processors, one after the other, over one batch at a time.

- One loop over a list for each processor; nothing is looked up or remembered for a record unless something happens.
- Raw lines stay raw bytes until a processor wants records, and records that nobody changed keep their bytes.
- An exception costs one record; what becomes of it says ``on_error``. Only what is no ``Exception`` passes.
- Every record that does not go on is counted: dropped by which processor and why, or failed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from shipper.batch import Batch, Payload
from shipper.chain.step import Step
from shipper.chain.words import one_of
from shipper.chain.work import Work, unreadable
from shipper.errors import ConfigError, FrameError
from shipper.log import get_logger
from shipper.processor import Processor

if TYPE_CHECKING:
    from shipper.chain.plan import Plan

log = get_logger("chain")

_TOLD_EVERY: Final = 3600.0
"""Seconds between two lines of the log on records of one processor that fail and go on. All are counted."""


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
        *,
        planned: bool = True,
    ) -> None:
        """``state``: what ``Batch.state`` held before the restart, by the same keys (others are ignored). ``planned``:
        False runs every step over decoded records, one after the other, which is what a config means.

        :raises ConfigError: a processor cannot be used as configured, or does not understand its state.
        """
        self.invalid_utf8 = 0
        """Records whose text was not UTF-8, so that U+FFFD stands for some of it."""
        self._errors: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._source = source
        self._room = dead_letter_room
        self.steps: list[Step] = []
        """The processors in their places."""
        state = state or {}
        try:
            for spec in specs:
                key = f"processor/{source}/{spec.name}"
                self.steps.append(Step(spec.name, spec.processor, key, getattr(spec, "place", "")))
                self.steps[-1].restore(state.get(key))
        except ConfigError:
            self.teardown()
            raise
        self._plans = _plans(self.steps) if planned and self.steps else {}

    @property
    def empty(self) -> bool:
        """There is no processor: every batch comes back from ``run`` as it is."""
        return not self.steps

    @property
    def isolated(self) -> bool:
        """Some processor runs in a process of its own, which is waited for."""
        return any(step.sandbox is not None for step in self.steps)

    @property
    def signs(self) -> int:
        """Changes while such a process is waited for: that has its own limit in time."""
        return sum(step.sandbox.signs for step in self.steps if step.sandbox is not None)

    @property
    def stateful(self) -> bool:
        """What becomes of a batch may depend on those before it."""
        return any(step.stateful or not step.processor.bisect for step in self.steps)

    def run(self, batch: Batch) -> Batch:
        """Process a batch and encode its records. A batch that no processor changes comes back as it is."""
        payload = batch.payload
        if not isinstance(payload, list):
            records = payload.count if isinstance(payload, Payload) else payload.records
            if not self.steps or not records:
                return batch
        try:
            work = Work(batch, self._room)
        except FrameError as error:
            assert not isinstance(payload, (Payload, list))  # noqa: S101 - for the type checker
            return unreadable(batch, payload, error, self._room())
        rows = work.rows
        plan = None if rows is None else self._plans.get(rows.json)
        for step in self.steps[plan.run(work) if plan else 0 :]:
            step.run(work)
        done, invalid = work.finish(self.changing)
        if plan is not None and rows is not None:
            plan.learn(rows.rewritten, rows.count)
        self.invalid_utf8 += invalid
        if work.kept_errors:
            self._errors += work.kept_errors
            self._reasons |= work.kept_reasons
        for step in self.steps:
            step.save(done.state)
        return done

    def changing(self) -> str:
        """The processors that may have left a record as it is, for messages."""
        return one_of(step.called for step in self.steps if step.changes)

    def take_errors(self) -> list[tuple[str, int]]:
        """How many records failed and went on with the error in a field, by processor, since the last call. The log
        tells of them now and then.
        """
        errors = list(self._errors.items())
        if errors:
            self._tell()
            self._errors, self._reasons = Counter(), {}
        return errors

    def _tell(self) -> None:
        names = {step.name: step.called for step in self.steps}
        for name, why in self._reasons.items():
            processor = names.get(name, name)
            log.warning(
                "records fail and go on with the error in a field",
                source=self._source,
                processor=processor,
                error=why,
                every=_TOLD_EVERY,
                key=(self._source, processor),
            )

    def teardown(self) -> None:
        """After the last batch: the processors give back what they hold. One that fails does not stop the others."""
        for step in reversed(self.steps):
            try:
                step.processor.teardown()
            except Exception as error:  # noqa: BLE001 - code of others, and nothing depends on it any more
                log.warning("a processor failed when it was stopped", processor=step.called, exc=error)
        self.steps = []


def _plans(steps: Sequence[Step]) -> "dict[bool, Plan]":
    """One for raw lines, one for JSON objects."""
    from shipper.chain.plan import Plan  # what an agent without processors does not need

    return {json: Plan(steps, json=json) for json in (False, True)}
