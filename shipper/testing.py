# ruff: noqa: S101 - this is test code, for the tests of others
"""For those who write processors: a fixture that runs them as the engine does, and a suite that each one must pass.

pytest finds the fixture by itself where shipper is installed. In a test file::

    def test_it_drops_what_matches(run_chain):
        assert run_chain(DropMatching(pattern=re.compile("x")), ["a", "x"]).records == [{"message": "a"}]

    class TestMine(ProcessorConformance):
        lines = ("a", "x")

        def make(self):
            return DropMatching(pattern=re.compile("x"))

``tests/processors/`` and ``processors/examples/`` use it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import msgspec
import pytest

from shipper.batch import Batch, DeadLetter, Format, Labels, Payload, Record, SourceRange
from shipper.chain.decode import count_invalid, decode_json, records_of
from shipper.chain.run import Chain
from shipper.chain.trust import came_of, named_fields, unnamed_reads
from shipper.hostile import HOSTILE_LINES, HOSTILE_RECORDS
from shipper.processor import Processor

__all__ = ["ChainResult", "Line", "ProcessorConformance", "RunChain", "run_chain", "start_chain"]

Line: TypeAlias = str | bytes | Record
"""A raw line, or a record as a shipper further up would send it."""
_ROOM = 1024 * 1024 * 1024


class _Spec(NamedTuple):
    name: str
    processor: Processor


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What a chain made of a batch."""

    records: list[Record]
    """What goes on to the sinks."""
    labels: Labels
    """What is the same for all of them."""
    dropped: dict[str, int]
    """Records dropped, by ``processor/reason``."""
    failed: int
    """Records that went to the dead letters."""
    dead_letters: list[DeadLetter]
    batch: Batch
    """All of it, as the engine has it."""


class RunChain(Protocol):
    """What the fixture ``run_chain`` gives."""

    def __call__(
        self,
        processors: Processor | Sequence[Processor],
        lines: Iterable[Line],
        *,
        labels: Labels | None = None,
        dead_letter_room: int = _ROOM,
    ) -> ChainResult:
        """Run processors on one batch of lines. They are named by their classes: ``ParseJson`` is ``parse_json``."""
        ...


@pytest.fixture
def run_chain() -> Iterator[RunChain]:
    """A function that runs processors on a batch of lines; see ``RunChain``."""
    chains: list[Chain] = []

    def run(
        processors: Processor | Sequence[Processor],
        lines: Iterable[Line],
        *,
        labels: Labels | None = None,
        dead_letter_room: int = _ROOM,
    ) -> ChainResult:
        listed = [processors] if isinstance(processors, Processor) else processors
        chains.append(start_chain(listed, dead_letter_room=dead_letter_room))
        return run_batch(chains[-1], lines, labels)

    yield run
    for chain in chains:
        chain.teardown()


def start_chain(
    processors: Sequence[Processor],
    *,
    state: Mapping[str, bytes] | None = None,
    dead_letter_room: int = _ROOM,
    planned: bool = True,
) -> Chain:
    """A chain of a source ``test``. ``planned``: as ``shipper run`` runs it; else one step after the other."""
    specs: list[_Spec] = []
    for processor in processors:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(processor).__name__).lower()
        number = sum(spec.name.startswith(name) for spec in specs) + 1
        specs.append(_Spec(name if number == 1 else f"{name}_{number}", processor))
    return Chain(specs, "test", lambda: dead_letter_room, state, planned=planned)


def run_batch(chain: Chain, lines: Iterable[Line], labels: Labels | None = None) -> ChainResult:
    """Run a chain on one batch of lines: raw ones, or records, but not both."""
    payload = _payload(list(lines))
    span = SourceRange("test", bytes(16), 0, len(payload.data), read=payload.count, kept=payload.count)
    done = chain.run(Batch("test", {"host": "test"} if labels is None else labels, payload, [span], 0))
    (counted,) = done.ranges
    return ChainResult(records_of(done.payload), done.labels, counted.dropped, counted.failed, done.dead_letters, done)


