"""redact, with texts made of secrets, of what comes near one, and of what stands between."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.secrets import (
    CARDS,
    EMAILS,
    FILLERS,
    IPS,
    NO_CARDS,
    NO_IPS,
    NO_TOKENS,
    kinds,
    names,
    redact,
    suspected,
    texts,
    values,
)

from shipper import Record
from shipper_processors.redact import Redact


@settings(max_examples=100)
@given(kinds, st.lists(st.dictionaries(names, values, max_size=3), max_size=4), st.booleans())
def test_objects_that_are_not_suspect_would_not_change(found: Any, records: list[Record], escaped: bool) -> None:
    processor = Redact(find=found)
    processor.setup()
    lines = [json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") for record in records]
    lines = [line.replace(b"/", b"\\/") if escaped else line for line in lines]
    suspects = suspected(processor, lines)
    for at, line in enumerate(lines):
        if at not in suspects and b"\\u" not in line:
            assert processor.process(json.loads(line)) == json.loads(line)


@settings(max_examples=300)
@given(kinds, st.lists(texts, max_size=5))
def test_lines_that_are_not_suspect_would_not_change(found: Any, written: list[str]) -> None:
    processor = Redact(find=found)
    processor.setup()
    lines = [text.encode("utf-8", "replace") for text in written]
    suspects = suspected(processor, lines)
    for at, line in enumerate(lines):
        if at not in suspects and b"\\u" not in line:
            assert processor.process({"message": line.decode()}) == {"message": line.decode()}


before = st.sampled_from(
    ["", " ", "\n", "\\n", "\\u0020", '"', "'", ",", ": ", "\t", "(", "<", "1 ", "- ", "4111 ", ". "]
)
after = st.sampled_from(["", " ", "\n", "\\n", "\\u0020", '"', ",", ": ", "\t", ")", ">", " 1", " - ", " 4111", ". "])


@settings(max_examples=300)
@given(st.sampled_from([*CARDS, *EMAILS, *IPS]), before, after, st.sampled_from(["", "a ", "7 ", "@ ", ":: ", "... "]))
def test_no_planted_secret_survives(secret: str, left: str, right: str, noise: str) -> None:
    text = redact(f"{noise}{left}{secret}{right}")
    assert secret not in text
    assert "***" in text


lines_between = st.sampled_from([*FILLERS, *NO_CARDS, *NO_IPS, *NO_TOKENS])


@settings(max_examples=150, deadline=None)
@given(
    kinds,
    st.lists(st.tuples(st.integers(0, 300), lines_between, texts), max_size=5),
    st.integers(0, 3),
    st.sampled_from([[], [b"a NUL, with which short texts are looked for in another way: \0"]]),
)
def test_what_a_large_buffer_says_of_a_line_is_what_the_line_says(found: Any, parts: Any, head: int, end: Any) -> None:
    processor = Redact(find=found)
    processor.setup()
    lines = [b"{}"] * (1000 * head)
    for times, between, text in parts:
        lines += [between.encode("utf-8", "replace").replace(b"\n", b" ")] * times
        lines.append(text.encode("utf-8", "replace").replace(b"\n", b" "))
    suspects = suspected(processor, [*lines, *end])
    for at, line in enumerate(lines):
        if at not in suspects and b"\\u" not in line and (at == 0 or lines[at - 1] != line):
            assert processor.process({"message": line.decode()}) == {"message": line.decode()}


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=5))
def test_addresses_and_cards_are_suspect_in_the_same_lines_however_they_are_looked_for(written: list[str]) -> None:
    processor = Redact(find=["cards", "emails", "ips"])
    processor.setup()
    lines = [text.encode("utf-8", "replace").replace(b"\n", b" ") for text in written]
    calm = [b"calm"] * 400  # enough for the quickest way
    few = suspected(processor, lines)
    assert suspected(processor, [*lines, *calm]) == few
    assert suspected(processor, [*lines, *calm, b"\0"]) == few


@given(texts)
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    once = redact(text, find=["cards", "emails"])
    assert redact(once, find=["cards", "emails"]) == once
