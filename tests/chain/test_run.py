"""The engine: isolation, on_error, dead letters, counts, labels, state, identities."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
import pytest

from shipper.batch import Batch, DeadLetter, Format, Labels, Origin, Payload, Record, SourceRange, Upstream
from shipper.chain.run import Chain
from shipper.errors import ConfigError
from shipper.processor import OnError, Processor
from shipper.spool.frame import Frame, FrameMeta, decode, draft
from shipper.testing import run_batch, start_chain
from shipper_processors.add_fields import AddFields
from shipper_processors.drop import Drop
from shipper_processors.parse_json import ParseJson

STREAM = bytes(range(16))
GENERATION = b"g" * 16
PLENTY = 1 << 30


class Spec(NamedTuple):
    """A processor of a config."""

    name: str
    processor: Processor


class Each(Processor):
    """Does with a record what its field ``do`` says; the class of a third party, so to speak."""

    default: Any = None

    def process(self, record: Record) -> Record | list[Record] | None:
        """Obey."""
        do = record.get("do", record.get("message", self.default))
        actions: dict[str, Callable[[], Any]] = {
            "raise": lambda: 1 // 0,
            "drop": lambda: None,
            "two": lambda: [record | {"part": 0}, record | {"part": 1}],
            "none": list,
            "text": lambda: "text",
            "texts": lambda: ["text"],
            "stop": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
            "value": lambda: (_ for _ in ()).throw(ValueError(f"bad {record.get('id')} \ud800")),
        }
        return actions[do]() if do in actions else record | {"seen": True}


class Whole(Processor):
    """Sees whole batches, and remembers how often."""

    raises_at: str = "raise"
    calls: ClassVar[list[int]] = []

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Raise where a record says so; leave out those that say drop."""
        self.calls.append(len(records))
        if any(record.get("do") == self.raises_at for record in records):
            raise RuntimeError(f"there is a {self.raises_at}")
        return [record for record in records if record.get("do") != "drop"]


class WholeOnly(Whole):
    """Must not see a record twice."""

    bisect: ClassVar[bool] = False


