"""Flat lines: labels, record and identity merged into one object a record."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Format, Labels, Origin, Payload, SourceRange
from shipper.chain.flat import flat_lines, merge, rfc3339
from shipper.errors import FrameError
from shipper.spool.frame import Frame, FrameMeta, decode, draft

STREAM = bytes(range(16))
READ_AT = 1_700_000_000_123_456


def framed(
    payload: Payload | None,
    labels: Labels | None = None,
    origin: Origin | None = None,
    indices: list[int] | None = None,
    subs: list[int] | None = None,
) -> Frame:
    """The payload in a frame, stamped as number 7."""
    meta = FrameMeta(labels or {}, [SourceRange("app", b"", 0, 1)], origin, indices, subs)
    return decode(draft(payload, meta, READ_AT).stamp(STREAM, 7)[0])


def ndjson(*lines: bytes) -> Payload:
    """Lines of JSON as a payload, as they are."""
    return Payload(Format.NDJSON, b"".join(line + b"\n" for line in lines), len(lines))


def flat(frame: Frame, *, identity: bool = False, read_at: bool = False) -> list[dict[str, Any]]:
    """The flat lines, decoded; each is one line."""
    lines = flat_lines(frame, identity=identity, read_at=read_at)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_labels_are_added_to_a_record_and_its_bytes_stay_as_they_are() -> None:
    frame = framed(ndjson(b'{"a": 1.50, "b":"\\u00e9"}'), {"host": "h"})
    assert flat_lines(frame, identity=False, read_at=False) == [b'{"a": 1.50, "b":"\\u00e9","host":"h"}\n']


def test_a_raw_line_becomes_its_message_and_invalid_text_is_replaced() -> None:
    frame = framed(Payload.lines(b'say "hi"\n\xff\x00\n\n'), {"host": "100%"})
    assert flat(frame, identity=True) == [
        {"message": message, "host": "100%", "_stream": STREAM.hex(), "_seq": 7, "_index": index}
        for index, message in enumerate(['say "hi"', "�\x00", ""])
    ]


def test_a_record_of_several_lines_stays_one_line() -> None:
    assert flat(framed(Payload.sized([b"a\nb", b"\n"]))) == [{"message": "a\nb"}, {"message": "\n"}]


def test_a_field_wins_over_a_label_and_the_label_moves_under_labels() -> None:
    frame = framed(ndjson(b'{"host":"mine"}', b'{"a":{"host":1}}'), {"host": "h", "env": "prod"})
    assert flat(frame) == [
        {"host": "mine", "env": "prod", "labels": {"host": "h"}},
        {"a": {"host": 1}, "host": "h", "env": "prod"},
    ]


def test_a_field_with_an_escaped_name_collides_too() -> None:
    assert flat(framed(ndjson(b'{"h\\u006fst":"mine"}'), {"host": "h"})) == [{"host": "mine", "labels": {"host": "h"}}]


def test_a_record_with_a_field_labels_keeps_it() -> None:
    frame = framed(ndjson(b'{"host":"mine","labels":"x"}', b'{"host":1,"labels":2,"_labels":3}'), {"host": "h"})
    assert flat(frame) == [
        {"host": "mine", "labels": "x", "_labels": {"host": "h"}},
        {"host": 1, "labels": 2, "_labels": {"host": "h"}, "_fields": {"_labels": 3}},
    ]


def test_a_record_cannot_take_the_place_of_its_identity() -> None:
    frame = framed(ndjson(b'{"_seq":1,"_read_at":"x","_fields":0,"_sub":5}'), {"_index": "label"})
    assert flat(frame, identity=True, read_at=True) == [
        {
            "_sub": 5,
            "labels": {"_index": "label"},
            "_fields": {"_seq": 1, "_read_at": "x", "_fields": 0},
            "_read_at": "2023-11-14T22:13:20.123456Z",
            "_stream": STREAM.hex(),
            "_seq": 7,
            "_index": 0,
        }
    ]


def test_records_that_were_framed_before_keep_their_first_identity() -> None:
    frame = framed(ndjson(b"{}", b'{"_sub":1}'), {}, Origin(b"\xaa" * 16, 3), [4, 4], [0, 1])
    assert flat(frame, identity=True) == [
        {"_stream": "aa" * 16, "_seq": 3, "_index": 4, "_sub": 0},
        {"_stream": "aa" * 16, "_seq": 3, "_index": 4, "_sub": 1, "_fields": {"_sub": 1}},
    ]


def test_lines_that_are_no_json_objects_are_kept_as_messages() -> None:
    broken = [b"", b"{}{}", b"[1]", b'{"a":1', b'"\\ud800"', b"\xff", b'{"a":' * 5000]
    got = flat(framed(ndjson(*broken), {"host": "h"}))
    assert [record["message"] for record in got] == [line.decode("utf-8", "replace") for line in broken]
    assert all(record["parse_error"] and record["host"] == "h" for record in got)


def test_a_line_with_invalid_text_comes_out_valid() -> None:
    assert flat(framed(ndjson(b'{"a":"\xff"}', b'{"b":"\xc3\xa9"}'), {"c": 1})) == [
        {"a": "�", "c": 1},
        {"b": "é", "c": 1},
    ]


def test_an_empty_frame_has_no_lines() -> None:
    assert flat_lines(framed(None), identity=True, read_at=True) == []


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize(("indices", "subs"), [([1, 2], None), ([], None), ([1], []), (None, [1, 2])])
def test_a_frame_with_more_or_fewer_identities_than_records_is_refused(
    indices: list[int] | None, subs: list[int] | None, *, identity: bool
) -> None:
    """Also where the line does not hold them: Kafka's headers do."""
    with pytest.raises(FrameError, match="promised"):
        flat_lines(framed(ndjson(b"{}"), indices=indices, subs=subs), identity=identity, read_at=False)


