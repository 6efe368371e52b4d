"""parse_json."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor
from shipper.testing import Line, ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.parse_json import ParseJson


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = ('{"a": 1, "message": "x"}', "not json", '{"level":"info"}', "", "{}", b'{"a":"\xff"}')

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseJson()


class TestConformanceOfAnotherField(ProcessorConformance):
    """On a field of records."""

    lines = ({"payload": '{"a":1}', "b": 2}, {"payload": "x"}, {"payload": 5}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseJson(field="payload")


def test_the_fields_of_the_object_take_the_place_of_the_line(run_chain: RunChain) -> None:
    assert run_chain(ParseJson(), ['{"level":"info","n":[1,{"a":null}]}']).records == [
        {"level": "info", "n": [1, {"a": None}]}
    ]


def test_a_line_that_is_no_object_goes_on_with_the_reason(run_chain: RunChain) -> None:
    result = run_chain(ParseJson(), ["\tat com.example.Main(Main.java:5)", "[1]", '{"a":1}{"b":2}', ""])
    assert result.records == [
        {
            "message": "\tat com.example.Main(Main.java:5)",
            "parse_error": "parse_json: JSON is malformed: invalid character (byte 1)",
        },
        {"message": "[1]", "parse_error": "parse_json: Expected `object`, got `array`"},
        {"message": '{"a":1}{"b":2}', "parse_error": "parse_json: JSON is malformed: trailing characters (byte 8)"},
        {"message": "", "parse_error": "parse_json: the JSON ends too early"},
    ]
    assert result.failed == 0


def test_integers_of_any_size_keep_their_digits(run_chain: RunChain) -> None:
    assert run_chain(ParseJson(), ['{"n":18446744073709551616,"m":-9223372036854775809}']).batch.payload.data == (  # type: ignore[union-attr]
        b'{"n":18446744073709551616,"m":-9223372036854775809}\n'
    )


def test_invalid_text_is_replaced_and_the_line_is_parsed(run_chain: RunChain) -> None:
    assert run_chain(ParseJson(), [b'{"name":"J\xfcrgen"}']).records == [{"name": "J\ufffdrgen"}]


def test_other_fields_stay_and_the_object_wins_over_them(run_chain: RunChain) -> None:
    record = {"payload": '{"a":1,"b":2}', "b": 0, "c": 3}
    assert run_chain(ParseJson(field="payload"), [record]).records == [{"b": 2, "c": 3, "a": 1}]


def test_the_field_may_be_inside_another(run_chain: RunChain) -> None:
    records: list[Line] = [{"log": {"text": '{"a":1}', "n": 2}}, {"log": {"n": 2}}]
    assert run_chain(ParseJson(field="log.text"), records).records == [
        {"log": {"n": 2}, "a": 1},
        {"log": {"n": 2}, "parse_error": "parse_json: the field log.text is missing"},
    ]


@pytest.mark.parametrize("value", [None, 5, ["{}"], {"a": 1}])
def test_a_field_that_is_not_text_is_left_alone_with_the_reason(run_chain: RunChain, value: object) -> None:
    (record,) = run_chain(ParseJson(field="payload"), [{"payload": value}]).records
    assert record == {"payload": value, "parse_error": "parse_json: the field payload is not text"}


def test_a_record_of_several_lines_is_parsed_as_one(run_chain: RunChain) -> None:
    assert run_chain(ParseJson(), ['{\n "a":\n 1}\n', "{}"]).records == [{"a": 1}, {}]


def test_on_error_drop_counts_the_line(run_chain: RunChain) -> None:
    result = run_chain(ParseJson(on_error="drop"), ["x", "{}"])
    assert (result.records, result.dropped) == ([{}], {"parse_json/error": 1})


pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', ":", ",", "\\", "a", "1", "-", "1e999", "null", '"a":', "{}", '{"a":1}', " ", "\r", "\t"]
)
lines = st.lists(st.lists(pieces, max_size=6).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=6))


@given(lines.map(lambda found: [line.replace(b"\n", b"") for line in found]))
def test_parsing_lines_at_once_equals_parsing_each(found: list[bytes]) -> None:
    at_once = run_batch(start_chain([ParseJson()]), found)
    singly = run_batch(start_chain([ParseJson(where="true")]), found)
    assert at_once.records == singly.records
    assert len(at_once.records) == len(found)
