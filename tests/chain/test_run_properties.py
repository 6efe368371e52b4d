"""The engine against the plainest engine that there could be."""

import re
from collections import Counter
from traceback import extract_tb
from typing import Any, ClassVar, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Batch, Format, Payload, Record, SourceRange
from shipper.chain.expression import Condition
from shipper.chain.run import Chain
from shipper.processor import OnError, Processor
from shipper_processors.drop import Drop
from shipper_processors.keep import Keep
from shipper_processors.parse_json import ParseJson
from shipper_processors.parse_regex import ParseRegex


class Spec(NamedTuple):
    """A processor of a config."""

    name: str
    processor: Processor


def act(record: Record, key: str) -> Any:
    """What a record asks for under a key."""
    match record.get(key):
        case "raise":
            raise RuntimeError("asked for")
        case "drop":
            return []
        case "two":
            return [record | {"part": 1}, record | {"part": 2}]
        case _:
            return [record | {key + "_done": True}]


class ByRecord(Processor):
    """One at a time."""

    key: str

    def process(self, record: Record) -> Record | list[Record] | None:
        """Do what it asks for."""
        made = act(record, self.key)
        return made[0] if len(made) == 1 else made or None


class ByBatch(Processor):
    """A whole batch at once."""

    key: str

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Do what each asks for."""
        return [made for record in records for made in act(record, self.key)]


class ByHalves(ByBatch):
    """One that changes records in place."""

    default_on_error: ClassVar[OnError] = "keep"

    def process_batch(self, records: list[Record]) -> list[Record]:
        """In place; it bears repeating."""
        for record in records:
            if record.get(self.key) == "raise":
                raise RuntimeError("asked for")
            record[self.key + "_done"] = True
        return [record for record in records if record.get(self.key) != "drop"]


def plainly(processors: list[Processor], lines: list[bytes]) -> tuple[list[Record], Counter[str], list[int]]:
    """Records that go on, drops by reason, and the indices of those that failed."""
    current: list[tuple[int, Record]] = [
        (n, {"message": line.decode("utf-8", "replace")}) for n, line in enumerate(lines)
    ]
    dropped: Counter[str] = Counter()
    failed: list[int] = []
    for number, processor in enumerate(processors):
        processor.setup()
        after: list[tuple[int, Record]] = []
        condition = Condition.parse(processor.where) if processor.where else None
        for index, record in current:
            met = condition is None or condition(record, {})
            if isinstance(processor, (Drop, Keep)):
                made = [record] if met is isinstance(processor, Keep) else []
            elif not met:
                after.append((index, record))
                continue
            else:
                try:
                    made = one(processor, record)
                except (RuntimeError, ValueError) as error:
                    on_error = processor.on_error or processor.default_on_error
                    if on_error == "keep":
                        line = extract_tb(error.__traceback__)[-1].lineno
                        place = f" (test_run_properties.py:{line})"
                        text = str(error) if isinstance(error, ValueError) else f"RuntimeError: {error}{place}"
                        after.append((index, {processor.error_field: f"p{number}: {text}"} | record))
                    elif on_error == "drop":
                        dropped[f"p{number}/error"] += 1
                    else:
                        failed.append(index)
                    continue
            after += [(index, each) for each in made]
            dropped[f"p{number}/filtered"] += not made
        current = after
    return [record for _, record in current], +dropped, sorted(failed)


def one(processor: Processor, record: Record) -> list[Record]:
    """What becomes of one record."""
    if isinstance(processor, ParseJson):
        return [processor.process(dict(record))]
    if isinstance(processor, ByHalves):
        return processor.process_batch([dict(record)])
    assert isinstance(processor, (ByRecord, ByBatch))
    made = act(record, processor.key)
    assert isinstance(made, list)
    return made


wheres = st.sampled_from([None, "n > 2", "a == 'raise' or n == 1", "exists(parse_error)", "true", "false"])
on_errors = st.sampled_from([None, "keep", "drop", "dead_letter"])
chosen = st.sampled_from(["n > 2", "b == 'drop'", "contains(message, 'x')"])
processors = st.lists(
    st.builds(ParseJson, where=wheres, on_error=on_errors)
    | st.builds(ByRecord, key=st.sampled_from("ab"), where=wheres, on_error=on_errors)
    | st.builds(ByHalves, key=st.sampled_from("ab"), where=wheres, on_error=on_errors)
    | st.builds(Drop, where=chosen)
    | st.builds(Keep, where=chosen),
    max_size=4,
)
wishes = st.sampled_from(["raise", "drop", "two", "fine", None])
objects = st.fixed_dictionaries({"n": st.integers(0, 4)}, optional={"a": wishes, "b": wishes, "message": st.just("x")})
lines = st.lists(objects.map(msgspec.json.encode) | st.sampled_from([b"", b"x", b"\xff", b"{}{}", b"[]"]), max_size=6)
joined = st.lists(
    objects.map(lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2))
    | st.sampled_from(
        [b"", b"x\n", b"\n", b"a\n\tb", b"{}\n{}", b"\n{}\n", b"\xc2\n\xff", b"\xc2", b"x" * 0x80 + b"\xe2\x80"]
    ),
    max_size=6,
)


def run(found: list[Processor], given_lines: list[bytes]) -> Batch:
    """The engine's way."""
    payload = Payload.lines(b"".join(line + b"\n" for line in given_lines))
    if payload.count > len(given_lines):
        payload = Payload.sized(given_lines)
    span = SourceRange("app", b"", 0, len(payload.data), read=payload.count, kept=payload.count)
    specs = [Spec(f"p{n}", processor) for n, processor in enumerate(found)]
    return Chain(specs, "app", lambda: 1 << 30).run(Batch("app", {}, payload, [span], 0))


