"""Regular expressions that end."""

import re
import threading

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shipper import Pattern, PatternTimeout
from shipper.pattern_cost import captures_for_good
from shipper.pattern_text import rewritten, tree_of

HOSTILE = "(a|aa)+$"
"""The package ``regex`` sees through ``(a+)+$`` by itself; this one takes it for ever."""
LONG = "a" * 5000 + "b"


@pytest.mark.parametrize(
    "text",
    [
        r"^(\S+) \S+ \[([^\]]+)\] \"([^\"]*)\" (\d+)$",
        r"error|warning",
        r"^\"(?:[^\"\\]|\\.)*\"",
        r"^(\w+\s)*$",
        r"^(?>a+)+$",
        r"[0-9]{16}",
        r"^\d{4}-\d\d-\d\dT\S+ (?P<rest>.*)",
        r"^(?:key=(?:[^,]*),)*end$",
    ],
)
def test_an_expression_that_never_has_a_choice_is_matched_by_re_whatever_the_length(text: str) -> None:
    assert Pattern(text).safe_length is None
    assert Pattern(text).search.__self__ is re.compile(text)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        r"(a+)+$",
        r"(a*)*$",
        r"(a|a)*$",
        r"(a|aa)+$",
        r"^(a?){50}a{50}$",
        r"(x+x+)+y",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        r"(.*a){20}",
        r"(\w+\s?)*$",
        r"([a-zA-Z0-9_.-]+)*@",
        r"(?:(?:a|b)*)*c",
        r"(?=(a+)+$)a",
        r"(?i)(?:kx|\u212ax)+$",
        r"(a)(\1+)+$",
        r"((?:\d+,?)+)*x",
    ],
)
def test_a_repeat_in_a_repeat_always_has_a_deadline(text: str) -> None:
    length = Pattern(text).safe_length
    assert length is not None
    assert length < 3


def test_repeats_with_bounds_count_by_their_bounds() -> None:
    length = Pattern(r"(?: {0,40}){2}!").safe_length
    assert length is not None
    assert length < 10_000


@pytest.mark.parametrize("text", [r"a+b", r"^.*foo.*bar", r"\S+ \S+", r"^\s+|\s+$", r"(?P<q>.*)\.log", r"^.*(?=.*x)y"])
def test_repeats_that_can_meet_have_a_deadline_on_long_texts(text: str) -> None:
    length = Pattern(text).safe_length
    assert length is not None
    assert 100 < length < 10_000


@pytest.mark.parametrize("text", [r"(?>(a)|b)c", r"(?:x(a)|b)*+c", r"(?:(?:(a)b)?+)+"])
def test_groups_that_some_versions_of_re_mix_up_are_left_to_the_other_engine(text: str) -> None:
    assert Pattern(text).safe_length == 0


