"""parse_kv."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_kv import ParseKv


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = ("a=1 b=\"x y\" c='z' word", "nothing of the kind", "a=1 a=2 a=3", "", b"a=\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseKv()


class TestConformanceInto(ProcessorConformance):
    """Into an object, some names only."""

    lines = ({"q": "a=1&b=2", "kv": {"c": 1}}, {"q": "x"}, {"q": "b=x&a=1"}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseKv(field="q", field_split="&", into="kv", include=["b"], types={"b": "int"})


@pytest.mark.parametrize(
    ("settings", "line", "fields"),
    [
        ({}, 'at=ok user="Ann B." none x=', {"at": "ok", "user": "Ann B.", "x": ""}),
        ({}, 'a="say \\"hi\\"" b=\'it"s\' c="open d="x"y', {"a": 'say "hi"', "b": 'it"s', "c": '"open', "d": '"x"y'}),
        ({}, "a=1\nb=2\tc=x=y", {"a": "1", "b": "2", "c": "x=y"}),
        ({}, "a=1 a=2 a=3", {"a": ["1", "2", "3"]}),
        ({}, "=x a=1", {"a": "1"}),
        ({"quotes": ""}, 'a="x y"', {"a": '"x'}),
        (
            {"brackets": True},
            "a=[x y] b=(z) c=<w> d={v u} e=(x f=1",
            {"a": "x y", "b": "z", "c": "w", "d": "v u", "e": "(x", "f": "1"},
        ),
        ({"field_split": ";&", "value_split": ":="}, "a:1;b=2&c=d:e", {"a": "1", "b": "2", "c": "d:e"}),
        ({"field_split": ",", "trim_key": " <", "trim_value": " >"}, "<a = 1 >, b=2", {"a": "1", "b": "2"}),
        ({"prefix": "kv_", "into": "o"}, "a=1", {"o": {"kv_a": "1"}}),
        ({"into": "o.p"}, "a=1", {"o": {"p": {"a": "1"}}}),
        ({"include": ["a", "b"], "exclude": ["b"]}, "a=1 b=2 c=3", {"a": "1"}),
        ({"types": {"a": "int", "b": "float"}}, "a=5 b=0.5 b=-", {"a": 5, "b": [0.5, None]}),
    ],
)
def test_pairs_become_fields(run_chain: RunChain, settings: dict[str, Any], line: str, fields: dict[str, Any]) -> None:
    assert run_chain(ParseKv(**settings), [line]).records == [fields]


@pytest.mark.parametrize(
    ("settings", "line", "reason"),
    [
        ({}, "no pair", "there is no pair such as name=value in it"),
        ({"value_split": ":"}, "a=b", "there is no pair such as name:value in it"),
        ({"types": {"a": "int"}}, "a=x", "a: x is not a whole number"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(
    run_chain: RunChain, settings: dict[str, Any], line: str, reason: str
) -> None:
    assert run_chain(ParseKv(**settings), [line]).records == [{"message": line, "parse_error": f"parse_kv: {reason}"}]


def test_other_fields_stay_and_an_object_gets_more(run_chain: RunChain) -> None:
    record = {"text": "a=1 b=2", "b": 0, "c": 3}
    assert run_chain(ParseKv(field="text"), [dict(record)]).records == [{"b": "2", "c": 3, "a": "1"}]
    into = ParseKv(field="text", into="o")
    assert run_chain(into, [record | {"o": {"b": 9, "d": 4}}]).records == [
        {"b": 0, "c": 3, "o": {"b": "2", "d": 4, "a": "1"}}
    ]
    inside = ParseKv(field="text", into="o.p")
    assert run_chain(inside, [record | {"o": {"d": 4}}]).records == [
        {"b": 0, "c": 3, "o": {"d": 4, "p": {"a": "1", "b": "2"}}}
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"field_split": ""}, "field_split and value_split must hold a character"),
        ({"field_split": " :", "value_split": ":="}, "':' stands in field_split and in value_split"),
        ({"types": {"a": "int"}, "exclude": ["a"]}, "types names what is left out: a"),
        ({"types": {"a": "int"}, "include": ["b"]}, "types names what is left out: a"),
    ],
)
def test_settings_that_cannot_be_used_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        ParseKv(**settings).setup()


names = st.text("abc_-", min_size=1, max_size=5)


@given(st.dictionaries(names, st.text("ab \"'\\=", max_size=8), min_size=1))
def test_quoted_values_come_back_whatever_they_hold(pairs: dict[str, str]) -> None:
    parser = ParseKv()
    parser.setup()
    quoted = {name: re.sub(r'(["\\])', r"\\\1", value) for name, value in pairs.items()}
    assert parser.parse(" ".join(f'{name}="{value}"' for name, value in quoted.items())) == pairs


@given(st.text("a=\"'( )[]\\ \n"))
def test_texts_only_raise_value_errors(text: str) -> None:
    parser = ParseKv(brackets=True)
    parser.setup()
    try:
        assert parser.parse(text)
    except ValueError:
        assert not re.search(r"(?:^|[ \n])[^= \n]+=", text)


def test_a_name_that_stands_there_again_and_again_costs_the_same_each_time() -> None:
    parser = ParseKv()
    parser.setup()
    assert grows_linearly(lambda length: parser.parse("a=1 " * (length // 4)), 400_000)
