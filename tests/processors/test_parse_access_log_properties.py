"""parse_access_log: the quick ways and the expression of a format, with any lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Record
from shipper.testing import run_batch, start_chain
from shipper_processors.parse_access_log import ParseAccessLog

COMBINED = (
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 '
    '"http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"'
)
ODD = [
    "-",
    "",
    "a",
    " ",
    '"',
    "\\",
    '\\"',
    "\\x22",
    "[",
    "]",
    "\t",
    "\n",
    "\x00",
    "\x1f",
    "\x7f",
    "é",
    "\udcff",
    "0",
    "01",
]
"""Pieces of text; the surrogate is a byte that is no UTF-8."""
ODD_TEXT = st.lists(st.sampled_from(ODD), max_size=3).map("".join)
VALUES = st.tuples(
    st.sampled_from(["10.0.0.1", "::1", "-"]) | ODD_TEXT,
    st.just("-") | ODD_TEXT,
    st.sampled_from(["-", "ann", "a b"]) | ODD_TEXT,
    st.sampled_from(["10/Oct/2000:13:55:36 -0700", "10/Oct/2000:13:55:37 -0700", "10/Oct/2000:25:00:00 +0000"]),
    st.sampled_from(["GET / HTTP/1.1", "POST /a?b=c HTTP/2.0", "GET /", "-", "GET /a b HTTP/1.1", "X / HTTP/9"])
    | ODD_TEXT,
    st.sampled_from(["200", "404", "099", "-", "\u0662\u0660\u0660"]) | ODD_TEXT,
    st.sampled_from(["0", "2326", "007", "-", "9" * 19]) | ODD_TEXT,
    st.sampled_from(["-", "http://example.com/"]) | ODD_TEXT,
    st.just(" ") | ODD_TEXT,
    st.sampled_from(["-", "curl/8"]) | ODD_TEXT,
).map(lambda values: '{} {} {} [{}] "{}" {} {} "{}"{}"{}"'.format(*values))
PLACES = ["127.0.0.1", "frank", "GET", "/apache_pb.gif", "HTTP/1.0", " 200", "2326", "http:", '" "', "Nav", ')"']
"""Where something odd is put into a line that is not odd otherwise."""
USUAL = st.sampled_from([COMBINED, COMBINED.replace("frank", "-"), COMBINED.replace(" 200 ", " 304 ")])
LINES = st.lists(
    (USUAL | VALUES | ODD_TEXT).map(lambda line: line.encode("utf-8", "surrogateescape")) | st.binary(max_size=5),
    max_size=20,
)


def every_way_is_the_same(lines: list[bytes], form: str) -> None:
    """What a line means is said by the format's expression; the quick ways give the same."""
    parse = ParseAccessLog(format=form)
    parse.setup()

    def by_definition(line: bytes) -> Record | str:
        for each in parse.formats:
            try:
                record = each.parse(line.decode("utf-8", "replace"))
            except ValueError as error:
                return str(error)
            if record is not None:
                return record
        return f"the line is not in the format {form}"

    expected = [by_definition(line) for line in lines]
    parsed, written = parse.process_lines(lines), parse.json_lines(lines)
    assert parsed is not None
    assert written is not None
    assert [record if isinstance(record, dict) else str(record) for record in parsed] == expected
    assert [json.loads(line) if isinstance(line, bytes) else str(line) for line in written] == expected
    assert not any(b"\n" in line for line in written if isinstance(line, bytes))


@given(LINES, st.sampled_from(["combined", "nginx"]))
def test_every_way_gives_what_the_definition_of_the_format_gives(lines: list[bytes], form: str) -> None:
    every_way_is_the_same(lines, form)


@pytest.mark.parametrize("place", PLACES)
def test_so_it_does_with_something_odd_in_one_place(place: str) -> None:
    for odd in ODD:
        line = COMBINED.replace(place, place[:1] + odd + place[1:])
        every_way_is_the_same([COMBINED.encode()] * 9 + [line.encode("utf-8", "surrogateescape")], "combined")


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: text != "-")


@given(PLAIN, PLAIN, st.integers(100, 599), st.integers(0, 10**18 - 1))
def test_what_a_server_escapes_comes_back(path: str, agent: str, status: int, size: int) -> None:
    """As Apache and nginx do it: quotes, backslashes and everything that is no printable ASCII as bytes."""

    def escaped(text: str) -> str:
        return "".join(chr(b) if 33 <= b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in text.encode())

    line = (
        f'::1 - - [10/Oct/2000:13:55:36 -0700] "GET /{escaped(path)} HTTP/1.1" {status} {size} "-" "{escaped(agent)}"'
    )
    (record,) = run_batch(start_chain([ParseAccessLog()]), [line]).records
    assert (record["path"], record["agent"]) == ("/" + path, agent)
    assert (record["status"], record["bytes"]) == (status, size)
