"""Kafka's records become payloads: every value as it is, with its offset; nothing is lost where they are cut."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.kafka_records import record

from shipper.batch import Format, Payload
from shipper.sources.kafka.records import Content, Maker, Names, Rows, pieces

GENERATION = b"g" * 16
PLAIN = Names("key", "headers", None, None)
VALUES = st.lists(st.binary(max_size=30) | st.sampled_from([b"", b"\n", b"a\nb", b"\xff"]), min_size=1, max_size=20)


def contents(*records: Any, names: Names = PLAIN, replaced: list[int] | None = None) -> Content:
    """The one content of records that are not shipper's."""
    told = [] if replaced is None else replaced
    (content,) = Maker(names, told.append).contents(Rows.of(list(records)), GENERATION, {"topic": "t"})
    return content


def objects(*records: Any, names: Names = PLAIN) -> list[dict[str, Any]]:
    """Records that have more than a value."""
    payload = contents(*records, names=names).payload
    assert isinstance(payload, list)
    return payload


@given(VALUES)
def test_values_come_out_byte_for_byte(values: list[bytes]) -> None:
    """Newlines, nothing at all and bytes that are no text too."""
    payload = contents(*(record(at, value) for at, value in enumerate(values))).payload
    assert isinstance(payload, Payload)
    assert payload.raw() == values
    assert payload.format is (Format.SIZED if b"\n" in b"".join(values) else Format.LINES)


@given(st.sets(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_records_identity_is_its_offset(offsets: set[int]) -> None:
    """Also where transactions and compaction left holes: number and index together."""
    in_order = sorted(offsets)
    content = contents(*(record(offset, b"x") for offset in in_order))
    assert content.origin is not None
    assert content.origin.stream == GENERATION
    indices = content.indices or range(content.records)
    assert [content.origin.seq + index for index in indices] == in_order


@given(st.lists(st.binary(max_size=40) | st.none(), max_size=30), st.integers(0, 60), st.integers(1, 60))
def test_pieces_are_all_records_in_order_and_as_large_as_allowed(
    values: list[bytes | None], room: int, limit: int
) -> None:
    """A single record may be larger; no piece could have taken the first record of the next one."""
    rows = Rows.of([record(at, value) for at, value in enumerate(values)])
    room = min(room, limit)
    cut = pieces(rows, room, limit)
    assert [each.offset for some, _ in cut for each in some.records] == list(range(len(values)))
    assert [value for some, _ in cut for value in some.values] == values
    for number, (some, size) in enumerate(cut):
        allowed = limit if number else room
        assert size == sum(len(value or b"") + 1 for value in some.values)
        assert size <= allowed or (number and len(some.values) == 1)
        if number + 1 < len(cut):
            following = cut[number + 1][0].values[0]
            assert size + len(following or b"") + 1 > allowed


def test_a_tombstone_is_a_record_without_a_message() -> None:
    assert objects(record(0, None, key=b"gone"), record(1, b"here", key=b"here")) == [
        {"message": None, "key": "gone"},
        {"message": "here", "key": "here"},
    ]


def test_keys_and_headers_stand_beside_the_message() -> None:
    """A header that comes twice is a list; a record without any has no such field."""
    first = record(0, b"one", key=b"k", headers=[("a", b"1"), ("b", None), ("a", b"2"), ("a", b"3")])
    assert objects(first, record(1, b"two")) == [
        {"message": "one", "key": "k", "headers": {"a": ["1", "2", "3"], "b": None}},
        {"message": "two"},
    ]


def test_fields_have_the_names_of_the_config() -> None:
    names = Names("user", None, "stored_at", "at")
    assert objects(record(7, b"one", key=b"k", headers=[("a", b"1")], time=1_700_000_000_123), names=names) == [
        {"message": "one", "user": "k", "at": 7, "stored_at": "2023-11-14T22:13:20.123000Z"}
    ]


def test_a_topic_with_keys_costs_nothing_where_nobody_wants_them() -> None:
    """The values stay bytes."""
    payload = contents(record(0, b"one", key=b"k", headers=[("a", b"1")]), names=Names(None, None, None, None)).payload
    assert payload == Payload.lines(b"one\n")


def test_bytes_that_are_no_text_are_replaced_and_counted_by_record() -> None:
    replaced: list[int] = []
    content = contents(record(0, b"\xff", key=b"\xfe"), record(1, b"fine", key=b"k"), replaced=replaced)
    assert content.payload == [{"message": "\ufffd", "key": "\ufffd"}, {"message": "fine", "key": "k"}]
    assert replaced == [1]
