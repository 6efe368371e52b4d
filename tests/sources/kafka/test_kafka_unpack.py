"""What a fetch may hold beside records, without a broker: compaction does as it likes with time."""

import struct

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from support.kafka_records import record

from shipper.errors import SourceError, SourceUnavailable
from shipper.kafka.batch import Compression, Draft, headers, stamp
from shipper.sources.kafka.sealed import behind, split
from shipper.sources.kafka.unpack import Fetch, Unreadable, unpack

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
    batches_ = split(b"".join(batches))
    fetch = Fetch(start, behind(batches_[-1]), batches_, aborted or [], 0)
    return [record.value for records in unpack(fetch, "topic/0") for record in records]


def changed(batch: bytes, value: bytes) -> bytes:
    """A batch with one wrong bit, as a disk may give it."""
    data = bytearray(batch)
    data[data.index(value)] ^= 1
    return bytes(data)


def sealed(data: bytes | bytearray, offset: int = 0) -> bytes:
    """A batch at another offset, with the checksum of what stands in it."""
    made = bytearray(data)
    struct.pack_into(">q", made, 0, offset)
    stamp(made, PRODUCER, 0, 0)
    return bytes(made)


def test_a_marker_that_compaction_emptied_is_passed_over() -> None:
    """Brokers keep the empty batch of the marker that a producer wrote last."""
    batches = batch(0, b"one"), batch(3, transactional=True, control=True), batch(4, b"two")
    assert fetched(*batches) == [b"one", b"two"]


def test_a_batch_that_compaction_emptied_is_passed_over() -> None:
    assert fetched(batch(0, b"one"), batch(3), batch(4, b"two")) == [b"one", b"two"]


def test_a_batch_whose_bytes_changed_is_refused() -> None:
    with pytest.raises(
        Unreadable, match=r"topic/0: the records at offsets 0 to 0 cannot be read \(the checksum is wrong"
    ):
        fetched(changed(batch(0, b"one"), b"one"))


def test_what_stands_before_a_batch_that_cannot_be_read_comes_out() -> None:
    """And it is known how far that goes."""
    batches = split(batch(0, b"one", b"two") + batch(2, b"three") + changed(batch(3, b"four"), b"four"))
    unpacked = unpack(Fetch(1, 4, batches, [], 0), "topic/0")
    assert [record.value for record in next(unpacked)] == [b"two"]
    assert [record.value for record in next(unpacked)] == [b"three"]
    with pytest.raises(Unreadable) as caught:
        next(unpacked)
    assert caught.value.at == 3


def test_the_offset_to_go_on_at_is_that_of_the_batch_behind_the_damage() -> None:
    """What the damaged batch says of its own end may be the damage."""
    damaged = bytearray(batch(3, b"four"))
    struct.pack_into(">i", damaged, 23, 1000)
    with pytest.raises(Unreadable, match=r"at offsets 3 to 6 .*--topic topic:0 --to-offset 7$"):
        fetched(bytes(damaged), batch(7, b"five"), start=3)


def test_where_only_the_damaged_batch_tells_its_end_that_is_said() -> None:
    with pytest.raises(Unreadable, match=r"--to-offset 4; that they end there .* look at 4 first$"):
        fetched(changed(batch(3, b"four"), b"four"), start=3)
    short = bytearray(batch(3, b"four"))
    struct.pack_into(">i", short, 8, 3)
    with pytest.raises(
        Unreadable, match=r"from offset 5 on cannot be read \(the length is wrong\).*where kafka-dump-log shows"
    ):
        fetched(bytes(short), start=5)


def test_a_batch_whose_checksum_is_right_tells_its_end() -> None:
    """A producer has sealed what it should not have."""
    damaged = bytearray(batch(3, b"four", b"five"))
    damaged[61] ^= 0x7F
    with pytest.raises(Unreadable, match=r"at offsets 3 to 4 cannot be read .*--to-offset 5$"):
        fetched(sealed(damaged, 3), start=3)


def test_a_format_of_the_future_is_refused() -> None:
    data = bytearray(batch(0, b"one"))
    data[16] = 3
    with pytest.raises(Unreadable, match="a format of records that is not known, 3"):
        fetched(bytes(data))


def test_a_compression_that_nobody_knows_here_needs_somebody() -> None:
    """It does not pass by itself."""
    data = bytearray(batch(0, b"one"))
    struct.pack_into(">h", data, ATTRIBUTES_AT, 7)
    with pytest.raises(Unreadable) as caught:
        fetched(sealed(data))
    assert type(caught.value.error) is SourceError
    with pytest.raises(Unreadable) as caught:
        fetched(changed(batch(0, b"one"), b"one"))
    assert type(caught.value.error) is SourceUnavailable


def test_a_batch_that_the_broker_cut_off_comes_with_the_next_answer() -> None:
    assert fetched(batch(0, b"one"), batch(1, b"two")[:-1]) == [b"one"]
    assert fetched(batch(0, b"one"), batch(1, b"two")[:5]) == [b"one"]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_header_whose_name_is_no_text_is_read(compression: Compression) -> None:
    """Brokers take such names; the bytes stand in the name as Python writes them."""
    draft = Draft(0)
    draft.add(5, b"\x02k", [b"one"] * 50, headers([("x?", b"\xfe"), ("y", b"")]), [])
    draft.add(6, b"\x01", [b"two"], headers([]), [])
    plain = draft.build(compression)
    draft._parts = [part.replace(b"x?", b"x\xff") for part in draft._parts]
    (records,) = unpack(Fetch(40, 51, split(sealed(draft.build(compression))), [], 0), "topic/0")
    (same,) = unpack(Fetch(40, 51, split(sealed(plain)), [], 0), "topic/0")
    assert records[0].headers == [("x\\xff", b"\xfe"), ("y", b"")]
    for ours, theirs in zip(records, same, strict=True):
        theirs.headers[:1] = ours.headers[:1]
        assert repr(ours) == repr(theirs)


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
    with pytest.raises(Unreadable, match=r"topic/0: the records at offsets 0 to 49 cannot be read .*--to-offset 50$"):
        fetched(bytes(data))


@pytest.mark.parametrize("compression", [0, 1, 2])
def test_records_of_kafkas_first_formats_are_read_also_beside_later_ones(compression: int) -> None:
    """They stay in a topic as they were written. The first format has no times: they are -1, which is not known."""
    data, expected = b"", []
    for number, time in ((0, None), (1, 1000)):
        made = LegacyRecordBatchBuilder(number, compression, 10**6)
        for offset in range(number * 2, number * 2 + 2):
            made.append(offset, time, b"k", b"%d" % offset)
            expected.append(record(offset, b"%d" % offset, key=b"k", time=-1 if time is None else time))
        some = bytearray(made.build())
        if compression:
            struct.pack_into(">q", some, 0, number * 2 + 1)  # as the broker does: that of the last one
        data += some
    batches = split(data + batch(4, b"4"))
    found = [each for records in unpack(Fetch(0, 5, batches, [], 0), "topic/0") for each in records]
    assert list(map(repr, found)) == list(map(repr, [*expected, record(4, b"4")]))
