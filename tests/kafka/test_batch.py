"""Record batches, read back by another implementation: aiokafka's."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from shipper.kafka.batch import NULL, VARINT, Compression, Draft, header, headers, stamp

COMPRESSIONS: list[Compression] = ["none", "gzip", "snappy", "lz4", "zstd"]
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.binary(max_size=300)
records = st.lists(st.tuples(st.none() | st.binary(max_size=20), values), min_size=1, max_size=40)


def read(data: bytearray) -> list[Any]:
    """The records of a batch whose checksum holds."""
    assert DefaultRecordBatch(bytes(data)).validate_crc()
    return list(DefaultRecordBatch(bytes(data)))


def encoded(key: bytes | None) -> bytes:
    return NULL if key is None else VARINT[len(key)] + key


@given(
    frames=st.lists(
        st.tuples(st.integers(0, 10**13), records, st.lists(st.tuples(names, values), max_size=4)), min_size=1
    ),
    compression=st.sampled_from(COMPRESSIONS),
    producer=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**15 - 1), st.integers(0, 2**31 - 1)),
    transactional=st.booleans(),
)
def test_what_goes_into_a_batch_comes_out_of_it(
    frames: list[tuple[int, list[tuple[bytes | None, bytes]], list[tuple[str, bytes]]]],
    compression: Compression,
    producer: tuple[int, int, int],
    transactional: bool,
) -> None:
    draft = Draft(frames[0][0])
    expected = []
    for time, messages, constant in frames:
        marks = [header("_index", b"%d" % index) for index in range(len(messages))]
        keys = [encoded(key) for key, _ in messages]
        draft.add(time, keys, [value for _, value in messages], headers(constant, 1), marks)
        for index, (key, value) in enumerate(messages):
            expected.append((time, key, value, [*constant, ("_index", b"%d" % index)]))
    data = draft.build(compression, transactional=transactional)
    stamp(data, *producer)
    found = read(data)
    assert [(each.timestamp, each.key, each.value, each.headers) for each in found] == expected
    assert [each.offset for each in found] == list(range(len(expected)))
    batch = DefaultRecordBatch(bytes(data))
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == producer
    assert batch.max_timestamp == max(time for time, _, _ in frames)
    assert (draft.count, batch.is_transactional) == (len(expected), transactional)
    assert draft.size == len(draft.build("none"))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_batch_is_compressed_where_that_makes_it_smaller(compression: Compression) -> None:
    draft = Draft(0)
    draft.add(0, NULL, [b"the same line"] * 500, headers([]), [])
    data = draft.build(compression)
    stamp(data, 1, 0, 0)
    assert (len(data) < draft.size / 3) == (compression != "none")
    assert [each.value for each in read(data)] == [b"the same line"] * 500


def test_a_batch_can_be_stamped_again() -> None:
    draft = Draft(5)
    draft.add(5, NULL, [b"one"], headers([("host", b"edge-1")]), [])
    data = draft.build("none")
    for sequence in (3, 8):
        stamp(data, 77, 2, sequence)
        assert [(each.value, each.key, each.headers) for each in read(data)] == [(b"one", None, [("host", b"edge-1")])]
        assert DefaultRecordBatch(bytes(data)).base_sequence == sequence
