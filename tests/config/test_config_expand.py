"""``${...}`` in values, and that what it stands for stays secret."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import load_text, probe, problems_of

from shipper.config.expand import expand

SECRET = "hunter2-s3cr3t-token"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("PORT", "7420")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("TRICKY", "a: [b]\n'c\" ${SECRET} $$")
    monkeypatch.delenv("UNSET", raising=False)


def source(folder: Path, settings: str) -> Any:
    return load_text(folder, probe(settings)).sources["s"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${PORT}", "7420"),
        ("'host:${PORT}/${PORT}'", "host:7420/7420"),
        ("${UNSET:-5s}", "5s"),
        ("${EMPTY:-full}", "full"),
        ("a${EMPTY}b", "ab"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$${PORT}", "${PORT}"),
        ("$$$$", "$$"),
        ("$PORT ^a$ $1 50$", "$PORT ^a$ $1 50$"),
        ("${TRICKY}", "a: [b]\n'c\" ${SECRET} $$"),
    ],
)
def test_an_expansion_is_text_whatever_it_holds(tmp_path: Path, written: str, value: str) -> None:
    assert source(tmp_path, f"text: {written}").text == value


def test_an_expansion_can_be_a_number_where_one_is_expected(tmp_path: Path) -> None:
    assert source(tmp_path, "number: ${PORT}").number == 7420


def test_where_anything_goes_an_expansion_is_text(tmp_path: Path) -> None:
    assert source(tmp_path, "anything: ['${PORT}', '${UNSET:-5}', 5]").anything == ["7420", "5", 5]


def test_keys_and_the_names_of_things_are_not_expanded(tmp_path: Path) -> None:
    assert source(tmp_path, "anything: {'${PORT}': 1}").anything == {"${PORT}": 1}


def test_a_file_is_read_beside_the_config_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\ndef\n")
    assert source(tmp_path, 'text: "<${file:token}|${file:./token}>"').text == "<abc\ndef|abc\ndef>"
    assert source(tmp_path, f'text: "${{file:{tmp_path}/token}}"').text == "abc\ndef"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${UNSET}", "the environment variable UNSET is not set; set it, or write ${UNSET:-default}"),
        ("${PORT", "'${PORT' has no '}' that ends it; for a dollar itself write '$$'"),
        ("${2}", "'${2}' is none of ${VAR}, ${VAR:-default} or ${file:PATH}; for a dollar itself write '$$'"),
        ("${}", "'${}' is none of ${VAR}, ${VAR:-default} or ${file:PATH}; for a dollar itself write '$$'"),
        (
            "${PORT:?no}",
            "'${PORT:?no}' is none of ${VAR}, ${VAR:-default} or ${file:PATH}; for a dollar itself write '$$'",
        ),
        ("${file:missing}", "'${file:missing}' cannot be read: No such file or directory"),
        ("${file:.}", "'${file:.}' cannot be read: Is a directory"),
        ("${file:binary}", "'${file:binary}' is not UTF-8 text"),
        ("${file:large}", "'${file:large}' is larger than 64 KiB"),
        ('"${file:a\\0b}"', "'${file:a\\x00b}' cannot be read: embedded null byte"),
    ],
)
def test_an_expansion_that_fails_says_how(tmp_path: Path, written: str, problem: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    assert problems_of(tmp_path, probe(f"text: {written}")) == [f"c.yaml:4: sources.s.text: {problem}"]


@pytest.mark.parametrize(
    "settings",
    [
        "number: ${SECRET}",
        "mode: ${SECRET}",
        "size: 5${SECRET}",
        "pattern: (${SECRET}",
        "names: ${SECRET}",
        "inner: ${SECRET}",
        "text: 'told: ${SECRET}'",
        "text: 'told${SECRET}'",
        "number: [${SECRET}]",
        "table: {a: '${SECRET}'}",
    ],
)
def test_no_message_shows_a_piece_of_what_an_expansion_holds(tmp_path: Path, settings: str) -> None:
    (problem,) = problems_of(tmp_path, probe(settings))
    assert not any(SECRET[at : at + 5] in problem for at in range(len(SECRET) - 4))


def test_a_message_shows_the_expansion_instead(tmp_path: Path) -> None:
    assert problems_of(tmp_path, probe("number: ${SECRET}\ntext: told${SECRET}")) == [
        "c.yaml:4: sources.s.number: found '${SECRET}' (what that holds is not shown), expected a whole number",
    ]
    assert problems_of(tmp_path, probe("text: told${SECRET}")) == [
        "c.yaml:2: sources.s: cannot use 'told${SECRET}', that is ${SECRET}",
    ]


def test_a_short_value_is_hidden_as_a_word_and_leaves_other_words_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIN", "77")
    assert problems_of(tmp_path, probe("text: told ${PIN} 771\nlisten: ${PIN}")) == [
        "c.yaml:2: sources.s: cannot use 'told ${PIN} 771', that is  ${PIN} 771",
    ]


@given(st.text(st.sampled_from("a${}:-\\ '\n"), max_size=20))
def test_doubled_dollars_make_any_text_itself(text: str) -> None:
    assert expand(text.replace("$", "$$"), Path(), lambda _value, _written: None) == text


def test_the_type_of_a_component_may_be_an_expansion_and_stays_secret_too(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'sources: {s: {type: "${SECRET}"}}\nsinks: {o: {type: "./parts.py:Out"}}\n')
    assert problem.startswith("c.yaml:1: sources.s.type: there is no source type '${SECRET}'")
