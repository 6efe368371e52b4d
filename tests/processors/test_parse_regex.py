"""parse_regex."""

import re

import pytest

from shipper import Duration, Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_regex import ParseRegex

ACCESS = re.compile(
    r'^(?P<client>\S+) \S+ (?P<user>\S+) \[(?P<at>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) [^"]*" '
    r"(?P<status>\d+) (?P<bytes>\S+)(?: (?P<seconds>\S+))?$"
)
LINE = '10.0.0.1 - ann [10/Oct/2000:13:55:36 -0700] "GET /a?b=\\"c HTTP/1.1" 200 2326 0.25'


def access(**settings: object) -> ParseRegex:
    """A parser of access logs."""
    types = {"status": "int", "bytes": "int", "seconds": "float"}
    return ParseRegex(pattern=ACCESS, **{"types": types, **settings})  # type: ignore[arg-type]


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = (LINE, "nothing of the kind", LINE.replace("2326", "-"), LINE.replace("2326", "x"), b"\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return access()


def test_groups_become_fields_of_their_types(run_chain: RunChain) -> None:
    assert run_chain(access(), [LINE]).records == [
        {
            "client": "10.0.0.1",
            "user": "ann",
            "at": "10/Oct/2000:13:55:36 -0700",
            "method": "GET",
            "path": '/a?b=\\"c',
            "status": 200,
            "bytes": 2326,
            "seconds": 0.25,
        }
    ]


def test_a_dash_and_a_group_that_took_no_part_are_null(run_chain: RunChain) -> None:
    (record,) = run_chain(access(), [LINE.replace("2326 0.25", "-")]).records
    assert (record["bytes"], record["seconds"]) == (None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("something else", "the pattern does not match"),
        (LINE.replace("2326", "many"), "bytes: many is not a whole number"),
        (LINE.replace("0.25", "soon"), "seconds: soon is not a number"),
        (LINE.replace("0.25", "nan"), "seconds: nan is not a number that JSON can hold"),
        (LINE.replace("0.25", "-inf"), "seconds: -inf is not a number that JSON can hold"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(run_chain: RunChain, line: str, reason: str) -> None:
    assert run_chain(access(), [line]).records == [{"message": line, "parse_error": f"parse_regex: {reason}"}]


def test_other_fields_stay_and_a_group_wins_over_them(run_chain: RunChain) -> None:
    parser = ParseRegex(pattern=re.compile(r"(?P<a>\d+)"), field="text")
    assert run_chain(parser, [{"text": "x 5 y", "a": 1, "b": 2}]).records == [{"a": "5", "b": 2}]


@pytest.mark.parametrize(
    ("pattern", "types", "problem"),
    [
        (r"(\d+)", {}, r"no named group: write \(\?P<name>"),
        (r"(?P<a>\d+)", {"b": "int"}, "no group of the pattern: b; there are a"),
    ],
)
def test_a_pattern_that_cannot_give_fields_is_a_config_error(pattern: str, types: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ParseRegex(pattern=re.compile(pattern), types=types).setup()  # type: ignore[arg-type]


def test_a_match_that_does_not_end_is_an_error_of_its_record_alone(run_chain: RunChain) -> None:
    hostile = "a" * 60 + "b"
    parser = ParseRegex(pattern=re.compile("^(?P<a>(a|aa)+)$"), pattern_deadline=Duration(0.02))
    first, second = run_chain(parser, [hostile, "aaa"]).records
    assert first["message"] == hostile
    assert re.match(r"parse_regex: the pattern .* was not done with 61 characters after 0\.02 s", first["parse_error"])
    assert second == {"a": "aaa"}


def test_a_line_that_is_long_changes_nothing_for_the_lines_beside_it(run_chain: RunChain) -> None:
    lines = [LINE, f"{'x' * 3000} {LINE}", LINE.replace("/a", "/b")]
    parser = {"pattern": re.compile(r'(?P<path>\S+) HTTP\S+" (?P<status>\d+)'), "types": {"status": "int"}}
    apart = [run_chain(ParseRegex(**parser), [line]).records[0] for line in lines]  # type: ignore[arg-type]
    assert run_chain(ParseRegex(**parser), lines).records == apart  # type: ignore[arg-type]
    assert [record["status"] for record in apart] == [200, 200, 200]


def test_a_field_may_stand_in_an_object(run_chain: RunChain) -> None:
    parser = ParseRegex(pattern=re.compile(r"(?P<n>\d+)"), field="a.text", types={"n": "int"})
    assert run_chain(parser, [{"a": {"text": "x 5", "b": 1}}]).records == [{"a": {"b": 1}, "n": 5}]