def test_labels_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(FrameError, match="labels"):
        flat_lines(framed(ndjson(b"{}"), {"a": msgspec.msgpack.Ext(1, b"x")}), identity=False, read_at=False)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"), (2**62, str(2**62))],
)
def test_times_are_utc_with_microseconds(microseconds: int, text: str) -> None:
    assert rfc3339(microseconds) == text


names = st.sampled_from(
    ["a", "host", "labels", "_labels", "_fields", "_seq", "_index", "_sub", "message", '"', "\\u0041", "é", ""]
)
values = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.sampled_from(["", "x", "\n", '"host":'])
objects = st.dictionaries(names, values | st.dictionaries(names, values, max_size=2), max_size=4)
odd = [b"{ }", b' {"a":1}', b'{"host":1} ', b'{"host":1}\r', b'{"a":1,"a":2}', b'{"\\u0068ost":2}', b"{}{}", b"x"]
plain = st.builds(lambda record: json.dumps(record).encode(), objects)
unescaped = st.builds(lambda record: json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(), objects)
spellings = plain | unescaped | st.sampled_from(odd)


@given(
    st.lists(spellings, min_size=1, max_size=6),
    st.dictionaries(names, st.sampled_from(["%", '"', "é\\"]) | st.integers(0, 2**63), max_size=3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_flat_lines_equal_the_plain_merge(
    lines: list[bytes], labels: Labels, identity: bool, read_at: bool, split: bool
) -> None:
    numbers = list(range(len(lines)))
    frame = framed(ndjson(*lines), labels, None, [9 for _ in lines] if split else None, numbers if split else None)
    expected = []
    for index, line in enumerate(lines):
        try:
            record = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            record = {"message": line.decode(), "parse_error": str(error).partition(" - at")[0]}
        extra: dict[str, Any] = {"_read_at": rfc3339(READ_AT)} if read_at else {}
        if identity:
            extra |= {"_stream": STREAM.hex(), "_seq": 7, "_index": 9 if split else index}
            extra |= {"_sub": index} if split else {}
        expected.append(merge(record, labels, extra))
    got = flat_lines(frame, identity=identity, read_at=read_at)
    assert [msgspec.json.decode(line) for line in got] == expected
    for line in got:  # no name twice
        pairs = json.loads(line, object_pairs_hook=list)
        assert len(dict(pairs)) == len(pairs) or b'{"a":1,"a":2' in line
