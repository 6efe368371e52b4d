"""Records are read in Python as aiokafka reads them, where it does."""

import struct
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from shipper.kafka.batch import Draft, headers, stamp
from shipper.kafka.codecs import bound_decoders
from shipper.sources.kafka.parse import parse

some_bytes = st.none() | st.binary(max_size=300)
rows = st.lists(
    st.tuples(st.integers(0, 2**40), some_bytes, some_bytes, st.lists(st.tuples(st.text(max_size=9), some_bytes))),
    max_size=8,
)


@given(rows, st.integers(0, 4), st.integers(0, 2**62), st.booleans())
def test_records_are_what_aiokafka_makes_of_them(
    rows: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]],
    compression: int,
    offset: int,
    by_broker: bool,
) -> None:
    """Whatever the compression, and whoever set the time."""
    bound_decoders()
    made = DefaultRecordBatchBuilder(2, compression, 0, 7, 0, 0, 10**6)
    for at, (time, key, value, some) in enumerate(rows):
        made.append(at * 3, time, key, value, some)
    data = bytearray(made.build())
    struct.pack_into(">q", data, 0, offset)
    if by_broker:
        data[22] |= 8
    assert list(map(repr, parse(memoryview(data)))) == list(map(repr, DefaultRecordBatch(data)))


def a_batch() -> bytearray:
    """Two records with a header."""
    draft = Draft(0)
    draft.add(0, b"\x01", [b"one", b"two"], headers([("a", b"1")]), [])
    data = draft.build("none")
    stamp(data, 7, 0, 0)
    return data


def test_a_batch_that_holds_anything_else_is_refused() -> None:
    """Cut anywhere, or with a byte too many, or with another count."""
    whole = a_batch()
    assert [record.value for record in parse(memoryview(whole))] == [b"one", b"two"]
    for end in range(61, len(whole)):
        with pytest.raises(ValueError, match=r"."):
            parse(memoryview(whole)[:end])
    for count in (0, 1, 3, -1):
        other = bytearray(whole)
        struct.pack_into(">i", other, 57, count)
        with pytest.raises(ValueError, match=r"."):
            parse(memoryview(other))
    with pytest.raises(ValueError, match="1 bytes behind the last record"):
        parse(memoryview(whole + b"\0"))


@pytest.mark.parametrize(
    ("at", "byte", "why"),
    [
        (0, 0x22, "a record of 17 bytes has 13"),
        (5, 0x7E, "63 bytes where"),
        (9, 0x7E, "63 of something where"),
        (9, 0x01, "-1 of something where"),
        (10, 0x01, "a header without a name"),
    ],
)
def test_what_is_wrong_is_said(at: int, byte: int, why: str) -> None:
    """Of a record: its length, its value, how many headers it has, their names."""
    data = a_batch()
    data[61 + at] = byte
    with pytest.raises(ValueError, match=why):
        parse(memoryview(data))


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(-1, 5))
def test_bytes_that_are_no_records_are_refused_or_read(junk: bytes, at: int, count: int) -> None:
    """Nothing else comes of them, and soon."""
    data: Any = a_batch()
    data[61 + at : 61 + at] = junk
    struct.pack_into(">i", data, 57, count)
    try:
        records = parse(memoryview(data))
    except (ValueError, OverflowError):
        return
    assert len(records) == max(0, count)