class Rubbish(Processor):
    """Returns what its config says instead of records."""

    result: Any = None

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Rubbish where a record says so."""
        return self.result if any(record.get("do") for record in records) else records


class Leaves(Processor):
    """Leaves a value in every record that asks for it."""

    value: ClassVar[Any] = None

    def process(self, record: Record) -> Record:
        """Put the value there."""
        return record | {"left": self.value} if record.get("do") else record


class Counts(Processor):
    """Numbers records, across restarts."""

    def setup(self) -> None:
        """Begin at one."""
        self.next = 1

    def process(self, record: Record) -> Record:
        """Number it."""
        record["number"] = self.next
        self.next += 1
        return record

    def snapshot(self) -> bytes:
        """The next number."""
        return b"%d" % self.next

    def restore(self, state: bytes) -> None:
        """Go on."""
        self.next = int(state)


def chain(*processors: Processor, room: int = PLENTY, state: dict[str, bytes] | None = None) -> Chain:
    """A chain of a source ``app``; processors are named p0, p1 ..."""
    specs = [Spec(f"p{n}", processor) for n, processor in enumerate(processors)]
    return Chain(specs, "app", lambda: room, state)


def raw(*lines: bytes, labels: Labels | None = None) -> Batch:
    """A batch of raw lines as the file source makes them."""
    payload = Payload.lines(b"".join(line + b"\n" for line in lines))
    span = SourceRange("app", GENERATION, 1000, 1000 + len(payload.data), read=payload.count, kept=payload.count)
    return Batch("app", labels or {"host": "h"}, payload, [span], 77)


def decoded(*records: Record) -> Batch:
    """A batch of records with bytes, in NDJSON."""
    payload = Payload(Format.NDJSON, msgspec.json.Encoder().encode_lines(records), len(records))
    span = SourceRange("app", GENERATION, 1000, 1000 + len(payload.data), read=payload.count, kept=payload.count)
    return Batch("app", {"host": "h"}, payload, [span], 77)


def framed(batch: Batch, **meta: Any) -> Batch:
    """The batch as it arrives from an upstream."""
    assert isinstance(batch.payload, Payload)
    stamped = draft(batch.payload, FrameMeta(batch.labels, batch.ranges, **meta), 77).stamp(STREAM, 5)[0]
    frame = decode(stamped)
    upstream = Upstream(b"u" * 16, 9, 1, b"i" * 16, frame.check)
    return Batch("edge", frame.labels, frame, batch.ranges, frame.read_at, upstream=upstream)


def records(batch: Batch) -> list[Record]:
    """What goes on."""
    assert isinstance(batch.payload, Payload)
    if batch.payload.format is Format.NDJSON:
        return [msgspec.json.decode(line) for line in batch.payload.raw()]
    return [{"message": line.decode()} for line in batch.payload.raw()]


def ids(batch: Batch) -> list[Any]:
    """Which records go on."""
    return [record.get("id", record.get("message")) for record in records(batch)]


def counts(batch: Batch) -> tuple[int, int, dict[str, int], int]:
    """Read, kept, dropped, failed; they add up unless a record became several."""
    (span,) = batch.ranges
    return span.read, span.kept, span.dropped, span.failed


def test_a_chain_without_processors_returns_the_batch_itself() -> None:
    for batch in (raw(b"x"), framed(raw(b"x")), raw()):
        assert chain().run(batch) is batch


def test_a_chain_without_processors_encodes_records() -> None:
    batch = Batch("app", {}, [{"a": 1}], [SourceRange("app", b"", 0, 1)], 0)
    done = chain().run(batch)
    assert done.payload == Payload(Format.NDJSON, b'{"a":1}\n', 1)
    assert counts(done) == (1, 1, {}, 0)


def test_a_batch_that_nobody_changes_is_not_touched() -> None:
    for batch in (raw(b"a", b"\xff"), framed(raw(b"a"))):
        assert chain(Drop(where="message == 'x'"), AddFields(fields={"host": "other"})).run(batch) is batch


def test_records_are_dropped_kept_and_split_in_order() -> None:
    batch = decoded({"id": 1}, {"id": 2, "do": "drop"}, {"id": 3, "do": "two"}, {"id": 4, "do": "none"}, {"id": 5})
    done = chain(Each()).run(batch)
    assert ids(done) == [1, 3, 3, 5]
    assert counts(done) == (5, 4, {"p0/filtered": 2}, 0)


def test_an_exception_costs_that_record_alone_and_its_raw_bytes_are_kept() -> None:
    batch = raw(b'{"id": 1}', b'{"id":  2, "do": "raise"}', b'{"id": 3}')
    done = chain(ParseJson(), Drop(where="id == 1"), Each()).run(batch)
    assert ids(done) == [3]
    assert counts(done) == (3, 1, {"p1/filtered": 1}, 1)
    lines = Path(__file__).read_text("utf-8").split("\n")
    at = next(number for number, line in enumerate(lines, 1) if "1 // 0" in line)
    assert done.dead_letters == [
        DeadLetter(
            b'{"id":  2, "do": "raise"}',
            25,
            "p2",
            f"ZeroDivisionError: integer division or modulo by zero (test_run.py:{at})",
            {"host": "h"},
            "app",
            GENERATION,
            1000,
            1,
            77,
            Format.LINES,
        )
    ]


@pytest.mark.parametrize(
    ("on_error", "kept", "expected"),
    [
        ("keep", [1, 2, 3], (3, 3, {}, 0)),
        ("drop", [1, 3], (3, 2, {"p0/error": 1}, 0)),
        ("dead_letter", [1, 3], (3, 2, {}, 1)),
        (None, [1, 3], (3, 2, {}, 1)),
    ],
)
def test_on_error_says_what_becomes_of_a_failed_record(
    on_error: OnError | None, kept: list[int], expected: tuple[int, int, dict[str, int], int]
) -> None:
    for processor in (Each(on_error=on_error), Whole(on_error=on_error)):
        done = chain(processor).run(decoded({"id": 1}, {"id": 2, "do": "raise"}, {"id": 3}))
        assert ids(done) == kept
        assert counts(done) == expected
        if on_error == "keep":
            assert records(done)[1]["processor_error"].startswith("p0: ")


def test_errors_are_text_of_bounded_length() -> None:
    done = chain(Each(on_error="keep")).run(decoded({"id": "x" * 5000, "do": "value"}))
    (record,) = records(done)
    assert len(record["processor_error"]) < 600
    (letter,) = chain(Each()).run(decoded({"id": 1, "do": "value"})).dead_letters
    assert letter.error == "bad 1 \ufffd"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(letter), type=DeadLetter) == letter


def test_an_error_field_that_is_there_already_stays() -> None:
    done = chain(Each(on_error="keep")).run(decoded({"do": "raise", "processor_error": "mine"}))
    assert records(done) == [{"do": "raise", "processor_error": "mine"}]


@pytest.mark.parametrize("do", ["text", "texts"])
def test_what_is_no_record_is_an_error_of_the_record(do: str) -> None:
    done = chain(Each()).run(decoded({"id": 1}, {"id": 2, "do": do}))
    assert ids(done) == [1]
    assert re.match(r"TypeError: process returned .*str", done.dead_letters[0].error)


@pytest.mark.parametrize("result", [None, "text", [1], ({},), {}])
def test_a_batch_of_rubbish_costs_only_the_records_to_blame(result: Any) -> None:
    done = chain(Rubbish(result=result)).run(decoded({"id": 1}, {"id": 2, "do": 1}, {"id": 3}))
    assert ids(done) == [1, 3]
    assert done.dead_letters[0].error.startswith("TypeError: process_batch returned ")


def test_bisecting_finds_the_bad_records_of_a_batch() -> None:
    Whole.calls.clear()
    found = [{"id": n, "do": {3: "raise", 4: "drop", 6: "raise"}.get(n)} for n in range(8)]
    done = chain(Whole()).run(decoded(*found))
    assert ids(done) == [0, 1, 2, 5, 7]
    assert counts(done) == (8, 5, {"p0/filtered": 1}, 2)
    assert [letter.index for letter in done.dead_letters] == [3, 6]
    assert Whole.calls == [8, 4, 2, 2, 1, 1, 4, 2, 2, 1, 1]


class Greedy(Processor):
    """Wants more memory than there is, where it is asked to; all records at once."""

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take it."""
        for record in records:
            if record.get("do") == "take":
                bytearray(1 << 60)
        return records


