"""Records to bytes."""

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Format, Payload
from shipper.chain.encode import encode_json, encode_lines, encode_records


class Text(str):
    """A string of another type."""

    __slots__ = ()


class Number(int):
    """An integer of another type."""


class Share(float):
    """A float of another type."""


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "null"),
        (2**64, "18446744073709551616"),
        (b"x", '"eA=="'),
        ((1, 2), "[1,2]"),
        ({1}, "[1]"),
        (dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC), '"2024-05-01T12:00:00Z"'),
        (dt.date(2024, 5, 1), '"2024-05-01"'),
        (dt.timedelta(seconds=1), '"PT1S"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, '"red"'),
        (Text("x"), '"x"'),
        (Number(5), "5"),
        (Share(0.5), "0.5"),
        ({Text("k"): Text("\udcff")}, '{"k":"\ufffd"}'),
        ({None: 1, True: 2, False: 3, 4: 5, 1.5: 6}, '{"null":1,"true":2,"false":3,"4":5,"1.5":6}'),
        ("a\nb\u2028\0", '"a\\nb\u2028\\u0000"'),
    ],
    ids=repr,
)
def test_a_value_becomes_json(value: Any, text: str) -> None:
    assert encode_json(value).decode() == text
    assert encode_lines([value, 1]).decode() == f"{text}\n1\n"


class Raises:
    """An object whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [object(), 1j, Raises(), {(1, 2): 3}, iter(())], ids=type)
def test_anything_else_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"written as JSON|^no$"):
        encode_json(value)
    with pytest.raises(ValueError, match=r"written as JSON|^no$"):
        encode_lines([1, value])


def test_a_circle_is_a_value_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="nested too deep"):
        encode_json(circle)


def test_records_that_cannot_be_written_are_named_and_the_others_are_there() -> None:
    payload, failures = encode_records([{"a": 1}, {"a": object()}, {"a": "\udcff"}, {"a": 1j}])
    assert payload == Payload(Format.NDJSON, b'{"a":1}\n{"a":"\xef\xbf\xbd"}\n', 2)
    assert [(at, str(error)) for at, error in failures] == [
        (1, "the field a: a value of type object cannot be written as JSON"),
        (3, "the field a: a value of type complex cannot be written as JSON"),
    ]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(categories=None))
    | st.binary()
    | st.sampled_from([object(), 1j]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.none() | st.integers(), inner),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.text(st.characters(categories=None), max_size=3), values, max_size=3), max_size=4))
def test_every_record_is_written_as_one_line_or_named(records: list[dict[str, Any]]) -> None:
    payload, failures = encode_records(records)
    lines = payload.data.decode().split("\n")[:-1]
    assert len(lines) == payload.count == len(records) - len(failures)
    assert all(isinstance(json.loads(line), dict) for line in lines)
