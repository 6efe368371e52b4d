"""Frames to record batches, without a broker."""

import json
from itertools import chain
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st
from support.delivering import frame_item, lines

from shipper.kafka.batch import stamp
from shipper.kafka.cluster import Topic
from shipper.kafka.murmur import partition_of
from shipper.sinks.kafka.partition import Key
from shipper.sinks.kafka.records import Batch, Builder, Handed, refuse_batch

NOW = 1_800_000_000_000
TOPICS = {name: Topic(dict.fromkeys(range(count), 1), 0.0) for name, count in (("one", 1), ("four", 4))}


def builder(key: str | None = None, limit: int = 1000, **settings: Any) -> Builder:
    chosen = {"headers": True, "read_at": False, "identity": False, "compression": "zstd", **settings}
    return Builder(key=None if key is None else Key(key), max_message_bytes=limit, **chosen)


def place(record: Any) -> tuple[int, int]:
    """Frame and index of a message."""
    headers = dict(record.headers)
    return int(headers["_seq"]), int(headers["_index"])


def read(batch: Batch) -> list[Any]:
    stamp(batch.data, 1, 1, 1)
    return list(DefaultRecordBatch(bytes(batch.data)))


def promised(batch: Batch) -> list[tuple[int, int]]:
    """What a batch says that it holds."""
    return [(handed.item.seq, at) for handed, places in batch.of for at in places]


texts = st.lists(st.integers(0, 1200).map("x".__mul__), min_size=1, max_size=12)


@given(
    frames=st.lists(st.tuples(st.sampled_from(["one", "four"]), texts), min_size=1, max_size=8),
    key=st.sampled_from([None, "label:host", "label:none", "field:message", "field:none"]),
)
def test_every_record_is_in_one_batch_or_refused_and_in_order(
    frames: list[tuple[str, list[str]]], key: str | None
) -> None:
    limit = 1000
    group = [Handed(frame_item(seq, lines(*each)), topic) for seq, (topic, each) in enumerate(frames)]
    batches = builder(key, limit).build(group, TOPICS, NOW)
    refused = [(each.item.seq, each.at) for handed in group for each in handed.refusals]
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for batch in batches:
        records = read(batch)
        assert [place(record) for record in records] == promised(batch)
        assert batch.count == len(records)
        assert batch.size <= limit
        found.setdefault((batch.topic, batch.partition), []).extend(promised(batch))
        for record in records:
            seq, index = place(record)
            topic, messages = frames[seq]
            assert (topic, json.loads(record.value)["message"]) == (batch.topic, messages[index])
            if record.key is not None:
                assert batch.partition == partition_of(record.key, len(TOPICS[topic].leaders))
    assert all(places == sorted(places) for places in found.values())
    everything = [(seq, index) for seq, (_, messages) in enumerate(frames) for index in range(len(messages))]
    assert sorted([*chain.from_iterable(found.values()), *refused]) == everything
    copies = 2 if key == "field:message" else 1  # the key's bytes count too
    assert all(copies * len(frames[seq][1][index]) > limit - 250 for seq, index in refused)


@given(texts, st.sampled_from([None, "field:message"]))
def test_a_batch_in_smaller_ones_is_the_same_records_for_the_same_partition(texts: list[str], key: str | None) -> None:
    made = builder(key, 100_000)
    group = [Handed(frame_item(7, lines(*texts)), "four")]
    for batch in made.build(group, TOPICS, NOW):
        smaller = made.smaller(batch, NOW)
        assert [each for part in smaller for each in promised(part)] == promised(batch)
        assert {part.partition for part in smaller} == {batch.partition}
        assert all(part.count == 1 or part.size <= batch.size // 2 for part in smaller)
        assert batch.count == 1 or len(smaller) > 1


def test_a_batch_that_is_refused_is_refused_record_by_record() -> None:
    group = [Handed(frame_item(seq, lines(f"{seq}a", f"{seq}b")), "one") for seq in range(2)]
    (batch,) = builder().build(group, TOPICS, NOW)
    refuse_batch(batch, "no")
    refused = [(each.item.seq, each.at, each.raw, each.reason) for handed in group for each in handed.refusals]
    assert refused == [(seq, at, f"{seq}{'ab'[at]}".encode(), "topic one: no") for seq in range(2) for at in range(2)]


def test_a_message_claims_the_time_read_but_none_after_now_or_more_than_an_hour_ago() -> None:
    """Brokers refuse the one, and after the other forget what they have of a producer."""
    hour = 3_600_000
    times = [NOW - 10 * hour, NOW - hour - 1, NOW - hour + 1, NOW - 1, NOW + 1, NOW + hour]
    group = [Handed(frame_item(seq, lines("x"), read_at=time * 1000), "one") for seq, time in enumerate(times)]
    (batch,) = builder().build(group, TOPICS, NOW)
    assert [record.timestamp - NOW for record in read(batch)] == [-hour, -hour, -hour + 1, -1, 0, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host", "is neither label:NAME nor field:NAME"),
        ("topic:host", "is neither label:NAME nor field:NAME"),
        ("field:", "is neither label:NAME nor field:NAME"),
        ("field:a..b", "is not a field's name; write user.id, or field('user.id')"),
        ("field:field(1)", "is not a field's name"),
        ("field:field('a'", "is not a field's name"),
    ],
)
def test_a_key_that_names_nothing_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="key") as raised:
        Key(text)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("field:a", b'{"a":"x"}', b"x"),
        ("field:a.b", b'{"a":{"b":1}}', b"1"),
        ("field:a.b", b'{"a":[1]}', None),
        ("field:a.b", b'{"a.b":1}', None),
        ("field:field('a.b')", b'{"a.b":1.5}', b"1.5"),
        ("field:field('a', 'b.c')", b'{"a":{"b.c":false}}', b"false"),
        ("field:a", b'{"a":{"x":null}}', b'{"x":null}'),
        ("field:a", b'{"a":123456789012345678901234567890}', b"123456789012345678901234567890"),
        ("field:a", b'{"b":1}', None),
        ("field:@id", b'{"@id":"x"}', b"x"),
    ],
)
def test_a_key_is_a_fields_text_or_json(text: str, line: bytes, key: bytes | None) -> None:
    assert Key(text).of({}, [line]) == [key]