class GreedyWhole(Greedy):
    """The same, and it sees a record once."""

    bisect: ClassVar[bool] = False


def test_want_of_memory_costs_the_record_and_the_chain_goes_on() -> None:
    greedy = chain(Greedy())
    done = greedy.run(decoded({"id": 0}, {"id": 1, "do": "take"}, {"id": 2}))
    assert ids(done) == [0, 2]
    assert [(letter.index, letter.error[:11]) for letter in done.dead_letters] == [(1, "MemoryError")]
    assert ids(greedy.run(decoded({"id": 3}))) == [3]


def test_want_of_memory_costs_the_batch_where_it_may_not_be_divided() -> None:
    greedy = chain(GreedyWhole())
    done = greedy.run(decoded({"id": 0}, {"id": 1, "do": "take"}))
    assert ids(done) == []
    assert [letter.index for letter in done.dead_letters] == [0, 1]
    assert ids(greedy.run(decoded({"id": 3}))) == [3]


def test_without_bisecting_the_whole_batch_fails() -> None:
    Whole.calls.clear()
    done = chain(WholeOnly()).run(decoded({"id": 1}, {"id": 2, "do": "raise"}))
    assert counts(done) == (2, 0, {}, 2)
    assert [letter.raw for letter in done.dead_letters] == [b'{"id":1}', b'{"id":2,"do":"raise"}']
    assert Whole.calls == [2]
    assert ids(chain(WholeOnly(on_error="keep")).run(decoded({"id": 1}, {"id": 2, "do": "raise"}))) == [1, 2]


def test_what_is_no_exception_of_a_record_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        chain(Each()).run(decoded({"do": "stop"}))


def test_records_that_where_excludes_pass_untouched_in_their_places() -> None:
    batch = decoded(*({"id": n, "do": "two" if n % 2 else "drop"} for n in range(5)))
    assert ids(chain(Each(where="id > 1")).run(batch)) == [0, 1, 3, 3]
    assert ids(chain(Whole(where="id > 1")).run(batch)) == [0, 1, 3]
    between = decoded({"id": 5}, {"id": 0}, {"id": 6, "do": "drop"}, {"id": 1}, {"id": 7, "do": "two"}, {"id": 2})
    assert ids(chain(Each(where="id > 4")).run(between)) == [5, 0, 1, 7, 7, 2]
    assert records(chain(Each(where="id == 0 or id == 9")).run(decoded({"id": 9}, {"id": 1}))) == [
        {"id": 9, "seen": True},
        {"id": 1},
    ]


