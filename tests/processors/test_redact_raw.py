"""redact, of JSON lines that nobody parsed: what was JSON stays JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.secrets import CARDS, EMAILS, IPS, TOKENS, redact

from shipper import Record


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (r'{"a":"x\nann@example.com"}', r'{"a":"x\n***"}'),
        (r'{"a":"\tann@example.com, ann@example.com"}', r'{"a":"\t***, ***"}'),
        (r'{"a":"x \u00e9nn@example.com"}', r'{"a":"x ***"}'),
        (r'{"a":"x \u00e9@example.com"}', r'{"a":"x ***"}'),
        (r'{"a":"\u003cann@example.com\u003e"}', r'{"a":"\u003c***\u003e"}'),  # as Go writes <
        (r'{"a":"\u0020@example.com"}', r'{"a":"\u0020@example.com"}'),
        (rf'{{"a":"b\u00e9{"a" * 61}@example.com"}}', r'{"a":"b\u00e9***"}'),
        (r'{"a":"C:\\ann@example.com"}', r'{"a":"C:\\***"}'),
    ],
)
def test_an_email_address_behind_an_escape_takes_no_part_of_it_along(line: str, left: str) -> None:
    assert redact(line) == left


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ('{"token":12,"x":1}', '{"token":"***","x":1}'),
        ('{"token": -1.5e3 }', '{"token": "***" }'),
        ('{"a":4111111111111111}', '{"a":"***"}'),
        ('{"a":[1,4111111111111111, -4111111111111111]}', '{"a":[1,"***", "***"]}'),
        ('{"a":":4111111111111111, x"}', '{"a":":***, x"}'),
        ('{"password":null,"secret":true,"token":false}', '{"password":null,"secret":true,"token":false}'),
        ('{"Authorization":["Basic dXNlcjpwYXNz"]}', '{"Authorization":["***"]}'),
        ('{"a":"/?token=","b":"c","pwd":"x"}', '{"a":"/?token=","b":"c","pwd":"***"}'),
        ('{"a":"password=\'x","b":"it\'s"}', '{"a":"password=\'***","b":"it\'s"}'),
        (r'{"a":"{\"token\":\"x\"}"}', r'{"a":"{\"token\":\"***\"}"}'),
    ],
)
def test_what_takes_the_place_of_a_bare_value_has_quotes(line: str, left: str) -> None:
    assert redact(line) == left


def test_text_that_is_no_json_gets_no_quotes() -> None:
    assert redact("token: 12, a: 4111111111111111") == "token: ***, a: ***"
    assert redact("{x} token: 12") == "{x} token: ***"


def test_of_an_escape_no_half_is_kept() -> None:
    assert redact(r'{"pwd":"abcdef\"\\"}', keep_last=1) == '{"pwd":"***"}'


calm = st.one_of(
    st.sampled_from(["", "x", "\n", '"', "'", "\\", "\u00e9", "<", ", ", "=", ": ", "token", "https://h:8"])
)
secret = st.sampled_from([*CARDS, *EMAILS, *IPS, *(text for text, _ in TOKENS if "BEGIN" not in text)])
texts = st.lists(st.one_of(calm, secret), max_size=4).map("".join)
scalars = st.one_of(
    texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.just(4111111111111111)
)
records = st.dictionaries(
    st.sampled_from(["a", "password", "Authorization", "clientSecret", "n"]),
    st.one_of(
        scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from(["token", "b"]), scalars, max_size=2)
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(records, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_a_json_line_stays_one_object(record: Record, escaped: bool, separators: tuple[str, str]) -> None:
    line = json.dumps(record, ensure_ascii=escaped, separators=separators)
    assert isinstance(json.loads(redact(line)), dict)
