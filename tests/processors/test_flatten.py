"""flatten."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.flatten import Flatten


class TestConformance(ProcessorConformance):
    """Everything."""

    lines = ({"a": {"b": {"c": 1}, "d": []}}, {"a": [{"b": 1}]}, {"a": {}}, {}, {"a": {"b": 1}, "a.b": 2})

    def make(self) -> Processor:
        """As a config would make it."""
        return Flatten()


def flat(record: Record, **settings: Any) -> Record:
    """What becomes of one record."""
    processor = Flatten(**settings)
    processor.setup()
    return processor.process(record)


def test_nested_fields_come_to_the_top() -> None:
    record = {"a": {"b": 1, "c": {"d": [1], "e": {}}}, "f": None}
    assert flat(record) == {"f": None, "a.b": 1, "a.c.d": [1], "a.c.e": {}}
    assert flat(record, separator="_") == {"f": None, "a_b": 1, "a_c_d": [1], "a_c_e": {}}


def test_only_the_named_objects_are_flattened() -> None:
    assert flat({"a": {"b": 1}, "c": {"d": 1}}, fields=["c", "x"]) == {"a": {"b": 1}, "c.d": 1}


def test_what_is_deeper_stays_an_object() -> None:
    assert flat({"a": {"b": {"c": 1}}}, depth=1) == {"a.b": {"c": 1}}


def test_lists_are_taken_up_only_if_it_says_so() -> None:
    record = {"a": [1, {"b": [2, []]}], "c": {"d": [3]}}
    assert flat(record) == {"a": [1, {"b": [2, []]}], "c.d": [3]}
    assert flat(record, lists=True) == {"a.0": 1, "a.1.b.0": 2, "a.1.b.1": [], "c.d.0": 3}


def test_where_names_collide_the_setting_decides(run_chain: RunChain) -> None:
    record = {"a": {"b": 1}, "a.b": 2}
    assert flat(record) == {"a.b": 2}
    assert flat(record, collisions="overwrite") == {"a.b": 1}
    result = run_chain(Flatten(collisions="error", on_error="keep"), [record])
    assert result.records == [{**record, "processor_error": "flatten: there would be two fields a.b"}]


def test_too_many_fields_are_an_error_of_the_record(run_chain: RunChain) -> None:
    result = run_chain(Flatten(max_fields=3), [{"a": {"b": 1, "c": 2, "d": 3, "e": 4}}, {"a": {"b": 1}}])
    assert (result.records, result.failed) == ([{"a.b": 1}], 1)
    assert "more than 3 fields" in result.dead_letters[0].error


names = st.text("abc", min_size=1, max_size=2)
objects = st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8)


@given(st.dictionaries(names, objects))
def test_every_value_is_found_under_its_path(record: dict[str, Any]) -> None:
    def paths(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {path: value}
        return {key: leaf for name in value for key, leaf in paths(value[name], f"{path}.{name}").items()}

    expected = {key: leaf for name in record for key, leaf in paths(record[name], name).items()}
    assert flat(record, depth=50) == expected


@pytest.mark.parametrize(
    ("settings", "problem"), [({"fields": []}, "fields is empty"), ({"fields": ["a.b"]}, "a.b is nested")]
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Flatten(**settings).setup()