def test_a_beginning_of_lines_is_no_choice_in_a_text_of_one_line() -> None:
    pattern = Pattern(r"^\d+ \w+ \d+ x", flags=re.MULTILINE)
    assert pattern.safe_length is None
    text = "12 ab 34 y\n1 a 2 x" * 400
    assert [m.start() for m in pattern.finditer(text)] == [
        m.start() for m in re.finditer(r"^\d+ \w+ \d+ x", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("text", [HOSTILE, r"(a|a)*$"])
def test_a_match_that_does_not_end_is_an_error_that_says_what_to_do(text: str) -> None:
    pattern = Pattern(text, deadline=0.02)
    said = r"the pattern .* was not done with 5001 characters after 0\.02 s; .* write it so that there is one"
    calls = (
        lambda: pattern.search(LONG),
        lambda: pattern.match(LONG),
        lambda: pattern.fullmatch(LONG),
        lambda: list(pattern.finditer(LONG)),
        lambda: pattern.sub("x", LONG),
    )
    for call in calls if text == HOSTILE else calls[:1]:
        with pytest.raises(PatternTimeout, match=said):
            call()
    assert pattern.fullmatch("aaa") is not None


def test_texts_that_are_all_short_enough_are_left_to_re_without_a_look_at_each() -> None:
    pattern = Pattern(r"\S+ \S+ x")
    assert pattern.safe_length is not None
    assert pattern.search_within(pattern.safe_length) == re.compile(pattern.pattern).search
    assert pattern.search_within(pattern.safe_length + 1) is pattern.search
    assert Pattern("^x").search_within(10**9) == re.compile("^x").search
    assert Pattern(HOSTILE).search_within(1) != re.compile(HOSTILE).search


def test_it_ends_in_a_thread_too_and_others_run_meanwhile() -> None:
    pattern = Pattern(HOSTILE, deadline=0.3)
    raised: list[Exception] = []
    turns = 0

    def hang() -> None:
        try:
            pattern.search(LONG)
        except PatternTimeout as error:
            raised.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert len(raised) == 1
    assert turns > 5, "the thread let nobody else run"


def test_a_long_pattern_is_shown_by_its_beginning() -> None:
    pattern = Pattern("x" * 100 + "|" + HOSTILE, deadline=0.01)
    with pytest.raises(PatternTimeout, match=r"the pattern x{60}\.\.\. was"):
        pattern.search(LONG)


@pytest.mark.parametrize("text", ["(", "a**", "(?P<1>x)", "x{99999999999}"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the regular expression cannot be read"):
        Pattern(text)


def test_a_deadline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a deadline of 0 could match nothing"):
        Pattern("x", deadline=0)


def test_groups_are_named_in_their_order() -> None:
    assert Pattern(r"(?P<b>x)(y)(?P<a>z)").groups == ("b", "a")


# What both engines must read in the same way: also what only one of them takes for something special.
atoms = st.sampled_from(
    [
        *(
            "a",
            "b",
            "ab",
            ".",
            r"\d",
            r"\w",
            r"\W",
            r"\s",
            r"\b",
            "^",
            "$",
            r"\A",
            r"\Z",
            "[ab]",
            "[^a]",
            "[a-c0]",
            r"[\w-]",
        ),
        *(
            "{e}",
            "{e<=1}",
            r"\{i\}",
            "[[]",
            "[]a]",
            r"[\]^-]",
            "é",
            "É",
            "ß",
            "(?=a)",
            "(?!b)",
            "(?<=a)",
            "(?<!b)",
            r"\.",
            " ",
        ),
    ]
)

flags = st.sampled_from([re.UNICODE, re.ASCII, re.IGNORECASE, re.MULTILINE | re.ASCII, re.DOTALL | re.IGNORECASE])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "*+", "?+"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        st.tuples(inner.map("(?:{})".format), repeats).map("".join),
        st.tuples(inner.map("({})".format), repeats).map("".join),
        inner.map("(?>{})".format),
        inner.map("(?i:{})".format),
        inner.map("({})".format).map(lambda text: text + r"\1"),
    )


@pytest.mark.filterwarnings("ignore:Possible nested set")
@settings(max_examples=400, deadline=None)
@given(st.recursive(atoms, _grown, max_leaves=8), st.lists(st.text("abcAé1 {e}\n.", max_size=12), max_size=3))
def test_an_expression_written_out_again_is_the_same_to_re(text: str, subjects: list[str]) -> None:
    try:
        first = re.compile(text)
    except (re.error, OverflowError):
        return
    tree = tree_of(first)
    assume(not captures_for_good(tree, atomic=False))
    again = re.compile(rewritten(tree, {}), first.flags)
    for subject in subjects:
        found, same = first.search(subject), again.search(subject)
        assert (found and (found.span(), found.groups())) == (same and (same.span(), same.groups()))


@pytest.mark.filterwarnings("ignore:Possible nested set")
@settings(max_examples=400, deadline=None)
@given(st.recursive(atoms, _grown, max_leaves=8), st.lists(st.text("abcAé1 {e}\n.", max_size=12), max_size=3), flags)
def test_both_engines_find_the_same(text: str, subjects: list[str], flag: re.RegexFlag) -> None:
    try:
        pattern = Pattern(text, flags=flag)
    except ValueError:
        return
    compiled = re.compile(text, flag)
    assume(not captures_for_good(tree_of(compiled), atomic=False))
    matcher = pattern._load()  # also where ``re`` would do
    for subject in subjects:
        found, same = compiled.search(subject), matcher.search(subject, timeout=1)
        assert (found and (found.span(), found.groups())) == (same and (same.span(), same.groups()))
        assert compiled.sub("_", subject) == matcher.sub("_", subject, timeout=1)
        assert [m.span() for m in compiled.finditer(subject)] == [m.span() for m in matcher.finditer(subject)]
