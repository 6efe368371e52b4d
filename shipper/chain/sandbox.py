"""``isolation: process``: a stand-in for a processor that runs in a child process of its own.

The engine's side: it asks the child (``shipper.chain.sandboxed``) what becomes of the records. A child that gives no
answer is killed and started anew, from the state that came with its last answer; then the records are divided until
the one is found that it does not survive. That one fails, and the others go on in their order.

How long that takes: where ``process`` is called the child says which record it has in hand, so a record that hangs
costs one ``deadline``, or two where the time ran out soon after it began. With ``process_batch`` halves are tried:
``deadline`` times the binary logarithm of the number of records, 110 seconds for 1,000 records and 10 seconds.
"""

import itertools
import threading
from typing import Any, Final, NamedTuple

from shipper.batch import Record
from shipper.chain.child import Child, ChildEnded
from shipper.chain.divided import Part, UnsendableError, divided
from shipper.chain.isolate import Fail, Outcome
from shipper.chain.messages import BadMessageError, dumps, framed, loads
from shipper.log import get_logger
from shipper.processor import Processor

_CHILD: Final = "shipper.chain.sandboxed"
_START: Final = 60.0
"""Seconds that a child may take for its start, with ``setup`` and ``restore``."""
_PAUSES: Final = (0.0, 0.1, 0.5, 2.0, 10.0)
"""Seconds before each attempt to start a child again; from then on always the last one."""
log = get_logger("chain")


class _Done(NamedTuple):
    """What became of the records from ``start`` on; indices count from there. Those that failed are None."""

    start: int
    size: int
    records: list[Record | None]
    sources: list[int] | None
    filtered: int
    failures: dict[int, str]


class Sandbox(Processor):
    """Stands where a processor stood. ``sandboxed`` makes it."""

    def mimic(self, model: Processor) -> None:
        """Be what the engine takes for ``model``. Called once, first."""
        self._child: Child | None = None
        self._model = model
        cls = type(model)
        self._may_repeat = cls.bisect or cls.snapshot is not Processor.snapshot  # a new child begins from its state
        for setting in ("default_on_error", "error_field", "bisect", "owns_where"):
            self.__dict__[setting] = getattr(cls, setting)

    def setup(self) -> None:
        """Start the child.

        :raises ValueError: it cannot be started, or the processor cannot be set up in it; the text says why.
        """
        self.signs = 0
        """Counts on while the child is waited for: that has its own limit in time."""
        self._closed = threading.Event()
        self._state: bytes | None = None
        self._declared: tuple[Any, ...] = (None, None, None)
        try:
            self._begin()
        except (ChildEnded, OSError) as error:
            raise ValueError(f"its process cannot be started: {error}") from error

    def teardown(self) -> None:
        """End the child."""
        self._closed.set()
        if self._child is not None:
            self._child.close()
        self._child = None

    @property
    def reads(self) -> frozenset[str] | None:
        """See ``Processor``."""
        reads: frozenset[str] | None = self._declared[0]
        return reads

    @property
    def writes(self) -> frozenset[str] | None:
        """See ``Processor``."""
        writes: frozenset[str] | None = self._declared[1]
        return writes

    def constants(self) -> dict[str, Any] | None:
        """See ``Processor``."""
        constants: dict[str, Any] | None = self._declared[2]
        return constants

    def process_batch(self, records: list[Record]) -> list[Record]:
        """The engine calls ``run``, which says more."""
        raise NotImplementedError(f"run: {len(records)}")

    def why_dropped(self, record: Record) -> str:
        """See ``Processor``. A child that does not survive the question says nothing."""
        try:
            answer = self._call(framed(dumps(("why", record))))
        except (ChildEnded, ValueError):
            self._end()
            return ""
        match answer:
            case ("why", str(text)):
                return text
        return ""

    def run(self, records: list[Record], fail: Fail) -> Outcome:
        """Let the processor see records, which can harm nothing but themselves.

        :raises RuntimeError: the processor is torn down meanwhile.
        """
        done: list[_Done] = []
        todo = [Part(0, len(records))]
        while todo:
            part = todo.pop()
            size = part.end - part.start
            if part.error:
                done.append(_Done(part.start, size, [None] * size, None, 0, dict.fromkeys(range(size), part.error)))
                continue
            try:
                done.append(self._ask(part, records[part.start : part.end]))
            except ChildEnded as ended:
                todo += reversed(self._divided(part, ended))
        return _merged(records, done, fail)

    def _ask(self, part: Part, records: list[Record]) -> _Done:
        """:raises ChildEnded: the child gave no answer."""
        try:
            message = dumps(("run", dict(self.labels), records))
        except ValueError as error:
            raise UnsendableError(str(error)) from error
        if self._child is None or self._child.gone:  # nobody's fault: it had no record in hand
            self._end()
            self._begin_again()
        done = _answer(part, self._call(framed(message)))
        if done is None:
            self._end()
            raise ChildEnded("answered something else than what was asked")
        state, outcome = done
        if state is not None:
            self._state = state
        return outcome

    def _divided(self, part: Part, ended: ChildEnded) -> list[Part]:
        """What to do with records that got no answer."""
        child, self._child = self._child, None
        at = child.at if child is not None else None
        if at is not None:
            at = part.start + at if at < part.end - part.start else None  # its code may write there, too
        log.warning("a processor's process gave no answer", processor=self.called, why=str(ended), every=10.0)
        return divided(part, ended, at, may_repeat=self._may_repeat)

    def _begin(self) -> None:
        """:raises ValueError: the processor cannot be set up in the child.
        :raises ChildEnded: the child does not answer.
        :raises OSError: no process can be started.
        """
        cls = type(self._model)
        values = {name: getattr(self._model, name) for name in cls.__struct_fields__}
        state = self._state
        child = self._child = Child(_CHILD, [cls], (cls, values, self.called), self.max_memory)
        self._ready(self._call(framed(child.first), _START))
        if state is not None:
            self.restore(state)

    def restore(self, state: bytes) -> None:
        """See ``Processor``."""
        self._ready(self._call(framed(dumps(("restore", state))), _START))

    def _ready(self, answer: Any) -> None:
        """:raises ValueError: it is not."""
        match answer:
            case ("ready", reads, writes, constants, state):
                self._declared = reads, writes, constants
                self._state = state
            case ("error", str(text)):
                self._end()
                raise ValueError(text)
            case _:
                self._end()
                raise ChildEnded("it answered something else than what was asked")

    def _begin_again(self) -> None:
        """:raises RuntimeError: nobody needs it any more."""
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            if self._closed.wait(pause):
                raise RuntimeError("the processor was torn down")
            try:
                self._begin()
                break
            except (ChildEnded, OSError, ValueError) as error:
                self._end()
                text = "a processor's process cannot be started again; its source waits"
                log.error(text, processor=self.called, why=str(error), every=60.0)

    def _call(self, message: bytes, seconds: float | None = None) -> Any:
        """:raises ChildEnded: the child gave no answer that can be read; it is dead."""
        assert self._child is not None  # noqa: S101 - for the type checker
        limit = f"{seconds:g}s" if seconds is not None else str(self.deadline)
        body = self._child.ask(message, self.deadline if seconds is None else seconds, limit, self._sign)
        try:
            return loads(body)
        except BadMessageError:
            self._child.kill()
            raise ChildEnded("its process wrote something into its connection that is no answer") from None

    def _sign(self) -> None:
        self.signs += 1

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


