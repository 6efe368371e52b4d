"""What is said about YAML that is none, or that means something else than its author thinks."""

from pathlib import Path

import pytest
from support.configs import problems_of

from shipper.config.document import Mapping, parse
from shipper.config.problems import Problems
from shipper.errors import ConfigError


def complaint(text: str) -> str:
    """The one problem of a text as YAML."""
    problems = Problems()
    parse(text, "c.yaml", problems)
    with pytest.raises(ConfigError) as caught:
        problems.raise_if_any()
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def tree(text: str) -> Mapping:
    problems = Problems()
    node = parse(text, "c.yaml", problems)
    problems.raise_if_any()
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("text", "line", "quoted"),
    [
        ("a: *.log", 1, "a value that starts with '*' is an alias in YAML; put it in quotes: \"*.log\""),
        ("a: [*.log, b]", 1, "a value that starts with '*' is an alias in YAML; put it in quotes: \"*.log\""),
        ("a:\n  - *.log", 2, "a value that starts with '*' is an alias in YAML; put it in quotes: \"*.log\""),
        ("a: %{x} # y", 1, "a value that starts with '%' is a directive in YAML; put it in quotes: \"%{x}\""),
        ("a: @ts", 1, "a value that starts with '@' is something reserved in YAML; put it in quotes: \"@ts\""),
        ("a: `x`", 1, "a value that starts with '`' is something reserved in YAML; put it in quotes: \"`x`\""),
        (
            "a: !exists(x) && y",
            1,
            "a value that starts with '!' is a tag in YAML; put it in quotes: \"!exists(x) && y\"",
        ),
        ("a: {host}/x", 1, 'if it is text, put it in quotes: "{host}/x"'),
        ("a: [a-z]+", 1, 'if it is text, put it in quotes: "[a-z]+"'),
        ("a: 'x' == y", 1, "put the whole value in quotes: \"'x' == y\""),
        ("a: \"x\" == 'y' # why", 1, "put the whole value in quotes: '\"x\" == ''y'''"),
        ("a: 'it's'", 1, 'put the whole value in quotes: "it\'s"'),
        ("a: 'x' == 'y'", 1, "put the whole value in quotes: \"'x' == 'y'\""),
        ("a: level == 'x': 3", 1, "put it in quotes: \"level == 'x': 3\""),
        ('a: "\\d+"', 1, "use single quotes: '\\d+'"),
        ("a: }", 1, 'put it in quotes: "}"'),
        ("a: {b: ${SITE}}", 1, 'needs quotes: "${SITE}"'),
        ("a:\n  b: [x, pre-${SITE:-y}:80, z]", 2, 'needs quotes: "pre-${SITE:-y}:80"'),
    ],
)
def test_a_value_that_yaml_stumbles_over_gets_the_hint_to_quote_it(text: str, line: int, quoted: str) -> None:
    message = complaint(text)
    assert message.startswith(f"c.yaml:{line}: ")
    assert message.endswith(quoted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: *foo",
            (
                "1: there is no anchor '&foo' above this alias; a value that starts with '*' is an alias in YAML; "
                'put it in quotes: "*foo"'
            ),
        ),
        (
            "a: !!python/object:os.system x",
            (
                "1: YAML tags mean nothing here; a value that starts with '!' is a tag in YAML; "
                'put it in quotes: "!!python/object:os.system x"'
            ),
        ),
        ("a: {x\nb: 3", "1: the '{' that is opened here is not closed before line 2"),
        ("a: [x\nb: 3", "1: the '[' that is opened here is not closed before line 2"),
        ('a: 1\nb: "x\nc: 3', "2: the quote that is opened here is never closed"),
        ("a:\n\t- b", "2: a tab is no indentation in YAML; use spaces"),
        ("a: 3\n b: 4", "2: found 'b: 4'; its indentation does not fit the lines above"),
        ("a:\n  b: 3\n c: 4", "3: found 'c: 4'; its indentation does not fit the lines above"),
        ("a: 1\nfoo\nb: 2", "2: found 'foo', expected 'key: value' or a list item '- value'"),
        ("a: - b", "1: found 'a: - b'; a list starts on a line of its own, or is written as [a, b]"),
        ("a: 1\nb: 2\na: 3", "3: the key 'a' is here twice; the first one stands in line 1"),
        ("a:\n  x: 1\n  x: 1", "3: the key 'x' is here twice; the first one stands in line 2"),
        ("just text", "1: found 'just text', expected keys with values, as in 'sources: ...'"),
        ("a:b", "1: found 'a:b', expected keys with values, as in 'sources: ...'"),
        ("- a", "1: found a list, expected keys with values, as in 'sources: ...'"),
        ("a: 1\n---\nb: 2", "2: a second document starts here; a config file holds one"),
        ("a: 1\nb: \x01", "2: holds the character '\\x01', which YAML does not allow"),
        ("a: &x 1\nb: &x 2", "2: there are two anchors '&x'"),
        ("? [a]\n: 3", '1: a key must be text; put it in quotes: "[a]"'),
        ("<<: 3", "1: '<<' takes an alias of a mapping, or a list of those"),
    ],
)
def test_other_mistakes_are_told_in_plain_words(text: str, message: str) -> None:
    assert complaint(text) == f"c.yaml:{message}"


