"""fingerprint."""

import hashlib
from typing import Any

import pytest

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.fingerprint import Fingerprint

KEY = "0123456789abcdef"


class TestConformance(ProcessorConformance):
    """Of the whole record."""

    lines = ({"a": 1, "b": {"c": [1, None]}}, {}, {"fingerprint": 1}, {"a": 2**80})

    def make(self) -> Processor:
        """As a config would make it."""
        return Fingerprint()


class TestConformanceOfFields(ProcessorConformance):
    """Of some fields, into a nested one, with a key."""

    lines = ({"a": 1, "b": {"c": [1, None]}}, {"x": 5, "a": "1"}, {"x": {"id": 1}, "a": 1}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return Fingerprint(fields=["a", "b.c"], into="x.id", bytes=16, key=KEY)


def hashes(run_chain: RunChain, records: list[Any], **settings: Any) -> list[Any]:
    """The hash of each record."""
    return [record.get("fingerprint") for record in run_chain(Fingerprint(**settings), records).records]


def test_it_is_blake2b_of_the_values_as_json(run_chain: RunChain) -> None:
    expected = hashlib.blake2b(b'["x",{"a":1,"b":[null]}]', digest_size=8).hexdigest()
    record = {"s": "x", "o": {"b": [None], "a": 1}, "n": 5}
    assert hashes(run_chain, [record], fields=["s", "o"]) == [expected]


def test_a_key_makes_it_another_one(run_chain: RunChain) -> None:
    expected = hashlib.blake2b(b'["x"]', digest_size=16, key=KEY.encode()).hexdigest()
    assert hashes(run_chain, [{"s": "x"}], fields=["s"], key=KEY, bytes=16) == [expected]
    long = "k" * 100
    expected = hashlib.blake2b(b'["x"]', digest_size=8, key=hashlib.blake2b(long.encode()).digest()).hexdigest()
    assert hashes(run_chain, [{"s": "x"}], fields=["s"], key=long) == [expected]


def test_the_order_of_names_makes_no_difference_and_types_do(run_chain: RunChain) -> None:
    records = [{"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}, {"a": "1", "b": {"x": 1, "y": 2}}]
    first, second, third = hashes(run_chain, records)
    assert first == second != third


def test_neither_the_timestamp_nor_an_earlier_hash_counts(run_chain: RunChain) -> None:
    assert len(set(hashes(run_chain, [{"a": 1}, {"a": 1, "timestamp": "x"}, {"a": 1, "fingerprint": "x"}]))) == 1
    records: list[Any] = [{"a": 1, "x": {"y": 2}}, {"a": 1, "x": {"y": 2, "id": "old"}}]
    first, second = run_chain(Fingerprint(into="x.id"), records).records
    assert first == second


def test_a_missing_field_counts_as_null_and_without_any_there_is_no_hash(run_chain: RunChain) -> None:
    first, second, third = hashes(run_chain, [{"a": 1}, {"a": 1, "b": None}, {"c": 1}], fields=["a", "b"])
    assert first == second != third
    assert third is None


def test_a_record_in_which_there_is_no_place_for_it_fails(run_chain: RunChain) -> None:
    result = run_chain(Fingerprint(into="a.b", fields=["c"]), [{"a": 1, "c": 1}])
    assert result.failed == 1
    assert "a is not an object" in result.dead_letters[0].error


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"fields": []}, "fields is empty"), ({"into": "a."}, "is not a field's name"), ({"key": "x"}, "shorter than 16")],
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fingerprint(**settings).setup()
