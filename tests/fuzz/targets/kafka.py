"""What brokers send, and what whoever may write to a topic puts into records."""

import struct
from typing import Any, Final

from fuzz.mutate import INTEGERS, mutated
from fuzz.target import Target
from hypothesis import strategies as st
from support.kafka_records import record, sent
from support.wire import frame

from shipper.batch import Batch
from shipper.chain.decode import records_of
from shipper.kafka.batch import Compression, Draft, headers, stamp
from shipper.sources.kafka.cut import Cut
from shipper.sources.kafka.partition import Partition
from shipper.sources.kafka.position import Position
from shipper.sources.kafka.records import Maker, Names, Rows, pieces
from shipper.sources.kafka.sealed import split
from shipper.sources.kafka.unpack import Fetch
from shipper.spool.frame import crc32c

_CRC_AT: Final = 17
_CRC_FROM: Final = 21
WORDS: Final = (b"\xff" * 5, b"\x80" * 9 + b"\x01", bytes(4), b"\x7f\xff\xff\xff", b"\x02", b"\x01", b"\xff" * 8)


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """Record batches with mistakes in them; the checksum holds in most."""
    made = Draft(0)
    for at in range(draw(st.integers(1, 3))):
        made.add(at, b"\x01", [b"value %d" % at] * 30, headers([("host", b"h")]), [])
    compression: Compression = draw(st.sampled_from(["none", "gzip", "snappy", "lz4", "zstd"]))
    data = made.build(compression)
    struct.pack_into(">q", data, 0, 4)
    stamp(data, 7, 0, 0)
    wrong = bytearray(draw(mutated(st.just(bytes(data)), WORDS, 3)))
    if draw(st.integers(0, 3)) and len(wrong) > _CRC_FROM:
        wrong[8:12] = (len(wrong) - 12).to_bytes(4, "big")
        wrong[16] = 2
        wrong[_CRC_AT:_CRC_FROM] = crc32c(bytes(wrong[_CRC_FROM:])).to_bytes(4, "big")
    return bytes(wrong)


def a_batch(offset: int) -> bytes:
    """Two records that are as they should be."""
    made = Draft(0)
    made.add(0, b"\x01", [b"good %d" % offset, b"good %d" % (offset + 1)], headers([]), [])
    data = made.build("zstd")
    struct.pack_into(">q", data, 0, offset)
    stamp(data, 7, 0, 0)
    return bytes(data)


GOOD: Final = a_batch(0) + a_batch(2)


def read_batches(data: bytes) -> None:
    """What stands before the damage comes out, all of it and as it is; so does what was fetched of another partition.
    What cannot be read is an error that names the partition, and the offsets before it are passed.
    """
    partition, other = (Partition.at(("topic", number), Position(0, b"g" * 16, -1)) for number in range(2))
    portions = {
        partition: [Fetch(0, 10**9, split(GOOD + data), [], len(data))],
        other: [Fetch(0, 4, split(GOOD), [], 0)],
    }
    cut = Cut("app", {}, 60, Maker(Names(None, None, None, None), lambda _: None), portions)
    batches: list[Batch] = []
    while (batch := cut.read()) is not None:
        batches.append(batch)
    values: dict[int, list[Any]] = {0: [], 1: []}
    for batch in batches:
        values[batch.labels["partition"]] += records_of(batch.payload)
    assert [each["message"] for each in values[1]] == [f"good {number}" for number in range(4)]
    assert [each["message"] for each in values[0]][:4] == [f"good {number}" for number in range(4)]
    assert cut.ends[other] == 4
    assert cut.ends[partition] >= 4
    if cut.failure is not None:
        assert str(cut.failure).startswith("topic/0: the records ")
        assert "--topic topic:0 --to-offset" in str(cut.failure)


OURS: Final = sent([frame(1), frame(2, "text")])
NAMES: Final = Names("key", "headers", "timestamp", "offset")
header_names: Final = st.sampled_from(["_stream", "_seq", "_index", "_sub", "host", "labels", ""])
header_values: Final = (
    st.none()
    | st.binary(max_size=4)
    | st.sampled_from(
        [
            b"0" * 32,
            bytes(range(16)).hex().encode(),
            b"9" * 18,
            b"9" * 19,
            b"1",
            "٣".encode(),
            b"\xff",
            b"",
            b"edge-1",
            b"{}",
        ]
    )
)
values: Final = st.none() | mutated(
    st.sampled_from([each.value for each in OURS] + [b"plain", b"two\nlines", b"[" * 2000]),
    (
        b'"_read_at":"',
        b'"labels":{',
        b'"_fields":{"a":1}',
        b"}",
        b"\n",
        b"9999-12-31T23:59:59.999999Z",
        b"\xff",
        b'"host":1',
    ),
    2,
)


@st.composite
def kafka_rows(draw: st.DrawFn) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]]:
    """Values, keys, headers and times of records: ours with mistakes, and others'."""
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        ours = draw(st.sampled_from([[], *(each.headers for each in OURS)]))
        some = [*ours]
        for name, value, at in draw(st.lists(st.tuples(header_names, header_values, st.integers(0, 5)), max_size=2)):
            some[at : at + 1] = [(name, value)]
        rows.append((draw(values), draw(st.none() | st.binary(max_size=3)), some, draw(INTEGERS) % 2**63 - 1))
    return rows


def make_records(rows: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]]) -> None:
    """Every record is there, in order, whoever wrote it and whatever its headers say."""
    records = [
        record(at * 2, value, key=key, headers=some, time=time) for at, (value, key, some, time) in enumerate(rows)
    ]
    for names in (NAMES, Names(None, None, None, None)):
        parts = pieces(Rows.of(records), 100, 100)
        assert [each for rows, _ in parts for each in rows.records] == records
        contents = Maker(names, lambda _: None).contents(Rows.of(records), b"g" * 16, {"topic": "t"})
        assert sum(content.records for content in contents) == len(records)
        for content in contents:
            assert len(records_of(content.payload)) == content.records
            for numbers in (content.indices, content.subs):
                assert numbers is None or len(numbers) == content.records


TARGETS: Final = (
    Target("Kafka batches", batches(), read_batches),
    Target("Kafka records", kafka_rows(), make_records),
)
