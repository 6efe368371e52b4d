"""parse_grok."""

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper import Duration, Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors._grok import Grok, in_file, published
from shipper_processors._oniguruma import FLAGS, translated
from shipper_processors.parse_grok import ParseGrok

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "grok_facts.json").read_text("utf-8"))
COMBINED = (
    '83.149.9.216 - ann [24/Feb/2015:23:13:42 +0000] "GET /a.png HTTP/1.1" 200 203 "http://example.com/" "Mozilla/5.0"'
)


class TestConformance(ProcessorConformance):
    """Flat fields and nested ones."""

    lines = (COMBINED, "nothing of the kind", COMBINED.replace("200", "-"), "", b"\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseGrok(pattern=["^%{COMBINEDAPACHELOG}", r"%{WORD:[a][b]} (?<c>\S+)"])


class TestConformanceOfAnotherField(ProcessorConformance):
    """On a nested field of records."""

    lines = ({"a": {"text": "x 5", "b": 1}}, {"a": 1}, {"a": {"text": "x"}}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseGrok(pattern="^%{WORD:w} %{INT:[a][n]:int}$", field="a.text")


@cache
def compiled(names_as: Any, match: str) -> Grok:
    text = re.sub(r"^(\^?)(%\{\w+\})(\$?)$", r"\1(?<matched>\2)\3", match)
    return Grok(text, known(names_as), 1)


@cache
def known(names_as: Any) -> dict[str, str]:
    return published(names_as)


def value_at(record: Any, path: list[str]) -> Any:
    for part in path:
        record = record.get(part) if isinstance(record, dict) else None
    return record


@pytest.mark.parametrize("kind", ["legacy", "ecs"])
def test_it_agrees_with_the_published_tests_of_logstash(kind: str) -> None:
    wrong: list[str] = []
    for fact in (fact for fact in FACTS["facts"] if fact["set"] == kind):
        record = compiled(kind, fact["match"]).parse(fact["text"])
        if (record is not None) != fact.get("matches", True):
            wrong.append(f"{fact['match']} on {fact['text']}: {record}")
        found = record or {}
        wrong += [
            f"{fact['match']} on {fact['text']}: {path} is {value_at(found, path)!r}, not {value!r}"
            for path, value in fact.get("fields", [])
            if value_at(found, path) != value
        ]
        wrong += [
            f"{fact['match']} on {fact['text']}: {path} is there"
            for path in fact.get("absent", [])
            if value_at(found, path) is not None
        ]
        if not found.keys() <= {*fact.get("names", found), "message", "matched"}:
            wrong.append(f"{fact['match']} on {fact['text']}: {list(found)}")
    assert wrong == []


def test_every_published_pattern_compiles() -> None:
    for names_as in ("legacy", "ecs"):
        patterns = known(names_as)
        parts = {name for text in patterns.values() for name in re.findall(r"%\{(\w+)", text)}
        for name in patterns.keys() - parts:
            assert compiled(names_as, f"%{{{name}}}").pattern


def test_fields_take_the_place_of_the_text_by_their_types(run_chain: RunChain) -> None:
    flat = ParseGrok(pattern="^%{COMBINEDAPACHELOG}$", names_as="legacy")
    assert run_chain(flat, [COMBINED]).records == [
        {
            "clientip": "83.149.9.216",
            "ident": "-",
            "auth": "ann",
            "timestamp": "24/Feb/2015:23:13:42 +0000",
            "verb": "GET",
            "request": "/a.png",
            "httpversion": "1.1",
            "response": "200",
            "bytes": "203",
            "referrer": '"http://example.com/"',
            "agent": '"Mozilla/5.0"',
        }
    ]
    assert run_chain(ParseGrok(pattern="^%{COMBINEDAPACHELOG}$"), [COMBINED]).records == [
        {
            "timestamp": "24/Feb/2015:23:13:42 +0000",
            "source": {"address": "83.149.9.216"},
            "user": {"name": "ann"},
            "http": {
                "request": {"method": "GET", "referrer": "http://example.com/"},
                "response": {"status_code": 200, "body": {"bytes": 203}},
                "version": "1.1",
            },
            "url": {"original": "/a.png"},
            "user_agent": {"original": "Mozilla/5.0"},
        }
    ]


@pytest.mark.parametrize(
    ("match", "line", "fields"),
    [
        ("%{INT:a:int} %{NUMBER:b:float}", "7 1.5", {"a": 7, "b": 1.5}),
        ("%{WORD:a} %{WORD:a} %{WORD:a}", "x y z", {"a": ["x", "y", "z"]}),
        ("(?<a>x)?(?<b>y)(?<c>)", "y", {"b": "y"}),
        (r"^(?<word>\w+) \k<word>$", "no no", {"word": "no"}),
        ("a(?i)(?<a>b|c)", "aC", {"a": "C"}),
        ("(?:a(?i)b|c)(?<a>d)", "aCd", {"a": "d"}),
        ("(?<a>[[:digit:]a[b-d]]+)", "-3abcd", {"a": "3abcd"}),
        (r"^(?<a>\h+)\z", "beef", {"a": "beef"}),
        ("(?<a>b$.)", "a b\nc", {"a": "b\n"}),
        ("%{DATA:[@metadata][x]} %{WORD:a}", "x y", {"a": "y"}),
        ("%{WORD:[a][b]} %{WORD:[a][c][d]}", "x y", {"a": {"b": "x", "c": {"d": "y"}}}),
        ("%{MINE:a} ", "..7 ", {"a": "7"}),
    ],
)
def test_the_syntax_of_oniguruma(run_chain: RunChain, match: str, line: str, fields: dict[str, Any]) -> None:
    grok = ParseGrok(pattern=match, definitions={"MINE": "[0-9]"})
    assert run_chain(grok, [{"message": line}]).records == [fields]


def test_the_first_expression_that_matches_counts(run_chain: RunChain) -> None:
    grok = ParseGrok(pattern=["^%{INT:number}$", "^%{WORD:word}$", "(?<all>.*)$"])
    assert run_chain(grok, ["5", "x", "x y"]).records == [{"number": "5"}, {"word": "x"}, {"all": "x y"}]


def test_objects_that_are_there_get_more_fields(run_chain: RunChain) -> None:
    grok = ParseGrok(pattern="^%{WORD:[http][request][method]} %{INT:n}")
    record = {"message": "GET 5", "http": {"version": "1.1", "request": {"id": "x"}}, "n": {"a": 1}}
    assert run_chain(grok, [record]).records == [
        {"http": {"version": "1.1", "request": {"id": "x", "method": "GET"}}, "n": "5"}
    ]


def test_patterns_of_ones_own_come_from_files_too_and_win(run_chain: RunChain, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("# mine\n\nWORD   [a-z]+\nCODE E%{INT}\n")
    grok = ParseGrok(
        pattern="^%{WORD:w}%{CODE:c} %{END:e}", pattern_files=[tmp_path / "mine"], definitions={"END": r"\S+$"}
    )
    assert run_chain(grok, ["abcE5 x"]).records == [{"w": "abc", "c": "E5", "e": "x"}]


@pytest.mark.parametrize(
    ("match", "line", "reason"),
    [
        ("^%{INT:a}", "x", "the pattern does not match"),
        (["^%{INT:a}", "^%{IP:b}"], "x", "none of the patterns matches"),
        ("^%{NOTSPACE:a:int}", "1.5", "a: 1.5 is not a whole number"),
        ("^%{NOTSPACE:a:float}", "nan", "a: nan is not a number that JSON can hold"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(
    run_chain: RunChain, match: Any, line: str, reason: str
) -> None:
    assert run_chain(ParseGrok(pattern=match), [line]).records == [
        {"message": line, "parse_error": f"parse_grok: {reason}"}
    ]


def test_a_match_that_does_not_end_is_an_error_of_its_record_alone(run_chain: RunChain) -> None:
    hostile = "a" * 60 + "b"
    grok = ParseGrok(pattern="^%{AS:a}$", definitions={"AS": "(a|aa)+"}, pattern_deadline=Duration(0.02))
    first, second = run_chain(grok, [hostile, "aaa"]).records
    assert first["message"] == hostile
    assert re.match(
        r"parse_grok: the pattern \^%\{AS:a\}\$ was not done with 61 characters after 0\.02 s", first["parse_error"]
    )
    assert second == {"a": "aaa"}


@pytest.mark.parametrize(
    ("settings_", "problem"),
    [
        ({"pattern": "%{SYSLOGLIN:a}"}, "there is no grok pattern SYSLOGLIN; did you mean SYSLOGLINE?"),
        ({"pattern": "%{QQQ:a}"}, "there is no grok pattern QQQ; write it under definitions: {NAME: expression}"),
        (
            {"pattern": "%{A:a}", "definitions": {"A": "%{B}", "B": "x%{A}"}},
            "the grok pattern A stands in itself: A > B > A",
        ),
        ({"pattern": "%{INT:a:number}"}, "number is no type; there are int, long, integer, float, double, string"),
        ({"pattern": "%{INT"}, r"%{INT is not %{PATTERN}, %{PATTERN:field} or %{PATTERN:field:type}"),
        ({"pattern": "%{INT}"}, r"%{INT} names no field: write %{PATTERN:field}"),
        ({"pattern": "%{INT:[a}"}, "[a is no field's name; a nested one is written [http][status]"),
        ({"pattern": "%{INT:a} %{INT:[a][b]}"}, "the field a cannot be text and hold a.b too"),
        ({"pattern": "(?<a>x"}, "the regular expression cannot be read"),
        ({"pattern": "(?<a>x))"}, "a parenthesis is closed that was not opened: (?<a>x))"),
        ({"pattern": r"(?<a>\p{L})"}, r"\p is not known here"),
        ({"pattern": r"(?<a>x)\1"}, r"name the group and write \k<name>"),
        ({"pattern": r"\k<a>(?<a>x)"}, r"\k<a> refers to a group that does not stand before it"),
        ({"pattern": "(?<a>[a-z&&[^b]])"}, "&& in a class is not known here"),
        ({"pattern": "(?<a>[a[^b]])"}, "^ inside a class is not known here"),
        ({"pattern": "(?<a>[[:letter:]])"}, "[:letter:] is no class of characters; there are alnum"),
        ({"pattern": "(?<a>(?q)x)"}, "(?q) is not known here; there are the options i, m and x"),
        ({"pattern": "(?<a>(?~x))"}, "(?~x)... is no group that is known here"),
        ({"pattern": []}, "pattern is empty"),
        ({"pattern": "%{INT:a}", "pattern_files": [Path("/nowhere")]}, "the patterns in /nowhere cannot be read"),
        ({"pattern": "%{INT:a}", "field": ""}, "is not a field's name"),
    ],
)
def test_what_cannot_be_used_is_a_config_error(settings_: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        ParseGrok(**settings_).setup()


def test_an_expression_that_grows_without_end_is_refused() -> None:
    patterns = {"P0": "x" * 1000} | {f"P{n}": f"%{{P{n - 1}}}" * 10 for n in range(1, 9)}
    with pytest.raises(ValueError, match="longer than 1048576 characters"):
        ParseGrok(pattern="%{P8:a}", definitions=patterns).setup()


def test_a_file_of_patterns_says_which_line_is_wrong() -> None:
    with pytest.raises(ValueError, match="mine:2: WORD is not a name and an expression"):
        in_file("A b\nWORD\n", "mine")


pieces = st.sampled_from(
    [
        *r"a . * + ? ( ) [ ] | ^ $ \ \h \d \k<a> (?<a> (?<[a][b]> (?i) (?m) (?: (?> [^ [: :] - {2} { } %{INT:a}".split(
            " "
        ),
        "",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=10).map("".join))
def test_no_expression_raises_anything_but_a_value_error(text: str) -> None:
    with suppress(ValueError):
        grok = Grok(text, {"INT": "[0-9]+"}, 0.05)
        for line in ("", "a", "aa 12\n[a]"):
            grok.parse(line)


@given(st.text("ab{}[].-:\n\\"))
def test_quoted_text_means_itself_in_both_languages(text: str) -> None:
    expression, names = translated(re.escape(text))
    assert names == []
    assert re.fullmatch(expression, text, FLAGS)
