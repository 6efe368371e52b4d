"""Bytes to records."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Format, Payload
from shipper.chain.decode import decode_json, decode_json_lines, decode_text, records_of
from shipper.spool.frame import FrameMeta, decode, draft


def test_a_line_is_one_record_whatever_stands_in_it() -> None:
    lines = [b'{"a":1}', b"{}{}", b'{"a":', b"1}", b"", b" {} ", b"{}\r", b"[]", b"nul", b'{"a":1,"a":2}']
    decoded = decode_json_lines(lines)
    assert len(decoded) == len(lines)
    assert [record for record in decoded if isinstance(record, dict)] == [{"a": 1}, {}, {}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ('{"a":NaN}', "JSON is malformed: invalid character (byte 5)"),
        ('{"a":' + "9" * 4301 + "}", "Integer value out of range"),
        ('{"a":"\\ud800"}', "the JSON ends too early"),
        ('{"a":"\t"}', "JSON is malformed: invalid character (byte 6)"),
        ('{"a":' * 100_000, "nested too deep"),
        ("\ufeff{}", "JSON is malformed: invalid character (byte 0)"),
    ],
)
def test_what_is_not_one_json_object_is_a_value_error_with_the_reason(text: str, reason: str) -> None:
    for given_text in (text, text.encode()):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reason is compared below
            decode_json(given_text)
        assert str(caught.value) == reason


def test_integers_keep_every_digit() -> None:
    assert decode_json(b'{"a":18446744073709551616,"b":-9223372036854775809}') == {"a": 2**64, "b": -(2**63) - 1}


def test_a_number_that_no_float_can_hold_is_the_text_of_it() -> None:
    assert decode_json(b'{"a":[-1e999,1.5,1e5],"b":"1e999"}') == {"a": ["-1e999", 1.5, 1e5], "b": "1e999"}
    assert decode_json('{"a":' + "9" * 400 + ".5}") == {"a": "9" * 400 + ".5"}


def test_invalid_text_is_replaced() -> None:
    assert decode_json(b'{"\xff":"\xe2\x82"}') == {"\ufffd": "\ufffd"}
    assert decode_json('{"a":"\ud83e\udd8a\udcff"}') == {"a": "\U0001f98a\ufffd"}
    assert decode_text([b"a", b"\xff", b"\xc3\xa9"]) == (["a", "\ufffd", "\u00e9"], 1)


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")) | st.just(b'{"a":1}')))
def test_many_lines_decode_as_each_alone(lines: list[bytes]) -> None:
    def alone(line: bytes) -> Any:
        try:
            return decode_json(line.decode("utf-8", "replace"))
        except ValueError as error:
            return str(error)

    shown = [str(record) if isinstance(record, ValueError) else record for record in decode_json_lines(lines)]
    assert shown == [alone(line) for line in lines]


def test_records_come_from_payloads_of_every_shape() -> None:
    raw = Payload.lines(b"a\n\xff\n")
    for payload in (raw, decode(draft(raw, FrameMeta({}, []), 0).stamp(bytes(16), 1)[0])):
        assert records_of(payload) == [{"message": "a"}, {"message": "\ufffd"}]
    assert records_of(Payload.sized([b"a\nb"])) == [{"message": "a\nb"}]
    assert records_of(Payload(Format.NDJSON, b'{"a":1}\nx\n', 2)) == [
        {"a": 1},
        {"message": "x", "parse_error": "JSON is malformed: invalid character (byte 0)"},
    ]
    assert records_of([{"a": 1}]) == [{"a": 1}]
    assert records_of(None) == []
    assert records_of(decode(draft(None, FrameMeta({}, []), 0).stamp(bytes(16), 1)[0])) == []
