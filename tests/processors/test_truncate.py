"""truncate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import ByteSize, Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.truncate import Truncate


class TestConformance(ProcessorConformance):
    """All text of raw lines."""

    lines = ("short", "a text that is too long", "\u00e9" * 20, b"\xff" * 20)

    def make(self) -> Processor:
        """As a config would make it."""
        return Truncate(max_bytes=ByteSize(10))


class TestConformanceOfFields(ProcessorConformance):
    """Some fields."""

    lines = ({"a": "x" * 20, "b": "x" * 20}, {"c": {"d": ["x" * 20]}}, {"c": {"d": 5}}, {"a": None})

    def make(self) -> Processor:
        """As a config would make it."""
        return Truncate(max_characters=10, fields=["a", "c.d"], marked_field="cut")


def truncated(text: str, **settings: Any) -> str:
    """What becomes of one text."""
    processor = Truncate(**settings)
    processor.setup()
    return str(processor.process({"x": text})["x"])


def test_a_long_text_is_cut_and_marked_within_the_limit() -> None:
    assert truncated("0123456789", max_bytes=ByteSize(10)) == "0123456789"
    assert truncated("0123456789a", max_bytes=ByteSize(10)) == "0123456\u2026"
    assert truncated("0123456789a", max_bytes=ByteSize(10), mark="") == "0123456789"
    assert truncated("0123456789a", max_characters=10, mark=" ...") == "012345 ..."


def test_no_character_is_cut_in_half() -> None:
    assert truncated("a\u00e9\u00e9\u00e9", max_bytes=ByteSize(4), mark="") == "a\u00e9"
    assert truncated("\U0001f98a\U0001f98a", max_bytes=ByteSize(7), mark="") == "\U0001f98a"
    assert truncated("\U0001f98a\U0001f98a", max_bytes=ByteSize(3), mark="") == ""


texts = st.text(st.characters(exclude_categories=[]), max_size=30)


@given(texts, st.integers(4, 40), st.integers(2, 20), st.sampled_from(["", "\u2026", ".."]))
def test_the_result_is_within_both_limits_and_begins_as_the_text_does(
    text: str, size: int, most: int, mark: str
) -> None:
    if most <= len(mark):
        return
    cut = truncated(text, max_bytes=ByteSize(size), max_characters=most, mark=mark)
    assert len(cut) <= most
    assert len(cut.encode("utf-8", "surrogatepass")) <= size
    assert cut == text or (cut.endswith(mark) and text.startswith(cut[: len(cut) - len(mark)]))
    if len(text) <= most and len(text.encode("utf-8", "surrogatepass")) <= size:
        assert cut == text


def test_text_is_cut_at_any_depth_or_only_in_some_fields(run_chain: RunChain) -> None:
    record: Any = {"a": "long text", "b": {"c": ["long text", 5, {"d": "short"}]}, "long name": 1}
    cut: Any = {"a": "long\u2026", "b": {"c": ["long\u2026", 5, {"d": "short"}]}, "long name": 1}
    assert run_chain(Truncate(max_characters=5), [record]).records == [cut]
    some = run_chain(Truncate(max_characters=5, fields=["b.c", "x"], marked_field="cut"), [record, {"a": "long text"}])
    assert some.records == [{**cut, "a": "long text", "cut": True}, {"a": "long text"}]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "there is no limit"),
        ({"max_bytes": ByteSize(3)}, "a limit of 3 leaves no text"),
        ({"max_characters": 3, "mark": "..."}, "a limit of 3 leaves no text"),
        ({"max_characters": 9, "marked_field": "a.b"}, "marked_field is a.b, inside a"),
        ({"max_characters": 9, "fields": []}, "fields is empty"),
    ],
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Truncate(**settings).setup()
