"""split."""

from typing import Any

import pytest

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.redact import Redact
from shipper_processors.split import Split


class TestConformance(ProcessorConformance):
    """On text of raw lines."""

    lines = ("a;b", "", ";", "a", b"\xff;;b")

    def make(self) -> Processor:
        """As a config would make it."""
        return Split(field="message", separator=";")


class TestConformanceOfLists(ProcessorConformance):
    """On nested lists."""

    lines = ({"a": {"b": [1, {"c": 2}]}, "n": 1}, {"a": 5}, {"a": {"b": []}}, {"a": {"b": [[1]]}})

    def make(self) -> Processor:
        """As a config would make it."""
        return Split(field="a.b", into="item", merge=True)


def test_each_item_of_a_list_becomes_a_record_with_all_other_fields(run_chain: RunChain) -> None:
    result = run_chain(Split(field="events"), [{"host": "a", "events": [1, {"x": 2}, None]}, {"n": 1}])
    assert result.records == [
        {"host": "a", "events": 1},
        {"host": "a", "events": {"x": 2}},
        {"host": "a", "events": None},
        {"n": 1},
    ]
    assert (result.dropped, result.failed, result.batch.payload.count) == ({}, 0, 4)  # type: ignore[union-attr]


def test_each_part_of_a_text_becomes_a_record(run_chain: RunChain) -> None:
    assert [r["message"] for r in run_chain(Split(field="message"), ["a\nb\n\nc\n"]).records] == ["a", "b", "c"]
    assert run_chain(Split(field="message", separator=", "), ["a, b", "c"]).records == [
        {"message": "a"},
        {"message": "b"},
        {"message": "c"},
    ]


@pytest.mark.parametrize("record", [{"a": 5}, {"a": None}, {"a": {}}, {"a": []}, {"a": ""}, {"a": "\n\n"}, {"b": [1]}])
def test_what_has_no_items_goes_on_as_it_is(run_chain: RunChain, record: Any) -> None:
    assert run_chain(Split(field="a"), [record]).records == [record]


def test_an_item_may_go_elsewhere_and_objects_may_be_merged(run_chain: RunChain) -> None:
    record: Any = {"a": {"list": [{"n": 1, "m": 2}, 5], "k": 0}, "n": 0}
    assert run_chain(Split(field="a.list", into="b.item"), [record]).records == [
        {"a": {"k": 0}, "n": 0, "b": {"item": {"n": 1, "m": 2}}},
        {"a": {"k": 0}, "n": 0, "b": {"item": 5}},
    ]
    assert run_chain(Split(field="a.list", into="item", merge=True), [record]).records == [
        {"a": {"k": 0}, "n": 1, "m": 2},
        {"a": {"k": 0}, "n": 0, "item": 5},
    ]


def test_records_made_of_one_share_nothing(run_chain: RunChain) -> None:
    key = Redact(find=["emails"], action="hash", key="0123456789abcdef")
    chain: list[Processor] = [Split(field="items"), key]
    first, second = run_chain(chain, [{"items": [1, 2], "to": {"mail": ["ann@example.com"]}}]).records
    assert first["to"] == second["to"] != {"mail": ["ann@example.com"]}
    split = Split(field="items")
    split.setup()
    made = split.process({"items": [1, 2], "to": {"mail": ["x"]}})
    assert isinstance(made, list)
    made[0]["to"]["mail"].append("y")
    assert made[1]["to"] == {"mail": ["x"]}


def test_too_many_items_are_an_error_of_the_record(run_chain: RunChain) -> None:
    result = run_chain(Split(field="a", max_items=2), [{"a": [1, 2, 3]}, {"a": [1, 2]}])
    assert (len(result.records), result.failed) == (2, 1)
    assert "more than 2 records; see max_items" in result.dead_letters[0].error


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"separator": ""}, "separator is empty"), ({"field": ""}, "not a field's name"), ({"into": "."}, "not a field")],
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Split(**({"field": "a"} | settings)).setup()
