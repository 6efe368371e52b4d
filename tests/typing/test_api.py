"""The types of the public names, as an author's type checker sees them: mypy reads this file, and it runs too."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

import shipper
from shipper import (
    ByteSize,
    Condition,
    Duration,
    OnError,
    Pattern,
    PatternTimeout,
    Processor,
    Record,
    SyslogParser,
    decode_json,
    decode_json_lines,
    decode_text,
    get_logger,
)
from shipper.testing import ChainResult, RunChain, run_batch, start_chain


class Tag(Processor):
    """Every method that an author may write, with its types."""

    field: str
    pattern: re.Pattern[str] = re.compile("x")
    size: ByteSize = ByteSize(10)
    wait: Duration = Duration(0.5)

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({self.field})

    @property
    def writes(self) -> frozenset[str]:
        return frozenset({"tag"})

    def setup(self) -> None:
        self.seen = 0

    def process(self, record: Record) -> Record:
        self.seen += 1
        return {**record, "tag": self.pattern.pattern}

    def snapshot(self) -> bytes:
        return b"%d" % self.seen

    def restore(self, state: bytes) -> None:
        self.seen = int(state)


def test_a_processor_is_made_with_its_settings_as_keywords() -> None:
    tag = Tag(field="message")
    assert_type(tag.field, str)
    assert_type(tag.size, ByteSize)
    assert_type(tag.where, str | None)
    assert_type(tag.on_error, OnError | None)
    assert_type(tag.labels, Mapping[str, Any])
    assert_type(tag.condition, Condition | None)
    assert_type(Processor().reads, frozenset[str] | None)
    assert_type(Processor().process_lines([]), list[dict[str, Any] | Exception] | None)
    assert_type(Processor().json_lines([]), list[bytes | Exception] | None)
    assert_type(Processor().suspects(b""), list[int] | None)
    assert_type(Processor().constants(), dict[str, Any] | None)
    result = run_batch(start_chain([tag]), ["a"])
    assert_type(result, ChainResult)
    assert_type(result.records, list[dict[str, Any]])
    assert result.records == [{"message": "a", "tag": "x"}]


def test_what_is_there_to_help_has_types() -> None:
    condition = Condition.parse("level == 'info'")
    assert_type(condition({}, {}), bool)
    assert_type(condition.mask([{}], {}), list[bool])
    assert_type(condition.fields, frozenset[str])
    pattern = Pattern("(?P<word>[a-z]+)")
    assert_type(pattern.search("a"), re.Match[str] | None)
    assert_type(pattern.finditer("a"), Iterator[re.Match[str]])
    assert_type(pattern.sub("b", "a"), str)
    assert_type(decode_json(b"{}"), dict[str, Any])
    assert_type(decode_json_lines([b"{}"]), list[dict[str, Any] | ValueError])
    assert_type(decode_text([b"a"]), tuple[list[str], int])
    get_logger("mine").debug("words", and_facts=1)
    assert issubclass(PatternTimeout, ValueError)
    assert callable(SyslogParser)


def test_the_fixture_has_a_type(run_chain: RunChain) -> None:
    assert_type(run_chain([Tag(field="a")], [b"a", "b"]), ChainResult)


def test_every_public_name_stands_here_and_both_packages_say_that_they_are_typed() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [name for name in shipper.__all__ if not re.search(rf"\b{name}\b", text.partition("\nclass ")[2])] == []
    root = Path(shipper.__path__[0])
    assert (root / "py.typed").exists()
    assert (root.parent / "processors" / "shipper_processors" / "py.typed").exists()