def test_a_failure_behind_where_and_other_steps_names_the_right_record() -> None:
    batch = decoded({"id": 0}, {"id": 1, "do": "two"}, {"id": 2}, {"id": 3, "x": 1}, {"id": 4})
    done = chain(Each(), Drop(where="id == 0"), Whole(where="id >= 3", raises_at="never"), Fails(where="x == 1")).run(
        batch
    )
    assert [(letter.index, letter.raw) for letter in done.dead_letters] == [(3, b'{"id":3,"x":1}')]
    assert ids(done) == [1, 1, 2, 4]


class Fails(Processor):
    """Fails."""

    def process(self, record: Record) -> Record:
        """Fail."""
        raise KeyError(record["id"])


def test_when_the_dead_letters_are_full_records_are_kept_with_the_error() -> None:
    found = [{"id": n, "do": "raise"} for n in range(4)]
    done = chain(Each(), room=500).run(decoded(*found))
    assert 0 < len(done.dead_letters) < 4
    assert ids(done) == [0, 1, 2, 3][len(done.dead_letters) :]
    assert all(record["processor_error"].startswith("p0: ZeroDivision") for record in records(done))
    assert counts(done) == (4, len(records(done)), {}, len(done.dead_letters))


def test_a_dead_letter_holds_at_most_64_kib_and_says_how_long_the_record_was() -> None:
    line = b'{"do":"raise","pad":"%s"}' % (b"x" * 100_000)
    (letter,) = chain(ParseJson(), Each()).run(raw(line)).dead_letters
    assert (letter.raw, letter.size) == (line[: 64 * 1024], len(line))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (2**70, 2**70),
        (b"\xff", "/w=="),
        ({5}, [5]),
        ("\ud83e\udd8a \udcff", "\U0001f98a \ufffd"),
        ({None: {True: 1, 2: 3}}, {"null": {"true": 1, "2": 3}}),
    ],
    ids=["nan", "infinity", "large", "bytes", "set", "surrogates", "names"],
)
def test_values_that_json_does_not_have_are_defined(value: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leaves, "value", value)
    done = chain(Leaves()).run(decoded({"id": 1}, {"id": 2, "do": 1}))
    assert [record.get("left") for record in records(done)] == [None, expected]


@pytest.mark.parametrize("value", [object(), 1j, 10**5000, range(3)], ids=["object", "complex", "huge", "range"])
def test_a_record_that_cannot_be_written_as_json_is_set_aside(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leaves, "value", value)
    batch = decoded({"id": 0, "x": 1}, {"id": 1}, {"id": 2, "do": 1}, {"id": 3})
    done = chain(Drop(where="x == 1"), Leaves()).run(batch)
    assert ids(done) == [1, 3]
    assert [(letter.processor, letter.index, letter.raw) for letter in done.dead_letters] == [
        ("encode", 2, b'{"id":2,"do":1}')
    ]
    kept = chain(Leaves(), room=0).run(batch)
    assert records(kept)[2].keys() == {"message", "processor_error"}
    assert records(kept)[2]["message"] == '{"id":2,"do":1}'


def test_a_record_nested_too_deep_to_be_written_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    monkeypatch.setattr(Leaves, "value", deep)
    done = chain(Leaves()).run(decoded({"id": 1}, {"id": 2, "do": 1}))
    assert ids(done) == [1]
    assert done.dead_letters[0].error == "p0: the field left: nested too deep to be written as JSON"


def test_a_record_that_cannot_be_written_names_the_processors_that_may_have_left_it_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Leaves, "value", object())
    batch = decoded({"id": 1, "do": 1})
    cases: list[tuple[list[Processor], str]] = [
        ([Drop(where="x == 1"), AddFields(fields={"team": "x"}), Leaves()], "p2: "),
        ([Leaves(), Drop(where="x == 1"), Leaves()], "p0 or p2: "),
        ([Leaves() for _ in range(6)], "p0 or p1 or p2 or p3 or 2 others: "),
    ]
    for processors, named in cases:
        (letter,) = chain(*processors).run(batch).dead_letters
        assert letter.error.startswith(f"{named}the field left: ")


