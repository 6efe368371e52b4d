"""What a Kafka sink of shipper wrote comes back as it was: records, labels, identity, the time at which it was read."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.delivering import READ_AT, STREAM, frame_draft, lines, ndjson
from support.kafka_records import Headers, record, sent

from shipper.batch import Format, Labels, Origin, Payload, Record
from shipper.chain.decode import records_of
from shipper.chain.flat import flat_lines
from shipper.sources.kafka.records import Content, Maker, Names, Rows
from shipper.spool.frame import Frame, FrameDraft, FrameMeta, decode, draft

NAMES = st.sampled_from(["host", "source", "message", "labels", "_labels", "_read_at", "_seq", "a", ""])
SCALARS = st.text(max_size=5) | st.integers(-(2**70), 2**70) | st.booleans() | st.none() | st.floats(-1e9, 1e9)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=6)
LABELS = st.dictionaries(
    st.sampled_from(["host", "source", "message", "a", "ä"]),
    st.text(max_size=5) | st.integers(0, 2**63) | st.booleans(),
    max_size=3,
)


def framed(made: FrameDraft, seq: int = 1) -> Frame:
    """A frame as a spool has it."""
    return decode(made.stamp(STREAM, seq)[0])


def contents(records: list[Any]) -> list[Content]:
    """What the source makes of a partition's records."""
    return Maker(Names("key", "headers", None, None), lambda _: None).contents(Rows.of(records), b"g" * 16, {})


def flat(content: Content) -> list[Record]:
    """The records of a content as a file's lines would have them, decoded."""
    assert isinstance(content.payload, Payload)
    made = draft(content.payload, FrameMeta(content.labels, [], content.origin, content.indices, content.subs), 0)
    return [msgspec.json.decode(line) for line in flat_lines(framed(made), identity=True, read_at=False)]


@given(st.lists(st.tuples(RECORDS, LABELS), min_size=1, max_size=3), st.booleans())
def test_frames_are_what_they_were(given_frames: list[tuple[list[Record], Labels]], read_at: bool) -> None:
    """Whatever their fields and labels are called: what leaves the collector looks as if Kafka had not been there."""
    frames = [
        framed(frame_draft(Payload(Format.NDJSON, _lines(records), len(records)), labels), seq)
        for seq, (records, labels) in enumerate(given_frames, 1)
    ]
    found = contents(sent(frames, read_at=read_at))
    expected = [
        msgspec.json.decode(line) for frame in frames for line in flat_lines(frame, identity=True, read_at=False)
    ]
    assert [each for content in found for each in flat(content)] == expected
    if read_at:
        assert {content.read_at for content in found} == {READ_AT}


def _lines(records: list[Record]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in records)


def test_raw_lines_keep_their_labels_and_a_frame_stays_one() -> None:
    labels = {"host": "edge-1", "port": 8080, "up": True}
    (content,) = contents(sent([framed(frame_draft(lines("one", "two"), labels), 7)]))
    assert content.labels == labels
    assert content.origin == Origin(STREAM, 7)
    assert (content.indices, content.subs, content.read_at) == (None, None, READ_AT)
    assert content.payload == Payload(Format.NDJSON, b'{"message":"one"}\n{"message":"two"}\n', 2)


def test_a_record_keeps_the_identity_that_it_had_before_the_sink() -> None:
    """That of the agent's frame, where a collector made several records of one."""
    meta = FrameMeta({}, [], origin=Origin(b"o" * 16, 41), indices=[7, 7, 9], subs=[0, 1, 0])
    (content,) = contents(sent([framed(draft(lines("7.0", "7.1", "9"), meta, READ_AT))]))
    assert (content.origin, content.indices, content.subs) == (Origin(b"o" * 16, 41), [7, 7, 9], [0, 1, 0])


def test_a_key_and_headers_of_the_sink_do_not_become_fields() -> None:
    from shipper.sinks.kafka.partition import Key

    frame = framed(frame_draft(ndjson({"user": "ann"}), {"host": "edge-1"}))
    (content,) = contents(sent([frame], key=Key("field:user")))
    assert records_of(content.payload) == [{"user": "ann"}]


def test_records_of_other_programs_may_stand_between() -> None:
    own = sent([framed(frame_draft(lines("one", "two"), {}))])
    foreign = record(1, b"theirs", headers=[("trace", b"1")])
    found = contents([own[0], foreign, record(2, own[1].value, headers=own[1].headers)])
    assert [records_of(content.payload) for content in found] == [
        [{"message": "one"}],
        [{"message": "theirs", "headers": {"trace": "1"}}],
        [{"message": "two"}],
    ]
    assert [content.indices for content in found] == [None, None, [1]]


GENUINE: Headers = [("_stream", STREAM.hex().encode()), ("_seq", b"1"), ("host", b"a"), ("_index", b"0")]


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"not JSON", GENUINE),
        (b"[1]", GENUINE),
        (b'{"a":1}\n{"b":2}', GENUINE),
        (None, GENUINE),
        (b"{}", [("_stream", b"short"), *GENUINE[1:]]),
        (b"{}", [("_stream", b"\xff" * 32), *GENUINE[1:]]),
        (b"{}", [GENUINE[0], ("_seq", b"-1"), *GENUINE[2:]]),
        (b"{}", [GENUINE[0], ("_seq", b"9" * 30), *GENUINE[2:]]),
        (b"{}", [*GENUINE[:3], ("_index", None)]),
        (b"{}", GENUINE[:3]),
        (b"{}", [*GENUINE[:3], ("_sub", b"0")]),
    ],
)
def test_what_only_looks_like_ours_is_a_record_of_another_program(value: bytes | None, headers: Any) -> None:
    (content,) = contents([record(5, value, headers=headers)])
    assert content.origin == Origin(b"g" * 16, 5)
    (found,) = records_of(content.payload)
    assert found["message"] == (None if value is None else value.decode())


def test_an_object_that_does_not_hold_its_labels_stays_as_it_is() -> None:
    """Somebody changed it on its way, or made it up: nothing of it is lost."""
    (content,) = contents([record(5, b'{"a":1}', headers=GENUINE)])
    assert content.labels == {"host": "a"}
    assert records_of(content.payload) == [{"a": 1}]