def shown(batch: Batch) -> list[Record]:
    """The records of a result."""
    assert isinstance(batch.payload, Payload)
    if batch.payload.format is not Format.NDJSON:
        return [{"message": line.decode("utf-8", "replace")} for line in batch.payload.raw()]
    return [msgspec.json.decode(line) for line in batch.payload.raw()]


@given(processors, lines | joined)
def test_a_chain_equals_the_plain_way(found: list[Processor], given_lines: list[bytes]) -> None:
    expected, dropped, failed = plainly(found, given_lines)
    done = run(found, given_lines)
    assert shown(done) == expected
    (span,) = done.ranges
    assert (span.read, span.kept, span.failed) == (len(given_lines), len(expected), len(failed))
    assert span.dropped == dropped
    assert sorted(letter.index for letter in done.dead_letters) == failed
    assert all(letter.raw == given_lines[letter.index] for letter in done.dead_letters)


@given(st.lists(objects.map(msgspec.json.encode), min_size=1, max_size=6), wheres)
def test_a_batch_at_once_equals_one_record_after_the_other(given_lines: list[bytes], where: str | None) -> None:
    """Splits and drops in one step leave it open how many were dropped, but not which records go on."""
    expected, _, failed = plainly([ParseJson(), ByBatch(key="a", where=where)], given_lines)
    done = run([ParseJson(), ByBatch(key="a", where=where)], given_lines)
    assert len(done.dead_letters) == len(failed)
    assert sorted(map(msgspec.json.encode, shown(done))) == sorted(map(msgspec.json.encode, expected))


@given(joined, st.sampled_from([ParseJson(), ParseRegex(pattern=re.compile(r"(?P<a>\w+)\s+(?P<b>\S)"))]))
def test_joined_records_parsed_at_once_equal_joined_records_parsed_one_by_one(
    records: list[bytes], parser: Processor
) -> None:
    """Newlines inside make no other record of one, and invalid text is counted by record."""
    results = []
    for where in (None, "true"):
        payload = Payload.sized(records)
        span = SourceRange("app", b"", 0, len(payload.data), read=payload.count, kept=payload.count)
        chain = Chain([Spec("p", msgspec.structs.replace(parser, where=where))], "app", lambda: 1 << 30)
        done = chain.run(Batch("app", {}, payload, [span], 0))
        results.append((shown(done), done.ranges, chain.invalid_utf8, chain.take_errors()))
    assert results[0] == results[1]