def test_constants_are_labels_from_their_place_in_the_chain_on() -> None:
    done = chain(Drop(where="team == 'x'"), AddFields(fields={"team": "x"}), Drop(where="team == 'x' and a == 1")).run(
        decoded({"a": 1}, {"a": 2}, {"a": 1, "team": "y"})
    )
    assert done.labels == {"host": "h", "team": "x"}
    assert records(done) == [{"a": 2}, {"a": 1, "team": "y"}]


def test_a_processor_sees_the_labels_of_its_batch_and_cannot_change_them() -> None:
    class Sees(Processor):
        """Sees."""

        def process(self, record: Record) -> Record:
            """Copy the labels into the record."""
            with pytest.raises(TypeError):
                self.labels["x"] = 1  # type: ignore[index]
            return {**record, **self.labels}

    assert records(chain(AddFields(fields={"a": 1}), Sees()).run(raw(b"x"))) == [{"message": "x", "host": "h", "a": 1}]


def test_invalid_text_is_counted_where_it_is_replaced() -> None:
    for processor in (ParseJson(), Each()):
        engine = chain(processor)
        engine.run(raw(b'{"a":"\xff"}', b'{"a":"\xc3\xa9"}', b"\xff\xfe"))
        assert engine.invalid_utf8 == 2
    engine = chain(Drop(where="message == 'x'"))
    engine.run(raw(b"\xff", b"x"))
    assert engine.invalid_utf8 == 0


def test_the_state_of_a_processor_is_written_with_the_batch_that_changed_it() -> None:
    engine = chain(Counts())
    assert engine.run(raw(b"a", b"b")).state == {"processor/app/p0": b"3"}
    state = {"processor/app/p0": b"3", "processor/other/p0": b"9", "source/app/x": b""}
    again = chain(Counts(where="message != 'skip'"), state=state)
    assert again.run(raw(b"skip")).state == {}
    assert records(again.run(raw(b"c"))) == [{"message": "c", "number": 3}]


def test_a_state_that_a_processor_does_not_understand_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="processor p0: cannot go on from its saved state"):
        chain(Counts(), state={"processor/app/p0": b"x"})


def test_two_chains_share_no_instance() -> None:
    shared = Counts()
    first, second = chain(shared), chain(shared)
    first.run(raw(b"a"))
    assert records(second.run(raw(b"a"))) == [{"message": "a", "number": 1}]
    assert "next" not in vars(shared)


