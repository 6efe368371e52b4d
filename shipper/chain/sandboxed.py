"""The child's side of ``isolation: process``: one processor, and the engine's way of calling it.

Messages (see ``shipper.chain.messages``), and what is answered:

    (class, settings, called)     ("ready", reads, writes, constants, state)
    ("restore", state)            ("ready", reads, writes, constants, state)
    ("run", labels, records)      ("done", records, sources, filtered, failures, state)
    ("why", record)               ("why", text)

Any of them may be answered with ("error", text); the process goes on. ``state`` is None for a processor that keeps
none, and where it is what it was. ``sources`` is what ``Outcome.sources`` gives; of ``records``, those that failed are
None, and ``failures`` has the index before the step and the text of each, in their order.
"""

from collections.abc import Callable
from itertools import count
from types import MappingProxyType
from typing import Any

from shipper.batch import Record
from shipper.chain.child_main import Parent
from shipper.chain.isolate import Outcome, run_batch, run_each
from shipper.chain.messages import dumps, loads
from shipper.chain.words import described
from shipper.processor import Processor


def serve(parent: Parent, start: tuple[type[Processor], dict[str, Any], str]) -> None:
    """Make the processor and answer until the parent closes the connection.

    :raises EOFError: it did.
    """
    cls, settings, called = start
    processor = cls(**settings)
    processor.__dict__["_called"] = called
    served = _Served(processor, parent)
    answer = served.attempt(served.set_up)
    questions: dict[str, Callable[..., bytes]] = {"restore": served.restore, "run": served.run, "why": served.why}
    try:
        while True:
            parent.send(answer)
            question, *values = loads(parent.receive())
            answer = served.attempt(questions[question], *values)
    finally:
        processor.teardown()


class _Served:
    def __init__(self, processor: Processor, parent: Parent) -> None:
        self._processor = processor
        self._parent = parent
        cls = type(processor)
        self._stateful = cls.snapshot is not Processor.snapshot
        self._whole = cls.process_batch is not Processor.process_batch
        self._told: bytes | None = None

    def attempt(self, work: Callable[..., bytes], *values: Any) -> bytes:
        """The answer, whatever becomes of the work."""
        try:
            return work(*values)
        except MemoryError:
            return dumps(("error", self._too_much))
        except Exception as error:  # noqa: BLE001 - code of others
            return dumps(("error", described(error)))
        except SystemExit:
            return dumps(("error", "the processor called sys.exit()"))

    @property
    def _too_much(self) -> str:
        return f"took more than {self._processor.max_memory} of memory"

    def set_up(self) -> bytes:
        """Call ``setup`` as the engine does."""
        processor = self._processor
        if processor.where is not None:
            from shipper.chain.expression import Condition

            processor.__dict__["_condition"] = Condition.parse(processor.where)
        processor.setup()
        return self._ready()

    def restore(self, state: bytes) -> bytes:
        """Give the processor its state back."""
        self._processor.restore(state)
        return self._ready()

    def why(self, record: Record) -> bytes:
        """Ask the processor why it dropped a record."""
        return dumps(("why", self._processor.why_dropped(record)))

    def run(self, labels: dict[str, Any], records: list[Record]) -> bytes:
        """Let the processor see records, as the engine does."""
        processor, parent = self._processor, self._parent
        processor.__dict__["_labels"] = MappingProxyType(labels)
        failures: dict[int, str] = {}
        failed: dict[int, Record] = {}
        numbers = count()

        def fail(at: int, record: Record, error: Exception) -> Record:  # noqa: ARG001 - see ``isolate.Fail``
            failures[at] = self._too_much if isinstance(error, MemoryError) else described(error)
            stand_in: Record = {}
            failed[id(stand_in)] = stand_in
            return stand_in

        def process(record: Record) -> Any:
            parent.at(next(numbers))
            return processor.process(record)

        if self._whole:
            outcome = run_batch(processor.process_batch, records, fail, bisect=processor.bisect)
        else:
            outcome = run_each(process, records, fail)
            parent.done()
        made = [None if id(record) in failed else record for record in outcome.records]
        return self._done(made, outcome, failures)

    def _done(self, made: list[Record | None], outcome: Outcome, failures: dict[int, str]) -> bytes:
        sources = None if outcome.sources is None else outcome.sources()
        state = self._state()

        def answer() -> bytes:
            return dumps(("done", made, sources, outcome.filtered, sorted(failures.items()), state))

        try:
            return answer()
        except ValueError:
            for place, record in enumerate(made):
                try:
                    dumps(record)
                except ValueError as error:
                    made[place] = None
                    failures[place if sources is None else sources[place]] = str(error)
            return answer()

    def _ready(self) -> bytes:
        self._told = None
        processor = self._processor
        return dumps(("ready", processor.reads, processor.writes, processor.constants(), self._state()))

    def _state(self) -> bytes | None:
        """The processor's state, if it is another than the parent was told."""
        state = self._processor.snapshot() if self._stateful else None
        if state == self._told:
            return None
        self._told = state
        return state
