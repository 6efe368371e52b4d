"""rename and copy."""

from typing import Any

import pytest

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.copy import Copy
from shipper_processors.rename import Rename

RECORDS: tuple[Record, ...] = (
    {"a": 1, "b": 2},
    {"a": {"x": 1}, "n": {"m": None}},
    {"n": {"m": [1]}, "c": 5},
    {"n": 1},
    {"a": None, "c": {"d": 1}},
    {},
)


class TestConformanceOfRename(ProcessorConformance):
    """Rename."""

    lines = RECORDS

    def make(self) -> Processor:
        """As a config would make it."""
        return Rename(fields={"a": "c", "n.m": "o.p"})


class TestConformanceOfCopy(ProcessorConformance):
    """Copy."""

    lines = RECORDS

    def make(self) -> Processor:
        """As a config would make it."""
        return Copy(fields={"a": "c", "n.m": "o.p"}, overwrite=True)


@pytest.mark.parametrize(
    ("fields", "record", "expected"),
    [
        ({"lvl": "level"}, {"lvl": "info", "x": 1}, {"level": "info", "x": 1}),
        ({"lvl": "level"}, {"x": 1}, {"x": 1}),
        ({"lvl": "level"}, {"lvl": None}, {"level": None}),
        ({"http.status": "status"}, {"http": {"status": 200, "m": 1}}, {"http": {"m": 1}, "status": 200}),
        ({"http.status": "status"}, {"http": "200"}, {"http": "200"}),
        ({"field('user.id')": "user.id"}, {"user.id": 7}, {"user": {"id": 7}}),
        ({"a": "a.b"}, {"a": 1}, {"a": {"b": 1}}),
        ({"a": "b", "b": "c"}, {"a": 1}, {"c": 1}),
        ({"a": "x", "b": "x"}, {"b": 2}, {"x": 2}),
    ],
)
def test_a_field_gets_its_new_name(
    run_chain: RunChain, fields: dict[str, str], record: Record, expected: Record
) -> None:
    assert run_chain(Rename(fields=fields), [record]).records == [expected]


@pytest.mark.parametrize("processor", [Rename, Copy])
@pytest.mark.parametrize(
    ("fields", "record"),
    [
        ({"a": "b"}, {"a": 1, "b": None}),
        ({"a": "b.c"}, {"a": 1, "b": "text"}),
        ({"a": "b.c.d"}, {"a": {"x": 1}, "b": {"c": [1]}}),
    ],
)
def test_what_is_there_already_stays_and_so_does_the_field(
    run_chain: RunChain, processor: type[Rename | Copy], fields: dict[str, str], record: Record
) -> None:
    assert run_chain(processor(fields=fields), [record]).records == [record]


@pytest.mark.parametrize(
    ("fields", "record", "renamed", "copied"),
    [
        ({"a": "b"}, {"a": 1, "b": 2}, {"b": 1}, {"a": 1, "b": 1}),
        ({"a": "b.c"}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ({"a.b": "a"}, {"a": {"b": {"b": 1}}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": "a.b"}, {"a": {"b": 1}}, {"a": {"b": {"b": 1}}}, {"a": {"b": {"b": 1}}}),
    ],
)
def test_overwrite_replaces_what_is_there(
    run_chain: RunChain, fields: dict[str, str], record: Record, renamed: Record, copied: Record
) -> None:
    assert run_chain(Rename(fields=fields, overwrite=True), [record]).records == [renamed]
    assert run_chain(Copy(fields=fields, overwrite=True), [record]).records == [copied]


def test_a_copy_is_one_of_its_own(run_chain: RunChain) -> None:
    chain = [Copy(fields={"a": "b"}), Rename(fields={"b.x": "b.y"})]
    assert run_chain(chain, [{"a": {"x": [1]}}]).records == [{"a": {"x": [1]}, "b": {"y": [1]}}]


def test_labels_keep_their_names(run_chain: RunChain) -> None:
    result = run_chain([Rename(fields={"host": "node"}), Copy(fields={"host": "node"})], [{"a": 1}])
    assert (result.records, result.labels) == ([{"a": 1}], {"host": "test"})


@pytest.mark.parametrize("processor", [Rename, Copy])
@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "fields is empty: say what to"),
        ({"a..b": "c"}, "'a..b' is not a field's name"),
        ({"a": "field(1)"}, "is not a field's name"),
        ({"a.b": "field('a', 'b')"}, "a.b stands on both sides"),
    ],
)
def test_names_that_cannot_be_used_are_config_errors(
    processor: type[Rename | Copy], fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        processor(fields=fields).setup()


def test_only_outermost_names_are_declared() -> None:
    rename, copy = Rename(fields={"a.b": "c.d"}), Copy(fields={"a.b": "c.d"})
    for processor in (rename, copy):
        processor.setup()
        assert processor.reads == frozenset("ac")
    assert (rename.writes, copy.writes) == (frozenset("ac"), frozenset("c"))