def _payload(lines: list[Line]) -> Payload:
    records = [line for line in lines if isinstance(line, dict)]
    if records:
        return Payload(Format.NDJSON, msgspec.json.Encoder().encode_lines(records), len(lines))
    raw = [line.encode() if isinstance(line, str) else line for line in lines if not isinstance(line, dict)]
    if any(b"\n" in line for line in raw):
        return Payload.sized(raw)
    return Payload.lines(b"".join(line + b"\n" for line in raw))


class ProcessorConformance:
    """What holds for every processor. Inherit it in a class whose name begins with ``Test``."""

    lines: ClassVar[Sequence[Line]] = ()
    """Lines that the processor does something with."""

    def make(self) -> Processor:
        """A processor as a config would make it."""
        raise NotImplementedError

    def test_it_is_documented(self) -> None:
        """The class has a docstring of its own: it is the reference."""
        assert (vars(type(self.make())).get("__doc__") or "").strip()

    def test_it_can_be_set_up_again(self) -> None:
        """``setup`` and ``teardown`` may be called more than once: a config is checked before it runs."""
        processor = self.make()
        for _ in range(2):
            processor.setup()
            processor.teardown()

    @pytest.mark.parametrize("hostile", [HOSTILE_LINES, HOSTILE_RECORDS], ids=["lines", "records"])
    def test_every_hostile_record_is_accounted_for(self, hostile: Sequence[Line]) -> None:
        """Whatever a record is like, it goes on, is dropped, or fails; what goes on can be read again."""
        result = self._run(hostile)
        assert len(result.records) + sum(result.dropped.values()) + result.failed >= len(hostile)
        assert all(isinstance(record, dict) for record in result.records)

    def test_hostile_records_harm_no_others(self) -> None:
        """Ordinary records come out the same with hostile ones between them."""
        if self._depends_on_others():
            return
        hostile = HOSTILE_RECORDS if self._has_records() else HOSTILE_LINES
        mixed = [line for pair in zip(self.lines, [*hostile] * len(self.lines), strict=False) for line in pair]
        alone = self._run(self.lines).records + self._run(mixed[1::2]).records
        assert sorted(map(_comparable, self._run(mixed).records)) == sorted(map(_comparable, alone))

    def test_records_that_where_excludes_pass_untouched(self) -> None:
        """``where`` is the engine's: a processor never sees the others."""
        if self.make().owns_where:
            return
        processor = msgspec.structs.replace(self.make(), where="false")
        result = _run([processor], self.lines)
        assert result.records == _run([], self.lines).records
        assert result.dropped == {}
        assert result.failed == 0

    def test_the_size_of_batches_makes_no_difference(self) -> None:
        """Where a batch ends depends on time and load, so a record's fate must not."""
        if self._depends_on_others():
            return
        single = [record for line in self.lines for record in self._run([line]).records]
        assert self._run(self.lines).records == single

    def test_lines_parsed_at_once_equal_lines_parsed_one_by_one(self) -> None:
        """``process_lines`` gives what ``process`` gives for records of raw lines."""
        if type(self.make()).process_lines is Processor.process_lines or self._has_records():
            return
        lines = [*self.lines, *HOSTILE_LINES]
        singly = _run([msgspec.structs.replace(self.make(), where="true")], lines)
        assert self._run(lines).records == singly.records

    def test_lines_written_as_json_equal_lines_parsed(self) -> None:
        """``json_lines`` gives what ``process_lines`` gives, as JSON on one line each."""
        cls = type(self.make())
        if cls.json_lines is Processor.json_lines or self._has_records():
            return
        processor = self.make()
        processor.setup()
        for lines in (_raw_lines(self.lines), [*_raw_lines(self.lines), *HOSTILE_LINES]):
            parsed, written = processor.process_lines(lines.copy()), processor.json_lines(lines.copy())
            if written is None:
                continue
            assert parsed is not None
            assert all(b"\n" not in line for line in written if isinstance(line, bytes))
            assert list(map(_decoded, written)) == list(map(_decoded, parsed))
        processor.teardown()

    def test_a_record_without_a_suspect_stays_as_it_is(self) -> None:
        """``suspects`` misses nothing: what it does not point at is not changed, as a line or as a JSON object."""
        if type(self.make()).suspects is Processor.suspects:
            return
        processor = self.make()
        processor.setup()
        lines: list[Line] = [*self.lines, *(HOSTILE_RECORDS if self._has_records() else HOSTILE_LINES)]
        for line in lines:
            for shape in _shapes(line):
                payload = _payload([shape])
                data = b"".join(record + b"\n" for record in payload.raw())
                found = processor.suspects(data)
                if found is not None and not found and b"\\u" not in data and not count_invalid(data, [data]):
                    assert self._run([shape]).records == _run([], [shape]).records, shape
        processor.teardown()

    def test_its_state_survives_a_restart(self) -> None:
        """Half of the lines, a restart from the stored state, the other half: as if nothing had happened."""
        half = len(self.lines) // 2
        chain = start_chain([self.make()])
        expected = [run_batch(chain, part).records for part in (self.lines[:half], self.lines[half:])]
        chain.teardown()
        before = start_chain([self.make()])
        first = run_batch(before, self.lines[:half])
        before.teardown()
        state = {key: value for key, value in first.batch.state.items() if value is not None}
        after = start_chain([self.make()], state=state)
        assert [first.records, run_batch(after, self.lines[half:]).records] == expected
        after.teardown()

    def test_it_changes_only_the_fields_that_it_declares(self) -> None:
        """The planner trusts ``writes``."""
        processor = self.make()
        processor.setup()
        writes = processor.writes
        processor.teardown()
        if writes is None:
            return
        for line in self.lines:
            (before,) = _run([], [line]).records
            for after in self._run([line]).records:
                names = (before.keys() | after.keys()) - writes
                assert all(before.get(name, ...) == after.get(name, ...) for name in names)

    def test_it_reads_only_the_fields_that_it_declares(self) -> None:
        """The planner trusts ``reads``: a processor that declares both sees records which may lack every other field,
        and must make the same of them.
        """
        named = named_fields(self.make())
        if named is None:
            return

        def run(records: Sequence[Record]) -> Batch:
            return _run([self.make()], records, planned=False).batch

        records = [record for line in self.lines for record in _run([], [line]).records]
        found = " or ".join(unnamed_reads(run, records, named))
        text = "in a chain that runs, records may lack what no processor names"
        assert not found, f"it reads {found}, which `reads` does not name: {text}"

    def test_a_plan_comes_to_what_it_does_by_itself(self) -> None:
        """``shipper run`` uses a plan, ``shipper explain`` none: both give the same, for lines and for records."""
        records = [record for line in self.lines for record in _run([], [line]).records]
        for lines in ([*self.lines], records, [*HOSTILE_LINES], [*HOSTILE_RECORDS]):
            alone, planned = (came_of(_run([self.make()], lines, planned=planned).batch) for planned in (False, True))
            text = "a plan, which trusts what the processor says of itself, gives"
            assert planned == alone, f"{text} {planned}; by itself it gives {alone}"

    def _run(self, lines: Sequence[Line]) -> ChainResult:
        return _run([self.make()], lines)

    def _has_records(self) -> bool:
        return any(isinstance(line, dict) for line in self.lines)

    def _depends_on_others(self) -> bool:
        cls = type(self.make())
        return not cls.bisect or cls.snapshot is not Processor.snapshot


def _run(processors: Sequence[Processor], lines: Sequence[Line], *, planned: bool = True) -> ChainResult:
    chain = start_chain(processors, planned=planned)
    result = run_batch(chain, lines)
    chain.teardown()
    return result


def _raw_lines(lines: Sequence[Line]) -> list[bytes]:
    return [line.encode() if isinstance(line, str) else line for line in lines if not isinstance(line, dict)]


def _shapes(line: Line) -> list[Line]:
    """A line as it is, and as the record that a shipper further up makes of it."""
    return [line] if isinstance(line, dict) else [line, *_run([], [line]).records]


def _decoded(result: Any) -> Any:
    """A parser's result, for comparison: the record, or the text of what is wrong."""
    if isinstance(result, bytes):
        return decode_json(result)
    return str(result) if isinstance(result, Exception) else result


def _comparable(record: Record) -> bytes:
    return msgspec.json.encode(record, order="sorted")