@pytest.mark.parametrize(
    ("processor", "problem"),
    [
        (Drop(), "processor p0: where is missing"),
        (Each(where="a = 1"), "processor p0: column 3: `=`"),
        (Processor(), "processor p0: Processor must define process or process_batch"),
    ],
)
def test_a_chain_of_processors_that_cannot_work_is_a_config_error(processor: Processor, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        chain(processor)


def test_teardown_reaches_every_processor(capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[str] = []

    class Ends(Processor):
        """Ends."""

        name: str

        def process(self, record: Record) -> Record:
            """Nothing."""
            return record

        def teardown(self) -> None:
            """Say so, loudly."""
            ended.append(self.name)
            raise RuntimeError("no")

    chain(Ends(name="a"), Ends(name="b")).teardown()
    assert ended == ["b", "a"]


def test_a_frame_that_is_taken_apart_keeps_the_identities_of_its_records() -> None:
    batch = framed(
        decoded({"id": 0}, {"id": 1, "do": "drop"}, {"id": 2, "do": "two"}, {"id": 3, "do": "raise"}, {"id": 4})
    )
    done = chain(Each()).run(batch)
    assert ids(done) == [0, 2, 2, 4]
    assert (done.origin, done.indices, done.subs) == (Origin(STREAM, 5), [0, 2, 2, 4], [0, 0, 1, 0])
    assert done.ranges == [SourceRange("edge", b"u" * 16, 9, 10, 5, 4, {"p0/filtered": 1}, 1)]
    assert done.upstream == batch.upstream
    assert done.dead_letters[0].raw == b'{"id":3,"do":"raise"}'


def test_identities_from_further_up_are_handed_on() -> None:
    origin = Origin(b"o" * 16, 3)
    batch = framed(decoded({"id": 0}, {"id": 1}, {"id": 2}), origin=origin, indices=[4, 4, 8], subs=[0, 1, 0])
    done = chain(Drop(where="id == 0")).run(batch)
    assert (done.origin, done.indices, done.subs) == (origin, [4, 8], [1, 0])
    split = chain(Each(default="two")).run(batch)
    assert (split.indices, split.subs) == ([4, 4, 4, 4, 8, 8], [0, 1, 2, 3, 0, 1])
    labelled = chain(AddFields(fields={"a": 1})).run(batch)
    assert (labelled.origin, labelled.indices, labelled.subs) == (origin, [4, 4, 8], [0, 1, 0])


def test_a_frame_that_only_gets_a_label_is_framed_anew_with_the_same_bytes() -> None:
    done = chain(AddFields(fields={"a": 1})).run(framed(raw(b"\xff", b"x")))
    assert done.payload == Payload.lines(b"\xff\nx\n")
    assert (done.labels, done.origin, done.indices) == ({"host": "h", "a": 1}, Origin(STREAM, 5), None)


def test_a_frame_that_cannot_be_taken_apart_is_set_aside() -> None:
    batch = framed(raw(b"x", b"y"), indices=[1])
    done = chain(Each()).run(batch)
    assert isinstance(batch.payload, Frame)
    assert done.payload == Payload.lines(b"")
    assert (done.dead_letters[0].processor, done.dead_letters[0].raw) == ("frame", batch.payload.raw)
    assert done.ranges == [SourceRange("edge", b"u" * 16, 9, 10, 2, 0, {}, 2)]
    assert chain(Each(), room=10).run(batch) is batch


def test_counts_of_several_ranges_go_to_their_own() -> None:
    batch = decoded({"id": 0}, {"id": 1, "do": "drop"}, {"id": 2, "do": "raise"}, {"id": 3}, {"id": 4, "do": "drop"})
    batch.ranges = [SourceRange("app", b"a", 0, 10, read=2), SourceRange("app", b"b", 0, 9, read=3)]
    done = chain(Drop(where="id == 0"), Each()).run(batch)
    assert done.ranges == [
        SourceRange("app", b"a", 0, 10, 2, 0, {"p0/filtered": 1, "p1/filtered": 1}),
        SourceRange("app", b"b", 0, 9, 3, 1, {"p1/filtered": 1}, 1),
    ]
    assert (done.dead_letters[0].generation, done.dead_letters[0].index) == (b"b", 0)


def test_a_failure_of_the_source_in_an_empty_batch_stays_counted() -> None:
    batch = raw()
    batch.ranges = [SourceRange("app", GENERATION, 0, 9, read=1, failed=1)]
    assert chain(Each(), ParseJson()).run(batch) is batch


def test_raw_records_of_several_lines_keep_their_format() -> None:
    batch = Batch("app", {}, Payload.sized([b"a\nb", b"drop", b""]), [SourceRange("app", b"", 0, 9)], 0)
    done = chain(Drop(where="message == 'drop'")).run(batch)
    assert done.payload == Payload.sized([b"a\nb", b""])
    assert records(chain(Each()).run(batch)) == [{"message": "a\nb", "seen": True}, {"message": "", "seen": True}]


def test_a_failure_in_a_batch_of_records_without_bytes_keeps_what_is_there() -> None:
    done = chain(Each()).run(Batch("app", {}, [{"id": 1, "do": "raise"}, {"id": 2}], [], 0))
    assert ids(done) == [2]
    assert done.dead_letters[0].raw == b'{"id":1,"do":"raise"}'


def test_a_record_that_a_condition_cannot_judge_in_time_fails_alone() -> None:
    hostile, where = "x" * 100 + "y", "matches(message, '^(x|xx)+$')"
    xs = [{"message": "xx", "a": 1}, {"message": "x", "a": 1}]
    rest = [{"message": "y"}]
    for processor, left in (
        (AddFields(fields={"a": 1}, where=where, on_error="dead_letter"), [xs[0], *rest, xs[1]]),
        (Drop(where=where), rest),
    ):
        done = run_batch(start_chain([processor]), ["xx", hostile, "y", "x"])
        (letter,) = done.dead_letters
        assert (letter.raw, letter.index) == (hostile.encode(), 1)
        assert "the pattern ^(x|xx)+$ was not done with 101 characters" in letter.error
        assert done.records == left
