"""redact: which lines of a buffer it looks at closely."""

import json
from itertools import product

import pytest
from support.secrets import ALL, CARDS, EMAILS, FILLERS, IPS, TOKENS, redact, suspected

from shipper_processors.redact import Redact


def test_ordinary_lines_are_not_suspect() -> None:
    processor = Redact(find=list(ALL))
    processor.setup()
    assert processor.suspects(b'{"a": 1.50, "t": "2026-11-21T13:15:06Z"}\nplain \r\n10.0.0 is no address\n') == []
    assert processor.suspects(b"plain\nip 10.0.0.1\nx ann@example.com\n") == [6, 23]


def test_where_most_lines_are_suspects_all_are() -> None:
    data = b"".join(b"10.0.0.%d ann@example.com token=x\n" % (n % 256) for n in range(500))
    for kind in ("emails", "ips", "tokens"):
        processor = Redact(find=[kind])
        processor.setup()
        assert processor.suspects(data) is None


@pytest.mark.parametrize("secret", [*CARDS, *EMAILS, *IPS, *(text for text, _ in TOKENS)])
def test_a_secret_is_suspect_however_json_spells_it(secret: str) -> None:
    processor = Redact(find=list(ALL))
    processor.setup()
    line = json.dumps({"a": f"x {secret}"}, ensure_ascii=False).encode()
    for spelled in (line, line.replace(b"/", b"\\/"), secret.encode()):
        assert processor.suspects(spelled + b"\n")


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("secret", [*CARDS, *EMAILS, *IPS, *(text for text, _ in TOKENS if "\n" not in text)])
def test_a_secret_among_many_lines_is_suspect_wherever_it_stands(secret: str, filler: str) -> None:
    kinds = [kind for kind in ALL if redact(secret, find=[kind]) != secret]
    for kind in kinds:
        processor = Redact(find=[kind])
        processor.setup()
        for at, last in product((0, 1, 250, 399), (b"the end", b"a NUL: \0")):
            lines = [*[filler.encode()] * 400, last]
            lines[at] = f"{filler} {secret}".encode()
            assert at in suspected(processor, lines), (kind, at, last)


@pytest.mark.parametrize(("word", "spelled"), [(text, case(text)) for text, _ in TOKENS for case in (str, str.upper)])
def test_what_is_a_token_in_either_case_is_suspect_in_either_case(word: str, spelled: str) -> None:
    processor = Redact(find=["tokens"])
    processor.setup()
    assert redact(spelled, find=["tokens"]) == spelled or processor.suspects(f"a {spelled}\n".encode()), word


EACH_WORD = (
    *(f"{name}=x1y2" for name in ("password", "passwd", "passphrase", "pwd", "secret", "token", "authorization")),
    *(f"{kind}_key=x1y2" for kind in ("api", "access", "account", "auth", "private", "secret", "encryption")),
    *("private-key: x1y2", "ApiKey: x1y2", "bearer abcdef123", f"ASIA{'A2' * 8}", f"github_pat_{'a' * 40}"),
    *(f"gh{kind}_{'a1' * 18}" for kind in "opsur"),
    *(f"{kind}k_live_{'c' * 24}" for kind in "rs"),
)


@pytest.mark.parametrize("text", EACH_WORD)
def test_each_word_that_tells_a_token_is_suspect_by_itself(text: str) -> None:
    processor = Redact(find=["tokens"])
    processor.setup()
    assert redact(text, find=["tokens"]) != text
    assert suspected(processor, [b"a", text.encode(), b"b"]) == {1}
    assert suspected(processor, [b"a", text.encode(), *[b"calm"] * 400]) == {1}
    assert suspected(processor, [b"a", text.encode(), *[b"calm"] * 400, b"\0"]) == {1}


def test_rows_of_dates_do_not_hide_a_card_behind_a_calm_beginning() -> None:
    calm, dates = [b"calm"] * 2000, [b"2026-11-21 13:15:06 x"] * 2000
    processor = Redact(find=["cards"])
    processor.setup()
    assert suspected(processor, [*calm, *dates, CARDS[3].encode(), *dates]) == {4000}


def test_parts_of_ids_are_not_suspect() -> None:
    processor = Redact(find=["cards"])
    processor.setup()
    ids = (b"id=t4111111111111111 ", b"4111111111111111f ", b"0a4111111111111111 ")
    assert suspected(processor, [*ids, b"\\n4111111111111111", b"\\u00204111111111111111"]) == {3, 4}
