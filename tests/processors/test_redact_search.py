"""The search for short texts in large buffers, which redact is built on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper_processors._search import count, from_behind, quick

FILLERS = (b"", b"calm " * 300, b".. " * 500, b"0" * 1500, b"a NUL \0" + b"calm " * 300)
"""Around what is looked for; from one of them on the buffer is large."""
pieces = st.lists(st.sampled_from([b".", b":", b"0", b"a", b"\xff", b"\n"]), max_size=20).map(b"".join)
needles = st.lists(st.sampled_from([b".", b":", b"0", b"a"]), min_size=1, max_size=14).map(b"".join)


@given(st.sampled_from(FILLERS), pieces, st.sampled_from(FILLERS), needles)
def test_a_text_is_found_where_it_is_and_nowhere_else(before: bytes, piece: bytes, behind: bytes, text: bytes) -> None:
    data = before + piece + behind
    holds = quick(data) or from_behind
    assert holds(data, text) is (text in data)
    assert from_behind(data, text) is (text in data)


@given(st.sampled_from(FILLERS), pieces, st.sampled_from(FILLERS), needles)
def test_a_text_is_counted_as_often_as_it_is_there(before: bytes, piece: bytes, behind: bytes, text: bytes) -> None:
    data = before + piece + behind
    assert count(data, text) == data.count(text)


@pytest.mark.parametrize("place", [0, 1000, 1999])
def test_there_is_no_quick_way_through_a_nul(place: int) -> None:
    data = bytearray(b"a" * 2000)
    data[place] = 0
    assert quick(bytes(data)) is None
