"""redact: what is taken out, and what stays."""

import random
import re
from typing import Any

import pytest
from support.secrets import (
    ALL,
    CARDS,
    EMAILS,
    IPS,
    KEY,
    NO_CARDS,
    NO_EMAILS,
    NO_IPS,
    NO_TOKENS,
    TOKENS,
    redact,
)

from shipper import Processor
from shipper.testing import Line, ProcessorConformance, RunChain
from shipper_processors.redact import Redact


class TestConformance(ProcessorConformance):
    """With everything there is to find."""

    lines = (*CARDS, *EMAILS, *IPS, *(text for text, _ in TOKENS if "\n" not in text), "nothing", *NO_CARDS)

    def make(self) -> Processor:
        """As a config would make it."""
        return Redact(find=list(ALL))


class TestConformanceOfFields(ProcessorConformance):
    """In some fields, with a hash."""

    lines = ({"a": CARDS[0], "b": CARDS[0]}, {"c": {"d": [EMAILS[0]]}}, {"c": 5}, {"a": 4111111111111111})

    def make(self) -> Processor:
        """As a config would make it."""
        return Redact(find=list(ALL), fields=["a", "c.d"], action="hash", key=KEY)


@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_is_taken_out(card: str) -> None:
    for before, after in (
        ("", ""),
        ("paid with ", "."),
        ("a\\n", "\\n"),
        ("card:", ","),
        ("\u00e9", "\u00e9"),
        ("12 ", " 7"),
    ):
        assert redact(f"{before}{card}{after}", find=["cards"]) == f"{before}***{after}"


def test_digits_without_end_are_no_card() -> None:
    digits = "4111111111111111" * 10_000
    assert redact(f"{digits} {CARDS[0]}", find=["cards"]) == f"{digits} ***"


@pytest.mark.parametrize("text", NO_CARDS)
def test_what_only_looks_like_a_card_number_stays(text: str) -> None:
    assert redact(f"a {text}", find=["cards"]) == f"a {text}"


def test_few_random_numbers_look_like_cards() -> None:
    numbers = random.Random(1)
    hits = sum(redact(f"{numbers.randrange(10**15, 10**16)}", find=["cards"]) == "***" for _ in range(4000))
    assert hits < 4000 // 30
    assert not any("***" in redact(f"{numbers.getrandbits(128):032x}", find=["cards"]) for _ in range(4000))


@pytest.mark.parametrize("text", EMAILS)
def test_an_email_address_is_taken_out(text: str) -> None:
    assert redact(f"<{text}>, {text}.", find=["emails"]) == "<***>, ***."


@pytest.mark.parametrize("text", NO_EMAILS)
def test_what_only_looks_like_an_email_address_stays(text: str) -> None:
    assert redact(f"a {text}", find=["emails"]) == f"a {text}"


@pytest.mark.parametrize("text", IPS)
def test_an_ip_address_is_taken_out(text: str) -> None:
    for before, after in (
        ("", ""),
        ("[", "]:80"),
        ("client:", ","),
        ("/", "/"),
        ("a\\n", "\\n"),
        ("x=", "%eth0"),
        ("", "."),
    ):
        assert redact(f"{before}{text}{after}", find=["ips"]) == f"{before}***{after}"


@pytest.mark.parametrize("text", NO_IPS)
def test_what_only_looks_like_an_ip_address_stays(text: str) -> None:
    assert redact(f"a {text}", find=["ips"]) == f"a {text}"


@pytest.mark.parametrize(("text", "secret"), TOKENS)
def test_a_token_is_taken_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(f"a {text}", find=["tokens"])


@pytest.mark.parametrize("before", ["", "x", "a_", "%3D", "\\n", "eyJaaaaa", "eyJ.", "eyJaaaaa.eyJbbbbb "])
def test_a_json_web_token_is_taken_out_whatever_stands_before_it(before: str) -> None:
    secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
    assert "c2ln" not in redact(f"{before}{secret}", find=["tokens"])


def test_what_stands_around_a_token_stays() -> None:
    line = '{"user":"ann","password":"x \\"y\\"","ok":true} token=abc&page=2'
    assert redact(line, find=["tokens"]) == '{"user":"ann","password":"***","ok":true} token=***&page=2'


@pytest.mark.parametrize("text", NO_TOKENS)
def test_what_only_looks_like_a_token_stays(text: str) -> None:
    assert redact(text, find=["tokens"]) == text


def test_values_of_fields_with_telling_names_are_taken_out(run_chain: RunChain) -> None:
    record: Line = {"password": "x", "clientSecret": 5, "token": "", "a": [{"api_key": "y", "tokens": 7}], "pwd": True}
    assert run_chain(Redact(find=["tokens"]), [record]).records == [
        {"password": "***", "clientSecret": "***", "token": "", "a": [{"api_key": "***", "tokens": 7}], "pwd": True}
    ]


@pytest.mark.parametrize(
    ("record", "left"),
    [
        ({"Authorization": ["Basic dXNlcjpwYXNz"]}, {"Authorization": ["***"]}),  # as Go's http.Header has it
        ({"headers": {"Authorization": ["Bearer abc"]}}, {"headers": {"Authorization": ["***"]}}),
        ({"password": ["a", 5, "", None]}, {"password": ["***", "***", "", None]}),
        ({"password": {"value": "hunter2", "at": [{"x": "y"}]}}, {"password": {"value": "***", "at": [{"x": "***"}]}}),
    ],
)
def test_all_values_below_a_telling_name_are_taken_out(run_chain: RunChain, record: Line, left: Line) -> None:
    assert run_chain(Redact(find=["tokens"]), [record]).records == [left]


