"""Settings of every type: what they take, and what is said about everything else."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.configs import OUT, load_text, probe, problems_of


def value_of(folder: Path, name: str, written: str) -> Any:
    source: Any = load_text(folder, probe(f"{name}: {written}")).sources["s"]
    return getattr(source, name)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("text", "no", "no"),
        ("text", "1.10", "1.10"),
        ("text", "null", "null"),
        ("text", "2026-01-01", "2026-01-01"),
        ("text", "0x1F", "0x1F"),
        ("text", '""', ""),
        ("text", "'  two words'", "  two words"),
        ("text", "^foo$", "^foo$"),
        ("text", "a $$ b", "a $ b"),
        ("maybe", "", None),
        ("maybe", "~", None),
        ("maybe", "null", None),
        ("maybe", "'null'", "null"),
        ("number", "7", 7),
        ("number", "'-7'", -7),
        ("ratio", "1", 1.0),
        ("ratio", "2.5e-1", 0.25),
        ("switch", "true", True),
        ("switch", "Yes", True),
        ("switch", "off", False),
        ("size", "4096", 4096),
        ("size", "1.5 MiB", 1572864),
        ("size", "10MB", 10_000_000),
        ("wait", "100ms", 0.1),
        ("wait", "0", 0.0),
        ("wait", "2m", 120.0),
        ("place", "/a b/c", Path("/a b/c")),
        ("pattern", r"^\d+$", re.compile(r"^\d+$")),
        ("mode", "safe", "safe"),
        ("names", "[a, 1.0, no]", ["a", "1.0", "no"]),
        ("names", "", []),
        ("numbers", "[1, 2]", [1, 2]),
        ("numbers", "", None),
        ("unique", "[a, b, a]", {"a", "b"}),
        ("pair", "[a, b]", ("a", "b")),
        ("table", "{a: 1, no: 2}", {"a": 1, "no": 2}),
        ("auto", "auto", "auto"),
        ("auto", "7", 7),
        ("flexible", "a", "a"),
        ("flexible", "[a]", ["a"]),
        ("flexible", '""', ""),
        ("bounded", "10", 10),
        ("scalar", "10", 10),
        ("scalar", "1.5", 1.5),
        ("scalar", "'10'", "10"),
        ("scalar", "true", True),
        ("scalar", "no", "no"),
        ("scalar", "null", None),
        ("scalar", "'null'", "null"),
        ("sized", "1KiB", 1024),
        ("sized", "1", 1),
        ("sized", "some", "some"),
    ],
)
def test_a_setting_takes_what_its_type_says(tmp_path: Path, name: str, written: str, value: Any) -> None:
    assert value_of(tmp_path, name, written) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{a: 1, b: 1.5, c: true, d: null, e: [x, 2]}", {"a": 1, "b": 1.5, "c": True, "d": None, "e": ["x", 2]}),
        ("[no, 007, 2026-01-01, '1', 1e999, 0x1F]", ["no", "007", "2026-01-01", "1", "1e999", "0x1F"]),
        ("1_000", "1_000"),
        ("18446744073709551615", 18446744073709551615),
    ],
)
def test_where_anything_goes_only_json_literals_are_more_than_text(tmp_path: Path, written: str, value: Any) -> None:
    assert value_of(tmp_path, "anything", written) == value


def test_an_enum_is_chosen_by_its_value(tmp_path: Path) -> None:
    assert value_of(tmp_path, "color", "green").name == "GREEN"


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert value_of(tmp_path, "place", "~/logs") == Path("/home/somebody/logs")


def test_a_block_inside_a_component_is_a_struct(tmp_path: Path) -> None:
    inner = value_of(tmp_path, "inner", "{ca: /x.pem}")
    assert (inner.ca, inner.verify) == (Path("/x.pem"), True)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("number: seven", "s.number: found 'seven', expected a whole number"),
        ("number: 1.5", "s.number: found '1.5', expected a whole number"),
        ("number:", "s.number: found nothing, expected a whole number"),
        ("number: [1]", "s.number: found a list, expected a whole number"),
        ("ratio: half", "s.ratio: found 'half', expected a number"),
        ("ratio: .nan", "s.ratio: found '.nan', expected a number"),
        ("ratio: 1e999", "s.ratio: found '1e999', expected a number"),
        ("switch: ye", "s.switch: found 'ye', expected true or false"),
        ("switch: 1", "s.switch: found '1', expected true or false"),
        ("size: 64M", "s.size: found '64M', expected a size such as 4096, 256KiB or 1GiB; did you mean '64MiB'?"),
        ("size: huge", "s.size: found 'huge', expected a size such as 4096, 256KiB or 1GiB"),
        ("size: -1", "s.size: found '-1', expected a size such as 4096, 256KiB or 1GiB"),
        ("wait: 5", "s.wait: found '5', expected a duration such as 100ms, 5s or 1h; did you mean '5s'?"),
        ("wait: 5 sec", "s.wait: found '5 sec', expected a duration such as 100ms, 5s or 1h; did you mean '5s'?"),
        ("place: ''", "s.place: found '', expected a path"),
        (
            "pattern: (a",
            "s.pattern: found '(a', expected a regular expression; missing ), unterminated subpattern at character 1",
        ),
        ("mode: quick", "s.mode: found 'quick', expected one of 'fast', 'safe'"),
        ("mode: save", "s.mode: found 'save', expected one of 'fast', 'safe'; did you mean 'safe'?"),
        ("color: gren", "s.color: found 'gren', expected one of 'red', 'green'; did you mean 'green'?"),
        ("names: a.log", "s.names: found 'a.log', expected a list of text; write [\"a.log\"]"),
        ("names: {a: b}", "s.names: found keys with values, expected a list of text"),
        ("names: [a, [b]]", "s.names[1]: found a list, expected text; put it in quotes if it is text"),
        ("text: {host}", "s.text: found keys with values, expected text; put it in quotes if it is text"),
        ("text:", 's.text: found nothing, expected text; write "" for a text without characters'),
        ("numbers: [1, x]", "s.numbers[1]: found 'x', expected a whole number"),
        ("numbers: x", "s.numbers: found 'x', expected a list of whole numbers or nothing"),
        ("table: {a: b}", "s.table.a: found 'b', expected a whole number"),
        ("table: [a]", "s.table: found a list, expected names with values, each a whole number"),
        ("table: {a b.c: x}", "s.table.'a b.c': found 'x', expected a whole number"),
        ("inner: {}", "s.inner: found no 'ca', expected a path"),
        ("inner: yes", "s.inner: found 'yes', expected settings (ca, verify) or nothing"),
        ("inner: {ca: /x, veryfy: no}", "s.inner.veryfy: unknown key; did you mean 'verify'? known: ca, verify"),
        ("several: [{ca: /x}, {}]", "s.several[1]: found no 'ca', expected a path"),
        ("auto: 1.5", "s.auto: found '1.5', expected 'auto' or a whole number"),
        ("auto: atuo", "s.auto: found 'atuo', expected 'auto' or a whole number; did you mean 'auto'?"),
        (
            "flexible: {a: b}",
            "s.flexible: found keys with values, expected text or a list of text; put it in quotes if it is text",
        ),
        ("bounded: 11", "s.bounded: found '11', expected a whole number, at least 1, at most 10"),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(tmp_path: Path, written: str, problem: str) -> None:
    assert problems_of(tmp_path, probe(written)) == [f"c.yaml:4: sources.{problem}"]


def test_what_a_component_s_own_check_says_stands_at_its_line(tmp_path: Path) -> None:
    assert problems_of(tmp_path, probe("text: refused")) == ["c.yaml:2: sources.s: text must not be 'refused'"]


def test_all_problems_are_shown_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "spool: {max_bytes: 1 GiX}\n"
        "sources:\n"
        "  a:\n"
        '    type: "./parts.py:Needy"\n'
        "    inclde: [x]\n"
        "  b:\n"
        "    type: nothing\n"
        "  c: {}\n"
        "  d: 3\n"
        "sinks:\n"
        '  out: {type: "./parts.py:Out", pat: /x}\n'
        "proccessors: []\n"
        "batch: {max_bytes: 1}\n"
    )
    problems = problems_of(tmp_path, text)
    assert [problem.split(": ", 2)[:2] for problem in problems] == [
        ["c.yaml:1", "spool.max_bytes"],
        ["c.yaml:3", "sources.a"],
        ["c.yaml:3", "sources.a"],
        ["c.yaml:5", "sources.a.inclde"],
        ["c.yaml:7", "sources.b.type"],
        ["c.yaml:8", "sources.c"],
        ["c.yaml:9", "sources.d"],
        ["c.yaml:11", "sinks.out.pat"],
        ["c.yaml:12", "proccessors"],
        ["c.yaml:13", "batch"],
    ]
    assert problems[1] == "c.yaml:3: sources.a: found no 'include', expected a list of text"
    assert problems[3].startswith(
        "c.yaml:5: sources.a.inclde: unknown key; did you mean 'include'? known: include, key"
    )
    assert problems[6] == "c.yaml:9: sources.d: found '3', expected a source with its 'type' and settings"
    assert problems[7].startswith("c.yaml:11: sinks.out.pat: unknown key; did you mean 'path'?")
    assert problems[8].startswith("c.yaml:12: proccessors: unknown key; did you mean 'processors'?")
    assert problems[9] == "c.yaml:13: batch: max_bytes is 1B, expected 4KiB to 1MiB"


def test_a_bug_in_a_component_s_own_check_is_a_problem_at_its_line(tmp_path: Path) -> None:
    assert problems_of(tmp_path, probe("text: bug")) == ["c.yaml:2: sources.s: KeyError: 'lost'"]


def test_a_type_that_no_config_can_hold_is_the_component_s_fault(tmp_path: Path) -> None:
    text = f'sources:\n  s:\n    type: "./parts.py:Strange"\n    when: 3\n{OUT}'
    problem = "the component declares it with a type that no config can hold; tell its author"
    assert problems_of(tmp_path, text) == [f"c.yaml:4: sources.s.when: {problem}"]


def test_no_name_of_a_python_type_reaches_a_message(tmp_path: Path) -> None:
    names = "number ratio switch size wait place pattern mode color names numbers table inner several auto flexible"
    lines = "\n".join(f"{name}: {{? : [x]}}" for name in names.split())
    text = "\n".join(problems_of(tmp_path, probe(lines)))
    assert all(f"sources.s.{name}" in text for name in names.split())
    for word in ("str", "int ", "float", "bool", "`", "list[", "Literal", "None", "Struct", "|", "object", "msgspec"):
        assert word not in text
