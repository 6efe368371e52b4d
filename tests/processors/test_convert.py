"""convert."""

import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.convert import Convert

Kind = Literal["int", "float", "bool", "string"]


class TestConformance(ProcessorConformance):
    """One of each."""

    lines = (
        {"i": "1", "f": "0.5", "b": "yes", "n": {"s": 5}},
        {"i": "x"},
        {"i": 5, "f": 5, "b": 1, "n": {"s": None}},
        {"n": [1]},
        {"convert_error": "was there", "i": "-"},
        {},
    )

    def make(self) -> Processor:
        """As a config would make it."""
        return Convert(types={"i": "int", "f": "float", "b": "bool", "n.s": "string"})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "42", 42),
        ("int", " -42\n", -42),
        ("int", "+007", 7),
        ("int", "18446744073709551616", 2**64),
        ("int", 3.0, 3),
        ("int", 5, 5),
        ("float", "0.25", 0.25),
        ("float", "-1e3", -1000.0),
        ("float", ".5", 0.5),
        ("float", "5.", 5.0),
        ("float", 7, 7.0),
        ("bool", "YES", True),
        ("bool", "off", False),
        ("bool", "0", False),
        ("bool", 1, True),
        ("bool", 0.0, False),
        ("bool", False, False),
        ("string", "x", "x"),
        ("string", 404, "404"),
        ("string", True, "true"),
        ("string", 1.5, "1.5"),
        ("string", {"a": [1, None]}, '{"a":[1,null]}'),
        ("string", 2**70, str(2**70)),
    ],
)
def test_a_value_is_converted(run_chain: RunChain, kind: Kind, value: Any, expected: Any) -> None:
    (record,) = run_chain(Convert(types={"v": kind}), [{"v": value}]).records
    assert record == {"v": expected}
    assert type(record["v"]) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("int", "x", "x is not a whole number"),
        ("int", "1_000", "1_000 is not a whole number"),
        ("int", "٣", "٣ is not a whole number"),
        ("int", "0x10", "0x10 is not a whole number"),
        ("int", "", " is not a whole number"),
        ("int", 1.5, "1.5 is not a whole number"),
        ("int", True, "true is not a whole number"),
        ("int", "9" * 4301, "9" * 40 + "... is not a whole number"),
        ("int", {"a": 1}, "an object is not a whole number"),
        ("float", "nan", "nan is not a number"),
        ("float", "inf", "inf is not a number"),
        ("float", "1e999", "1e999 is not a number that JSON can hold"),
        ("float", 10**400, "1" + "0" * 39 + "... is not a number"),
        ("float", [], "a list is not a number"),
        ("bool", "maybe", "maybe is neither true nor false"),
        ("bool", 2, "2 is neither true nor false"),
        ("bool", [1], "a list is neither true nor false"),
    ],
)
def test_what_cannot_be_converted_stays_with_the_reason(
    run_chain: RunChain, kind: Kind, value: Any, reason: str
) -> None:
    (record,) = run_chain(Convert(types={"v": kind}), [{"v": value}]).records
    assert record == {"v": value, "convert_error": f"convert: v: {reason}"}


def test_one_that_cannot_be_converted_leaves_all_as_they_were(run_chain: RunChain) -> None:
    convert = Convert(types={"a": "int", "b.c": "int"})
    (record,) = run_chain(convert, [{"a": "1", "b": {"c": "?"}}]).records
    assert record == {"a": "1", "b": {"c": "?"}, "convert_error": "convert: b.c: ? is not a whole number"}


@pytest.mark.parametrize("kind", ["int", "float", "bool", "string"])
def test_null_and_what_is_not_there_are_left_alone(run_chain: RunChain, kind: Kind) -> None:
    records: list[Record] = [{"v": None}, {}, {"n": {"v": None}}, {"n": 5}]
    assert run_chain(Convert(types={"v": kind, "n.v": kind}), list(records)).records == records


@pytest.mark.parametrize(("types", "problem"), [({}, "types is empty"), ({"a.": "int"}, "'a.' is not a field's name")])
def test_settings_that_cannot_be_used_are_config_errors(types: dict[str, Kind], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Convert(types=types).setup()


def test_only_outermost_names_are_declared() -> None:
    convert = Convert(types={"a.b": "int", "c": "string"})
    convert.setup()
    assert (convert.reads, convert.writes) == (frozenset("ac"), frozenset(("a", "c", "convert_error")))


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_what_becomes_text_comes_back(value: float) -> None:
    kind: Kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    chain = start_chain([Convert(types={"v": "string"}), Convert(types={"v": kind})])
    (record,) = run_batch(chain, [{"v": value}]).records
    assert record["v"] == value
    assert type(record["v"]) is type(value)


@given(st.text(max_size=8) | st.from_regex(r"[+-]?[0-9.e]{1,6}", fullmatch=True), st.sampled_from(["int", "float"]))
def test_any_text_is_a_number_or_an_error(text: str, kind: Kind) -> None:
    (record,) = run_batch(start_chain([Convert(types={"v": kind})]), [{"v": text}]).records
    if "convert_error" in record:
        assert record["v"] == text
    else:
        assert math.isclose(record["v"], float(text))
        assert json.loads(json.dumps(record)) == record