def test_a_field_below_a_telling_name_is_a_secret_where_it_alone_is_searched(run_chain: RunChain) -> None:
    record: Line = {"password": {"value": "hunter2", "other": "x"}}
    assert run_chain(Redact(find=["tokens"], fields=["password.value"]), [record]).records == [
        {"password": {"value": "***", "other": "x"}}
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://u:p@ss@h/x", "https://u:***@h/x"),
        ("https://u:p@s@s@h", "https://u:***@h"),
        ("https://u:p@@h/@x", "https://u:***@h/@x"),
        ("https://u:p@h/x?to=ann@example.com b@c", "https://u:***@h/x?to=ann@example.com b@c"),
        ("https://u:p@h,https://v:q@i", "https://u:***@h,https://v:***@i"),
        ('{"a":"http://h:80","b":"ann@example.com"}', '{"a":"http://h:80","b":"ann@example.com"}'),
        (r'{"a":"{\"x\":\"http://h:80\",\"b\":\"a@b.io\"}"}', r'{"a":"{\"x\":\"http://h:80\",\"b\":\"a@b.io\"}"}'),
        ('https://u:p"s@h/', "https://u:***@h/"),
    ],
)
def test_the_whole_password_of_an_address_is_taken_out_and_nothing_else(text: str, left: str) -> None:
    assert redact(text, find=["tokens"]) == left


def test_numbers_that_are_cards_become_text() -> None:
    assert redact({"a": [4111111111111111, 4111111111111112, -4111111111111111, 2**80]}) == {
        "a": ["***", 4111111111111112, -4111111111111111, 2**80]
    }


def test_the_last_characters_may_stay_but_never_most_of_it() -> None:
    assert redact(f"{CARDS[0]} password=abcdef", keep_last=4) == "***1111 password=***ef"


def test_a_hash_is_the_same_for_the_same_secret_and_the_same_key_only() -> None:
    first = redact("4000-0000-0000-0002 Ann@Example.com", action="hash", key=KEY)
    assert re.fullmatch(r"\[card:[0-9a-f]{16}\] \[email:[0-9a-f]{16}\]", first)
    assert redact("4000000000000002 ann%40example.com", action="hash", key=KEY) == first
    assert redact("4000000000000002 ann%40example.com", action="hash", key=KEY + "x") != first
    assert redact("4000000000000002 bob%40example.com", action="hash", key=KEY) != first


def test_a_secret_can_be_removed() -> None:
    assert redact(f"a {CARDS[0]} b {EMAILS[0]}", action="remove") == "a  b "


def test_patterns_of_ones_own_replace_their_group_secret() -> None:
    patterns = {"iban": re.compile(r"\bDE\d{20}\b"), "pin": re.compile(r"pin (?P<secret>\d{4})")}
    assert redact(f"DE{'12' * 10}, pin 1234", find=[], patterns=patterns) == "***, pin ***"
    hashed = redact("pin 1234", find=[], patterns=patterns, action="hash", key=KEY)
    assert re.fullmatch(r"pin \[pin:[0-9a-f]{16}\]", hashed)


def test_a_pattern_that_backtracks_without_end_fails_its_record_alone(run_chain: RunChain) -> None:
    hostile = Redact(patterns={"x": re.compile(r"(a+)+$")})
    result = run_chain(hostile, ["aa", "a" * 40_000 + "b", "ok"])
    assert result.records == [{"message": "***"}, {"message": "ok"}]
    assert result.failed == 1
    assert "the pattern (a+)+$" in result.dead_letters[0].error


def test_overlapping_secrets_are_replaced_together() -> None:
    assert redact("password=ann@example.com, x", find=["emails", "tokens"]) == "password=***, x"
    assert redact("https://u:10.0.0.1@h.io/", find=list(ALL)) == "https://u:***/"
    assert redact("in abcde and abcd", find=[], patterns={"first": "abc", "second": "cde"}) == "in *** and ***d"


def test_only_the_named_fields_are_searched(run_chain: RunChain) -> None:
    record: Line = {"a": EMAILS[0], "b": {"c": EMAILS[0], "d": [EMAILS[0], {"e": EMAILS[0]}]}}
    assert run_chain(Redact(find=["emails"], fields=["b.d", "b.x", "a.b"]), [record]).records == [
        {"a": EMAILS[0], "b": {"c": EMAILS[0], "d": ["***", {"e": "***"}]}}
    ]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"find": []}, "nothing to look for"),
        ({"action": "hash"}, "key is missing"),
        ({"action": "hash", "key": "short"}, "key is shorter than 16 characters"),
        ({"keep_last": -1}, "keep_last is -1"),
        ({"fields": []}, "fields is empty"),
        ({"fields": ["a..b"]}, "is not a field's name"),
    ],
)
def test_settings_that_cannot_be_are_config_errors(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Redact(**({"find": ["cards"]} | wrong)).setup()


def test_a_run_of_blanks_and_digits_of_any_length_is_gone_through_once() -> None:
    long = " ".join(["4111"] * 30_001)
    assert redact(f"{long}, {CARDS[2]}", find=["cards"]).endswith(", ***")
    assert redact(f"{' ' * 100_000}{CARDS[0]}{'-' * 100_000}", find=["cards"]).strip(" -") == "***"
