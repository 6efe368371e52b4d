"""parse_csv."""

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_csv import ParseCsv


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = ('1,"x, y",z', "a,b,c", "1,2", "x,y,z", '1,"open,x', b"1,\xff,2\r")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseCsv(columns=["a", "b", "c"], types={"a": "int"})


class TestConformanceOfAnotherField(ProcessorConformance):
    """On a field of records, one column left out."""

    lines = ({"row": "1;2", "x": 1}, {"row": "1"}, {"row": 5}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseCsv(columns=["", "b"], separator=";", field="row")


def test_columns_take_the_place_of_the_text_by_their_types(run_chain: RunChain) -> None:
    parser = ParseCsv(columns=["at", "", "user", "took"], types={"took": "float"})
    assert run_chain(parser, ['1,x,"Ann ""B."", C",0.5', "2,,,-\r"]).records == [
        {"at": "1", "user": 'Ann "B.", C', "took": 0.5},
        {"at": "2", "user": "", "took": None},
    ]


def test_a_row_of_several_lines_is_one_record(run_chain: RunChain) -> None:
    assert run_chain(ParseCsv(columns=["a", "b"]), ['1,"two\nlines"', "3,4"]).records == [
        {"a": "1", "b": "two\nlines"},
        {"a": "3", "b": "4"},
    ]


def test_the_header_is_dropped_and_counted_unless_it_is_to_be_parsed(run_chain: RunChain) -> None:
    result = run_chain(ParseCsv(columns=["a", "b"]), ["a,b", "1,2", '"a",b', "x"])
    assert result.dropped == {"parse_csv/filtered": 2}
    assert [record.get("a") for record in result.records] == ["1", None]
    assert run_chain(ParseCsv(columns=["a", "b"], header="parse"), ["a,b"]).records == [{"a": "a", "b": "b"}]


def test_other_separators_and_quotes(run_chain: RunChain) -> None:
    parser = ParseCsv(columns=["a", "b"], separator="\t", quote="'")
    assert run_chain(parser, ["x, y\t'q\tr'"]).records == [{"a": "x, y", "b": "q\tr"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1", "there are 1 columns, not 2"),
        ("1,2,3", "there are 3 columns, not 2"),
        ('1,"2', "it is not CSV: unexpected end of data"),
        ('"1"x,2', "it is not CSV: ',' expected after '\"'"),
        ("1,x", "b: x is not a whole number"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(run_chain: RunChain, line: str, reason: str) -> None:
    assert run_chain(ParseCsv(columns=["a", "b"], types={"b": "int"}), [line]).records == [
        {"message": line, "parse_error": f"parse_csv: {reason}"}
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"columns": []}, "columns is empty; write the name of each column"),
        ({"columns": ["a", "b", "a"]}, "columns names a twice"),
        ({"columns": ["a"], "separator": ";;"}, "separator is ';;', not one character"),
        ({"columns": ["a"], "quote": "\n"}, "quote is '\\n', not one character"),
        ({"columns": ["a"], "separator": "'", "quote": "'"}, "separator and quote are the same character"),
        ({"columns": ["a"], "types": {"b": "int"}}, "types names what is no column: b; there are a"),
    ],
)
def test_settings_that_cannot_be_used_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        ParseCsv(**settings).setup()


@given(st.lists(st.text('ab,"\n \r', max_size=6), min_size=1, max_size=5))
def test_what_was_written_as_csv_comes_back(values: list[str]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r", quoting=csv.QUOTE_ALL).writerow(values)
    parser = ParseCsv(columns=[f"c{number}" for number in range(len(values))])
    parser.setup()
    assert list(parser.parse(buffer.getvalue()).values()) == values


@given(st.text('ab,"\n\r\0'))
def test_texts_only_raise_value_errors(text: str) -> None:
    parser = ParseCsv(columns=["a", "b"])
    parser.setup()
    try:
        assert len(parser.parse(text)) == 2
    except ValueError as error:
        assert str(error)  # noqa: PT017 - which it is does not matter here


def test_a_value_in_quotes_may_be_as_long_as_the_line() -> None:
    before = csv.field_size_limit(131_072)  # Python's own, which another test may have raised
    try:
        parser = ParseCsv(columns=["a", "b"])
        parser.setup()
        assert parser.parse(f'"{"x" * 2_000_000}",2') == {"a": "x" * 2_000_000, "b": "2"}
    finally:
        csv.field_size_limit(before)
