"""Messages between a process and its children."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.chain.messages import HEADER_SIZE, BadMessageError, body_size, check, dumps, framed, loads

SCALARS: Any = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES: Any = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner), max_leaves=20
)


@given(VALUES)
def test_records_come_out_as_they_went_in(value: Any) -> None:
    message = framed(dumps(value))
    header, body = message[:HEADER_SIZE], message[HEADER_SIZE:]
    assert body_size(header) == len(body)
    check(header, body)
    assert loads(body) == value


@pytest.mark.parametrize(
    "value",
    [
        2**80,
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        date(2026, 1, 2),
        timedelta(seconds=1),
        Decimal("1.10"),
        UUID(int=5),
        {1, 2},
        ("a", "b"),
    ],
)
def test_what_processors_put_into_records_keeps_its_type(value: Any) -> None:
    found = loads(dumps({"value": value}))["value"]
    assert (found, type(found)) == (value, type(value))


@given(st.binary())
def test_garbage_is_known_as_such(data: bytes) -> None:
    try:
        loads(data)
        body_size(data[:HEADER_SIZE].ljust(HEADER_SIZE))
    except BadMessageError:
        return


@settings(max_examples=50)
@given(st.binary(min_size=1), st.data())
def test_a_changed_byte_is_found(body: bytes, data: st.DataObject) -> None:
    message = framed(body)
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[at] ^= 1
    with pytest.raises(BadMessageError, match="checksum"):
        check(message[:HEADER_SIZE], bytes(changed))


class Call:
    """What would call a function where it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("called",)


def test_no_message_calls_anything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadMessageError, match="no plain data"):
        loads(pickle.dumps(Call()))
    assert capsys.readouterr().out == ""


def test_what_cannot_be_sent_is_said_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="a value of type Call cannot leave its process"):
        dumps([{"a": Call()}])
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deep"):
        dumps(deep)
