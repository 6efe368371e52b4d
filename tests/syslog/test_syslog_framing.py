"""Framing of syslog over TCP: octet counting and newlines, any split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.syslog import Message, SyslogFramer


def framed(*parts: bytes, limit: int = 65536, broken: bool = False) -> list[Message]:
    framer = SyslogFramer(limit)
    found = [message for part in parts for message in framer.feed(part)] + framer.finish(broken=broken)
    assert framer.held == 0
    assert not framer.unfinished
    return found


def data(*parts: bytes, limit: int = 65536) -> list[bytes]:
    return [message.data for message in framed(*parts, limit=limit)]


def test_the_example_of_rfc_6587() -> None:
    """Two counted messages, one with a newline in it."""
    assert data(b"12 <34>1 first\n11 <34>1 other") == [b"<34>1 first", b"<34>1 other"]
    assert data(b"15 <34>1 two\nlines13 <34>1 another") == [b"<34>1 two\nlines", b"<34>1 another"]


def test_each_frame_says_anew_what_it_is() -> None:
    """On one connection, as rsyslog has it."""
    assert data(b"<13>a\n5 <13>b<13>c\n5 <13>d\n<13>e\n") == [b"<13>a", b"<13>b", b"<13>c", b"<13>d", b"<13>e"]


@pytest.mark.parametrize("trailer", [b"\n", b"\r\n", b"\0", b"\0\n", b"\n\n\0"])
def test_trailers_belong_to_no_message(trailer: bytes) -> None:
    """Behind a line, in a counted message, and behind one."""
    assert data(b"<13>a" + trailer + b"<13>b" + trailer) == [b"<13>a", b"<13>b"]
    assert data(b"%d <13>a%s5 <13>b" % (5 + len(trailer), trailer)) == [b"<13>a", b"<13>b"]
    assert data(b"5 <13>a" + trailer + b"5 <13>b" + trailer) == [b"<13>a", b"<13>b"]
    assert data(trailer) == []


@pytest.mark.parametrize(
    "line",
    [b"15 apples fell", b"2024-10-11 begins", b"54 <1 minute ago", b"0 <13>x", b"12345678 <13>x", b"7", b"5 <1234>x"],
)
def test_a_line_that_begins_with_a_number_is_a_line(line: bytes) -> None:
    """Only a count, a space and a whole priority begin a counted frame."""
    assert data(line + b"\n<13>next\n") == [line, b"<13>next"]
    assert data(line) == [line]


def test_behind_a_counted_frame_a_count_is_enough() -> None:
    """Senders that count and send no priority."""
    assert data(b"5 <13>a11 hello world4 more") == [b"<13>a", b"hello world", b"more"]


def test_a_long_message_keeps_its_beginning_and_says_how_much_was_left_out() -> None:
    """Of both kinds; what follows it is whole."""
    long = b"<13>" + b"x" * 96
    expected = [Message(long[:20], whole=False, skipped=80), Message(b"<13>ok")]
    assert framed(long + b"\n<13>ok\n", limit=20) == expected
    assert framed(b"100 " + long + b"6 <13>ok", limit=20) == expected


def test_memory_does_not_grow_with_an_endless_line() -> None:
    framer = SyslogFramer(1000)
    for _ in range(1000):
        assert framer.feed(b"x" * 1000) == []
        assert framer.held == 1000
    (message,) = framer.feed(b"\n")
    assert message == Message(b"x" * 1000, whole=False, skipped=999_000)


def test_what_is_left_at_the_end() -> None:
    """A line needs no newline at the end of all; a counted message that is cut short says so, a broken line too."""
    assert framed(b"<13>a\n<13>b") == [Message(b"<13>a"), Message(b"<13>b")]
    assert framed(b"20 <13>a") == [Message(b"<13>a", whole=False)]
    assert framed(b"<13>a", broken=True) == [Message(b"<13>a", whole=False)]
    assert framed(b"20 ") == [Message(b"20 ")]


def test_an_unfinished_message_shows() -> None:
    framer = SyslogFramer(100)
    assert not framer.unfinished
    for part in (b"1", b"0 <1", b"3>", b"abcde"):
        assert framer.feed(part) == []
        assert framer.unfinished
    assert framer.feed(b"f") == [Message(b"<13>abcdef")]
    assert not framer.unfinished


TEXT = st.text("<>013 5a\n\r\0", max_size=30).map(str.encode)
CHUNKS = st.lists(TEXT | st.binary(max_size=20) | st.sampled_from([b"5 <13>a", b"12 <13>", b"<13>a\n"]), max_size=8)


@given(CHUNKS, st.integers(16, 60), st.lists(st.integers(0, 300), max_size=10), st.booleans())
def test_any_split_gives_what_the_whole_gives(chunks: list[bytes], limit: int, cuts: list[int], broken: bool) -> None:
    whole = b"".join(chunks)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    parts = [whole[start:end] for start, end in pairwise(places)]
    expected = framed(whole, limit=limit, broken=broken)
    assert framed(*parts, limit=limit, broken=broken) == expected
    assert framed(*(bytes([byte]) for byte in whole), limit=limit, broken=broken) == expected
    assert all(len(message.data) <= limit and message.data for message in expected)


MESSAGES = st.lists(st.tuples(st.booleans(), st.binary(max_size=30)), max_size=10)


@given(MESSAGES)
def test_what_is_framed_comes_out_again(messages: list[tuple[bool, bytes]]) -> None:
    """In either framing, mixed."""
    stream, expected = b"", []
    for counted, text in messages:
        message = b"<13>" + text.replace(b"\0", b".").rstrip(b"\r\n")
        if not counted:
            message = message.replace(b"\n", b".")
        stream += b"%d %s" % (len(message), message) if counted else message + b"\n"
        expected.append(message)
    assert data(stream) == expected
