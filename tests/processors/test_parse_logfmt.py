"""parse_logfmt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_logfmt import ParseLogfmt


class TestConformance(ProcessorConformance):
    """On raw lines."""

    lines = ('level=info msg="it is \\"done\\"" cached', "nothing of the kind", 'a="open', "a=1 a=2", "", b"a=\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseLogfmt(types={"took": "float"})


# Of the tests of go-logfmt/logfmt and kr/logfmt (both MIT): a name without a value is nothing there, and true here.
@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("x= ", {"x": ""}),
        ("y=f", {"y": "f"}),
        (r'y="\tf"', {"y": "\tf"}),
        (
            r'a=1 b="bar" ƒ=2h3s r="esc\t" d x=sf   ',
            {"a": "1", "b": "bar", "ƒ": "2h3s", "r": "esc\t", "d": True, "x": "sf"},
        ),
        ("y= d y=g", {"y": ["", "g"], "d": True}),
        ("y=f  \n\x1e y=g", {"y": ["f", "g"]}),
        ('y="f\\n"y=g', {"y": ["f\n", "g"]}),
        ('a=foo b=10ms c=cat E="123"', {"a": "foo", "b": "10ms", "c": "cat", "E": "123"}),
        (r'a="\u00e4\ud83e\udd8a" b=""', {"a": "ä\U0001f98a", "b": ""}),
        ('a="tab\t\\"x\\""', {"a": 'tab\t"x"'}),
        ("url=http://x/?a=b c==", {"url": "http://x/?a=b", "c": "="}),
    ],
)
def test_pairs_become_fields(run_chain: RunChain, text: str, fields: dict[str, Any]) -> None:
    assert run_chain(ParseLogfmt(), [{"message": text}]).records == [fields]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("only words", "there is no pair such as name=value in it"),
        ("a=1 =bar", "'=bar' at character 5 is not logfmt"),
        ('a=1 "k"=bar', "'\"k\"=bar' at character 5 is not logfmt"),
        ('a=1 k"ey=bar', "'k\"ey=bar' at character 5 is not logfmt"),
        ('a=1 k=b"ar', "'k=b\"ar' at character 5 is not logfmt"),
        ('a="1', "'a=\"1' at character 1 is not logfmt"),
        ('a=1 b="1\\', "'b=\"1\\\\' at character 5 is not logfmt"),
        (r'a="\u1"', r'"\u1" holds an escape that JSON does not have'),
        ("took=x", "took: x is not a number"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(run_chain: RunChain, text: str, reason: str) -> None:
    assert run_chain(ParseLogfmt(types={"took": "float"}), [text]).records == [
        {"message": text, "parse_error": f"parse_logfmt: {reason}"}
    ]


def test_types_prefix_and_choice_of_names(run_chain: RunChain) -> None:
    parser = ParseLogfmt(types={"took": "float", "cached": "int"}, exclude=["token"], prefix="app_", into="log")
    assert run_chain(parser, ["took=1.5 cached token=x"]).records == [{"log": {"app_took": 1.5, "app_cached": True}}]


names = st.text("abcä_.-/", min_size=1, max_size=5)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.dictionaries(names, texts, min_size=1))
def test_quoted_values_come_back_whatever_they_hold(pairs: dict[str, str]) -> None:
    parser = ParseLogfmt()
    parser.setup()
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in pairs.items()}
    assert parser.parse(" ".join(f'{name}="{value}"' for name, value in escaped.items())) == pairs


@given(st.text('ab="\\ \t\n'))
def test_texts_only_raise_value_errors(text: str) -> None:
    parser = ParseLogfmt()
    parser.setup()
    try:
        assert parser.parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - which it is does not matter here


def test_a_name_that_stands_there_again_and_again_costs_the_same_each_time() -> None:
    parser = ParseLogfmt()
    parser.setup()
    assert grows_linearly(lambda length: parser.parse('a="b" ' * (length // 6)), 400_000)
