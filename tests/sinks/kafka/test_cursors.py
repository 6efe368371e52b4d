"""The format of the cursor topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.errors import FutureFormat, SinkError
from shipper.sinks.kafka.cursors import Claim, Cursor, Key, decode_key, decode_value, encode_value

STREAM = bytes(range(16))
SINKS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
STREAMS = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**63 - 1)
CHECKS = st.integers(0, 2**32 - 1)


@given(SINKS, STREAMS, st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_keys_come_back(sink: str, stream: bytes, owner: str) -> None:
    for key in Key("cursor", sink, stream), Key("claim", sink, stream, owner):
        assert decode_key(key.encode()) == key


@given(st.one_of(st.none(), st.binary(), st.text().map(str.encode)))
def test_a_key_that_is_read_is_a_key_that_is_written(data: bytes | None) -> None:
    key = decode_key(data)
    assert key is None or key.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"cursor/kafka",
        b"cursor/kafka/" + b"0" * 31,
        b"cursor/kafka/" + b"x" * 32,
        b"cursor/kafka/" + b"AB" * 16,
        b"cursor/kafka/" + b"0" * 32 + b"/owner",
        b"claim/kafka/" + b"0" * 32,
        b"other/kafka/" + b"0" * 32,
        b"\xff/kafka/" + b"0" * 32,
    ],
)
def test_what_others_write_is_no_key(data: bytes | None) -> None:
    assert decode_key(data) is None


@given(NUMBERS, NUMBERS, st.binary(max_size=16), CHECKS, CHECKS)
def test_a_cursor_comes_back(number: int, epoch: int, incarnation: bytes, check: int, original: int) -> None:
    cursor = Cursor(next=number, epoch=epoch, incarnation=incarnation, check=check, original_check=original)
    assert decode_value(Key("cursor", "kafka", STREAM), encode_value(cursor)) == cursor


@given(NUMBERS, st.dictionaries(st.text(), NUMBERS))
def test_a_claim_comes_back(generation: int, fenced: dict[str, int]) -> None:
    claim = Claim(generation=generation, fenced=fenced)
    assert decode_value(Key("claim", "kafka", STREAM, "owner"), encode_value(claim)) == claim


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    assert decode_value(Key("cursor", "kafka", STREAM), b'{"v":1,"next":7,"colour":"red"}') == Cursor(next=7)


def test_a_later_format_is_refused_by_name() -> None:
    with pytest.raises(FutureFormat, match=r"cursor/kafka/0001.* has format 2; this shipper reads up to 1: upgrade it"):
        decode_value(Key("cursor", "kafka", STREAM), b'{"v":2,"next":"seven"}')


@pytest.mark.parametrize(
    "value",
    [b"", b"7", b"{}", b'{"v":1}', b'{"v":1,"next":"x"}', b"\xff", b'{"v":"\xff"}', b'{"v":1,"x":' + b"[" * 100_000],
)
def test_a_value_that_no_shipper_writes_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(SinkError, match=r"cursor/kafka/0001.* give the sink a cursor_topic of its own"):
        decode_value(Key("cursor", "kafka", STREAM), value)