class StatefulSandbox(Sandbox):
    """One for a processor with a state."""

    def snapshot(self) -> bytes:
        """The state that came with the last answer."""
        return self._state or b""


def sandboxed(model: Processor) -> Sandbox:
    """A stand-in for a processor of a config, not set up yet."""
    stateful = type(model).snapshot is not Processor.snapshot
    settings = {field: getattr(model, field) for field in Processor.__struct_fields__}
    sandbox = StatefulSandbox(**settings) if stateful else Sandbox(**settings)
    sandbox.mimic(model)
    return sandbox


def _answer(part: Part, answer: Any) -> tuple[bytes | None, _Done] | None:
    """The state and the outcome in an answer; None where it is none. The child may be anybody's code.

    :raises ChildEnded: the answer is an error of all records.
    """
    size = part.end - part.start
    match answer:
        case ("done", list(records), list() | None as sources, int(filtered), list(failures), bytes() | None as state):
            failed = dict(failures)
            places = sources if sources is not None else range(size)
            if len(records) == len(places) and set(places) <= set(range(size)):
                return state, _Done(part.start, size, records, sources, filtered, failed)
        case ("error", str(text)):
            raise ChildEnded(text)
    return None


def _merged(records: list[Record], done: list[_Done], fail: Fail) -> Outcome:
    """The outcome of all parts, with what goes on in the place of records that failed."""
    kept: list[Record] = []
    sources: list[int] = []
    for part in done:
        failures = ((part.start + at, ValueError(text)) for at, text in part.failures.items())
        left = {at: fail(at, records[at], error) for at, error in failures}
        for place, record in enumerate(part.records):
            at = part.start + (place if part.sources is None else part.sources[place])
            made = record if record is not None else left.pop(at, None)
            if made is not None:
                kept.append(made)
                sources.append(at)
    same = len(sources) == len(records) and sources == list(range(len(records)))
    return Outcome(kept, None if same else lambda: sources, sum(part.filtered for part in done))
