"""What a fetch may hold beside records, without a broker: compaction does as it likes with time."""

import struct
from collections import deque
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords

from shipper.errors import SourceUnavailable
from shipper.kafka.batch import Compression, Draft, headers, stamp
from shipper.sources.kafka.unpack import Fetch, unpack

PRODUCER = 7
ATTRIBUTES_AT = 21
TRANSACTIONAL, CONTROL = 0x10, 0x20


def batch(offset: int, *values: bytes, transactional: bool = False, control: bool = False) -> bytes:
    """A batch as a broker keeps it; without values what compaction leaves of one."""
    draft = Draft(0)
    draft.add(0, b"\x01", list(values), headers([]), [])
    data = draft.build("none", transactional=transactional)
    if control:
        struct.pack_into(">h", data, ATTRIBUTES_AT, TRANSACTIONAL | CONTROL)
    struct.pack_into(">q", data, 0, offset)
    if not values:
        struct.pack_into(">i", data, 23, 0)  # the last offset stays
    stamp(data, PRODUCER, 0, 0)
    return bytes(data)


def fetched(*batches: bytes, start: int = 0, aborted: list[tuple[int, int]] | None = None) -> list[bytes]:
    """The values that are read of these batches."""
    memory = MemoryRecords(b"".join(batches))
    found: deque[Any] = deque()
    while memory.has_next():
        found.append(memory.next_batch())
    fetch = Fetch(start, found[-1].next_offset, found, aborted or [], 0)
    return [record.value for records in unpack(fetch, "topic/0") for record in records]


def test_a_marker_that_compaction_emptied_is_passed_over() -> None:
    """Brokers keep the empty batch of the marker that a producer wrote last."""
    batches = batch(0, b"one"), batch(3, transactional=True, control=True), batch(4, b"two")
    assert fetched(*batches) == [b"one", b"two"]


def test_a_batch_that_compaction_emptied_is_passed_over() -> None:
    assert fetched(batch(0, b"one"), batch(3), batch(4, b"two")) == [b"one", b"two"]


def test_a_batch_whose_bytes_changed_is_refused() -> None:
    changed = bytearray(batch(0, b"one"))
    changed[changed.index(b"one")] ^= 1
    with pytest.raises(SourceUnavailable, match=r"topic/0: the records from offset 0 on are damaged \(checksum\)"):
        fetched(bytes(changed))


def test_records_before_the_wanted_offset_are_left_out() -> None:
    assert fetched(batch(0, b"one", b"two", b"three"), start=1) == [b"two", b"three"]


def test_a_producers_next_transaction_is_read_after_the_one_that_was_aborted() -> None:
    batches = [
        batch(0, b"aborted", transactional=True),
        batch(1, b"marker", control=True),
        batch(2, b"committed", transactional=True),
        batch(3, b"marker", control=True),
    ]
    assert fetched(*batches, aborted=[(0, PRODUCER)]) == [b"committed"]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("at", [61, 64, 70])
def test_a_batch_that_was_damaged_before_it_was_sealed_names_its_place(compression: Compression, at: int) -> None:
    """Its checksum holds; what its decoder raises is as different as decoders are."""
    draft = Draft(0)
    draft.add(0, b"\x01", [b"the same line"] * 50, headers([]), [])
    data = draft.build(compression)
    data[at:] = bytes(len(data[at:]))
    stamp(data, PRODUCER, 0, 0)
    with pytest.raises(SourceUnavailable, match=r"topic/0: the records from offset 0 on are damaged .*--reset-offsets"):
        fetched(bytes(data))
