"""Texts that hold secrets, texts that come near one, and what ``redact`` makes of them."""

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st

from shipper_processors.redact import Redact

KEY = "0123456789abcdef"
CARDS = (
    "4111111111111111",
    "4222222222222",
    "4000-0000-0000-0002",
    "5555 5555 5555 4444",
    "2223003122003222",
    "378282246310005",
    "3782 822463 10005",
    "30569309025904",
    "6011111111111117",
    "3530-1113-3330-0000",
    "6200000000000005",
    "2200 0000 0000 0004",
    "4111 1111 1111 1111 128",
)
NO_CARDS = (
    "1763730906123",  # milliseconds
    "1763730906123456789",  # nanoseconds
    "2026-11-21 13:15:06,123",
    "4111111111111112",  # the check digit
    "41111111111111111",  # one too many
    "a4111111111111111",
    "4111111111111111f",
    "3f4111111111111111ab",
    "0.4111111111111111",
    "4111111111111111.5",
    "+4915112345678",
    "550e8400-4111-1111-1111-11111111aaaa",
    "4111 1111 1111 111",
    "4111  1111 1111 1111",
    "\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
)
EMAILS = (
    "ann@example.com",
    "a.b+c@mail.example.co.uk",
    "j\u00f6rg@b\u00fccher.de",
    "bob%40example.org",
    "o'x_y-z@a-b.io",
)
NO_EMAILS = (
    "@angular/core",
    "root@localhost",
    "icon@2x.png",
    "lodash@4.17.21",
    "com.example.Foo@1b2c3d4e",
    "a @ b.com",
)
IPS = (
    "10.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "2001:db8:85a3::8a2e:370:7334",
    "::ffff:192.0.2.1",
    "2001:db8:0:0:0:0:0:1",
)
NO_IPS = (
    "1.2.3",
    "1.2.3.4.5",
    "v1.2.3.4",
    "256.1.1.1",
    "1.3.6.1.4.1.311",
    "13:15:06",
    "std::array",
    "a::b",
    "00:1a:2b:3c:4d:5e",
    "00:11:22:33:44:55:66:77",
    "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
)
TOKENS = (
    ("password=hunter2", "hunter2"),
    ("PASSWORD: hunter2", "hunter2"),
    ("?access_token=abc&x=1", "abc"),
    ('{"api_key": "a b c"}', "a b c"),
    ('{\\"secret\\":\\"a b c\\"}', "a b c"),
    ('password="a\\"b c"', "b c"),
    ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("got Bearer abcdef1234567890", "abcdef1234567890"),
    ("postgres://app:s3cr3t@db/x", "s3cr3t"),
    ("postgres:\\/\\/app:s3cr3t@db", "s3cr3t"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "c2ln"),
    ("id AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    (f"ghp_{'a1' * 18}", "a1a1"),
    (f"glpat-{'x' * 20}", "xxxx"),
    (f"AIza{'b' * 35}", "bbbb"),
    ("xoxb-1234567890-abc", "1234567890"),
    (f"sk_live_{'c' * 24}", "cccc"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
)
NO_TOKENS = ("bearer of bad news", "tokens used", "monkey=1", "token_count 5", "http://example.com:80/a", "key")
ALL: tuple[Any, ...] = ("cards", "emails", "ips", "tokens")


FILLERS = (
    "2026-11-21 13:15:06 0000 0000 a row of numbers",  # as long a run as a card
    '{"t":"2026-11-21T13:15:06.123Z","id":"a1234567890123b","ms":0.1234567890123456,"at":"a::b"}',
    "\t... 12 more, v1.2.3.4.5 of com.example.a.b.c at std::array",
    "the keyboard's tokenizer has a path of 4111-1111 x-y_z",
    "",
)
"""Ordinary lines, each of which comes near a kind of secret."""

secrets = st.sampled_from([*CARDS, *EMAILS, *IPS, *(text for text, _ in TOKENS)])
others = st.sampled_from([*NO_CARDS, *NO_EMAILS, *NO_IPS, *NO_TOKENS])
glue = st.sampled_from(
    [*" -.:/,\\\"'=@%[]{}\n\t\r_", "", "\\n", "\\u0020", "::", "0", "7", "a", "x", "\u00e9", "\u212a", "\u00bd"]
)
texts = st.lists(st.one_of(secrets, others, glue, glue, st.text(max_size=3)), max_size=7).map("".join)
names = st.one_of(
    st.sampled_from(["a", "password", "x-ApiKey", "private key", "Authorization", "clientSecret", "n"]), texts
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.just(4111111111111111)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=4,
)
kinds = st.lists(st.sampled_from(ALL), min_size=1, unique=True)


def redact(value: Any, **settings: Any) -> Any:
    """What becomes of one value in a field ``x``."""
    processor = Redact(**({"find": list(ALL)} | settings))
    processor.setup()
    return processor.process({"x": value})["x"]


def suspected(processor: Redact, lines: list[bytes]) -> set[int]:
    """Which of the lines ``suspects`` points at; all where it does not say."""
    places = processor.suspects(b"".join(line + b"\n" for line in lines))
    if places is None:
        return set(range(len(lines)))
    assert places == sorted(places)
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    return {bisect_right(starts, place) - 1 for place in places}