def test_an_alias_inside_of_its_own_anchor_is_refused() -> None:
    assert complaint("a: &x [*x]") == "c.yaml:1: the alias '*x' stands inside of what it stands for"


def test_aliases_that_multiply_are_refused_before_they_cost_anything() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert complaint(laughs) == "c.yaml:6: aliases make this grow beyond 100000 values"


def test_merge_keys_that_multiply_are_refused_too() -> None:
    lines = ["a0: &a0 {x: &x [1, 2, 3, 4, 5, 6, 7, 8, 9]}"]
    lines += [f"a{n}: &a{n} {{l{n}: *a{n - 1}, r{n}: *a{n - 1}, <<: *a{n - 1}}}" for n in range(1, 60)]
    assert complaint("\n".join(lines)).endswith("aliases make this grow beyond 100000 values")


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 5000, "a: " + "{a: " * 5000, "".join("  " * n + "a:\n" for n in range(99))]
)
def test_deep_nesting_is_refused_and_not_a_crash(text: str) -> None:
    assert complaint(text).endswith("is nested more than 32 levels deep")


def test_a_merge_key_gives_defaults_that_keep_their_line() -> None:
    node = tree("base: &base {a: 1, b: 2}\nsecond: &second {b: 8, c: 9}\nuser:\n  b: 3\n  <<: [*base, *second]\n")
    user = node.items["user"]
    assert isinstance(user, Mapping)
    assert {key: getattr(value, "text", "") for key, value in user.items.items()} == {"b": "3", "a": "1", "c": "9"}
    assert {key: place.line for key, place in user.keys.items()} == {"b": 4, "a": 1, "c": 2}


def test_the_same_key_in_a_merge_is_no_duplicate_but_a_quoted_one_is_a_key() -> None:
    assert list(tree("base: &base {a: 1}\nuser: {<<: *base, a: 2}\n'<<': 3\n").items) == ["base", "user", "<<"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff"])
def test_a_file_with_nothing_in_it_is_an_empty_mapping(text: str) -> None:
    assert tree(text.lstrip("\ufeff")).items == {}


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"a: 1\nb: \xff\xfe\n")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * 2**20)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "README").write_text("not a config")
    from shipper.config import load

    with pytest.raises(ConfigError) as caught:
        load([tmp_path / name for name in ("binary.yaml", "large.yaml", "missing.yaml", "conf.d")])
    assert [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems] == [
        "binary.yaml:2: is not UTF-8 text",
        "large.yaml: is larger than 1 MiB; that is not a config",
        "missing.yaml: cannot be read: No such file or directory",
        "conf.d: the directory holds no *.yaml or *.yml",
    ]


def test_control_characters_of_a_config_never_reach_the_terminal(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, '"\\e[31mred\\a": 1\n"two\\nlines": 2\n')
    assert all(problem.isprintable() for problem in problems)
