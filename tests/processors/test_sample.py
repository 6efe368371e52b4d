"""sample."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.sample import Sample

LINES = tuple(f"line {number}" for number in range(50))


class TestConformance(ProcessorConformance):
    """A share."""

    lines = LINES

    def make(self) -> Processor:
        """As a config would make it."""
        return Sample(rate=0.3)


class TestConformanceOfEvery(ProcessorConformance):
    """Every seventh."""

    lines = LINES

    def make(self) -> Processor:
        """As a config would make it."""
        return Sample(every=7)


class TestConformanceByKey(ProcessorConformance):
    """Whole traces."""

    lines = ({"trace": 1}, {"trace": "1"}, {"trace": {"id": 1}}, {}, {"trace": None})

    def make(self) -> Processor:
        """As a config would make it."""
        return Sample(rate=0.5, by=["trace"])


@given(st.floats(0, 1), st.integers(0, 400))
def test_of_any_stretch_the_share_is_kept(rate: float, count: int) -> None:
    chain = start_chain([Sample(rate=rate)])
    run_batch(chain, LINES)
    kept = len(run_batch(chain, [f"{number}" for number in range(count)]).records)
    assert abs(kept - rate * count) < 5


@given(st.integers(1, 9), st.lists(st.integers(0, 20), max_size=5))
def test_every_nth_is_kept_wherever_batches_end(every: int, sizes: list[int]) -> None:
    chain = start_chain([Sample(every=every)])
    kept: list[Any] = []
    start = 0
    for size in sizes:
        kept += run_batch(chain, [f"{number}" for number in range(start, start + size)]).records
        start += size
    assert kept == [{"message": f"{number}"} for number in range(0, start, every)]


def test_records_of_one_key_have_one_fate_everywhere(run_chain: RunChain) -> None:
    records: list[Any] = [{"trace": f"{number % 400}", "n": number} for number in range(2000)]
    kept = run_chain(Sample(rate=0.25, by=["trace"]), records).records
    traces = {record["trace"] for record in kept}
    assert len(kept) == 5 * len(traces)
    assert 60 < len(traces) < 140
    again = run_chain(Sample(rate=0.25, by=["trace"]), list(reversed(records))).records
    assert {record["trace"] for record in again} == traces
    more = run_chain(Sample(rate=0.5, by=["trace"]), records).records
    assert traces <= {record["trace"] for record in more}


def test_a_label_counts_where_there_is_no_such_field(run_chain: RunChain) -> None:
    sample = Sample(rate=0.5, by=["file"])
    for file in ("a", "b", "c", "d"):
        by_label = run_chain(sample, ["x"], labels={"file": file}).dropped
        assert run_chain(sample, [{"file": file}], labels={"file": "other"}).dropped == by_label


def test_what_is_left_out_is_counted_and_the_rest_keeps_its_bytes(run_chain: RunChain) -> None:
    result = run_chain(Sample(every=2), [b"\xff 1", b"2", b"3 \r"])
    assert result.dropped == {"sample/filtered": 1}
    assert result.batch.payload.data == b"\xff 1\n3 \r\n"  # type: ignore[union-attr]


def test_only_what_meets_where_is_sampled(run_chain: RunChain) -> None:
    records: list[Any] = [{"level": level} for level in ("debug", "error", "debug", "error")]
    result = run_chain(Sample(rate=0.0, where="level == 'debug'"), records)
    assert result.records == [{"level": "error"}, {"level": "error"}]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "either rate or every"),
        ({"rate": 0.5, "every": 2}, "either rate or every"),
        ({"every": 2, "by": ["a"]}, "by goes with rate"),
        ({"rate": 0.5, "by": ["a."]}, "is not a field's name"),
    ],
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Sample(**settings).setup()


@pytest.mark.parametrize("state", [b"\x02" + bytes(8), b"\x01", b"\x01" + bytes(9)])
def test_a_state_of_another_kind_is_refused(state: bytes) -> None:
    sample = Sample(every=2)
    sample.setup()
    with pytest.raises(ValueError, match=r"this version reads 01|no length"):
        sample.restore(state)
