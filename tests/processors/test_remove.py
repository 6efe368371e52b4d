"""remove."""

import pytest

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.remove import Remove


class TestConformance(ProcessorConformance):
    """Names and patterns inside a field."""

    lines = ({"a": 1, "b": 2}, {"b": {"x": 1, "y": 2, "z": {"x": 1}}}, {"b": None}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return Remove(fields=["a", "b.x*", "b.*.x"])


class TestConformanceOfPatterns(ProcessorConformance):
    """Patterns of outermost names."""

    lines = ({"a": 1, "b": 2}, {"ab": {"x": 1}}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return Remove(fields=["a*"])


@pytest.mark.parametrize(
    ("fields", "record", "expected"),
    [
        (["a", "b"], {"a": 1, "c": 2}, {"c": 2}),
        (["http.cookie"], {"http": {"cookie": "x", "m": 1}}, {"http": {"m": 1}}),
        (["http.cookie"], {"http": {"cookie": "x"}}, {"http": {}}),
        (["http.cookie"], {"http": ["cookie"], "cookie": 1}, {"http": ["cookie"], "cookie": 1}),
        (["field('a.b')"], {"a.b": 1, "a": {"b": 2}}, {"a": {"b": 2}}),
        (["debug_*"], {"debug_a": 1, "debug_": 2, "debug": 3, "a_debug_b": 4}, {"debug": 3, "a_debug_b": 4}),
        (["?"], {"a": 1, "ab": 2, "": 3}, {"ab": 2, "": 3}),
        (["k.*"], {"k": {"a": 1, "b": {"c": 2}}, "l": 1}, {"k": {}, "l": 1}),
        (["*.id"], {"a": {"id": 1, "x": 2}, "id": 3, "b": "id"}, {"a": {"x": 2}, "id": 3, "b": "id"}),
        (["field('*')"], {"*": 1, "a": 2}, {"a": 2}),
        (["[ab]*"], {"[ab]c": 1, "a": 2}, {"a": 2}),
    ],
)
def test_fields_are_removed(run_chain: RunChain, fields: list[str], record: Record, expected: Record) -> None:
    assert run_chain(Remove(fields=fields), [record]).records == [expected]


def test_labels_stay(run_chain: RunChain) -> None:
    result = run_chain(Remove(fields=["host", "*"]), [{"host": 1}])
    assert (result.records, result.labels) == ([{}], {"host": "test"})


@pytest.mark.parametrize(("fields", "problem"), [([], "fields is empty"), (["a", ""], "'' is not a field's name")])
def test_names_that_cannot_be_used_are_config_errors(fields: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Remove(fields=fields).setup()


@pytest.mark.parametrize(
    ("fields", "declared"), [(["a", "b.c", "d.e*", "field('f.g')"], {"a", "b", "d", "f.g"}), (["a", "b*"], None)]
)
def test_names_are_declared_unless_a_pattern_stands_for_them(fields: list[str], declared: set[str] | None) -> None:
    remove = Remove(fields=fields)
    remove.setup()
    assert remove.reads == remove.writes == declared
