"""throttle."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Duration, Processor
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.throttle import Throttle


class Time:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0


def throttle(clock: Time, **settings: Any) -> Throttle:
    """A processor with that clock."""

    class Timed(Throttle):
        """With a clock of the test."""

        @staticmethod
        def seconds() -> float:
            return clock.now

    return Timed(**settings)


class TestConformance(ProcessorConformance):
    """One bucket, so slow that no test fills it."""

    lines = tuple("abcdefgh")

    def make(self) -> Processor:
        """As a config would make it."""
        return Throttle(rate=1, per=Duration(86400), burst=5)


class TestConformanceByKey(ProcessorConformance):
    """A bucket for each value."""

    lines = ({"a": 1}, {"a": 1}, {"a": 2}, {"a": "1"}, {"a": 1}, {"a": [1]}, {}, {"a": 2})

    def make(self) -> Processor:
        """As a config would make it."""
        return Throttle(rate=1, per=Duration(86400), by=["a"])


def test_a_burst_goes_on_then_what_the_rate_allows() -> None:
    clock = Time()
    chain = start_chain([throttle(clock, rate=2, burst=3)])
    passed = []
    for pause in (0, 0, 0.4, 0.1, 0.5, 0.5, 100):
        clock.now += pause
        passed.append(len(run_batch(chain, "abcdefgh").records))
    assert passed == [3, 0, 0, 1, 1, 1, 3]


def test_a_burst_is_as_long_as_the_rate_where_nothing_else_is_said() -> None:
    assert len(run_batch(start_chain([throttle(Time(), rate=4.5)]), "abcdefgh").records) == 5
    assert len(run_batch(start_chain([throttle(Time(), rate=0.01)]), "abcdefgh").records) == 1


def test_what_is_above_the_rate_is_counted_and_the_rest_keeps_its_bytes(run_chain: RunChain) -> None:
    result = run_chain(Throttle(rate=2, per=Duration(3600)), [b"\xff 1", b"2 \r", b"3"])
    assert result.dropped == {"throttle/filtered": 1}
    assert result.batch.payload.data == b"\xff 1\n2 \r\n"  # type: ignore[union-attr]


def test_each_value_has_a_bucket_of_its_own(run_chain: RunChain) -> None:
    by = Throttle(rate=1, per=Duration(3600), by=["service", "http.status"])
    records: list[Any] = [
        {"service": "a", "http": {"status": 1}},
        {"service": "a", "http": {"status": 2}},
        {"service": "a", "http": {"status": 1}, "n": 3},
        {"service": "b"},
        {"service": "b", "http": None},
    ]
    assert run_chain(by, records).records == [records[0], records[1], records[3]]


def test_a_label_is_a_key_too() -> None:
    chain = start_chain([Throttle(rate=1, per=Duration(3600), by=["file"])])
    passed = [len(run_batch(chain, ["x", "y"], {"file": file}).records) for file in ("a", "b", "a")]
    assert passed == [1, 1, 0]


def test_the_buckets_and_the_state_are_bounded() -> None:
    clock = Time()
    chain = start_chain([throttle(clock, rate=1, by=["message"], max_keys=10)])
    first = run_batch(chain, [f"{number}" for number in range(50)])
    (state,) = first.batch.state.values()
    assert (len(first.records), len(state or b"")) == (50, 1 + 8 + 10 * 16)
    assert run_batch(chain, ["49"]).batch.state == {}
    clock.now += 1
    ((_, state),) = run_batch(chain, ["x"]).batch.state.items()
    assert len(state or b"") == 1 + 8 + 16


batches = st.lists(st.tuples(st.integers(0, 3000), st.lists(st.sampled_from("abc"), max_size=6)), max_size=10)


@given(batches, st.floats(0.1, 20), st.integers(1, 5))
def test_no_more_than_burst_and_rate_go_on(found: list[tuple[int, list[str]]], rate: float, burst: int) -> None:
    clock = Time()
    chain = start_chain([throttle(clock, rate=rate, burst=burst, by=["message"])])
    passed: dict[str, int] = dict.fromkeys("abc", 0)
    for pause, lines in found:
        clock.now += pause / 1000
        for record in run_batch(chain, lines).records:
            passed[record["message"]] += 1
    most = burst + (clock.now - 1000) * rate
    assert all(count <= most + 0.01 for count in passed.values())


@given(batches, st.integers(0, 9), st.integers(0, 10**9))
def test_a_restart_changes_nothing(found: list[tuple[int, list[str]]], at: int, away: int) -> None:
    settings: dict[str, Any] = {"rate": 0.5, "burst": 2, "by": ["message"], "max_keys": 10}
    clock, other = Time(), Time()
    whole, part = start_chain([throttle(clock, **settings)]), start_chain([throttle(other, **settings)])
    state: dict[str, bytes] = {}
    for number, (pause, lines) in enumerate(found):
        clock.now += pause
        other.now += pause
        both = [run_batch(chain, ["new", *lines] if number == at else lines) for chain in (part, whole)]
        assert both[0].records == both[1].records
        state |= {key: value for key, value in both[0].batch.state.items() if value is not None}
        if number == at:  # the state holds the time of the batch that changed it last
            other.now = float(away)
            part = start_chain([throttle(other, **settings)], state=state)


@pytest.mark.parametrize(
    ("settings", "problem"), [({"per": Duration(0)}, "per is 0"), ({"by": ["a..b"]}, "is not a field's name")]
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Throttle(rate=1, **settings).setup()


@pytest.mark.parametrize("state", [b"", b"\x02" + bytes(24), b"\x01" + bytes(7), b"\x01" + bytes(23)])
def test_a_state_of_another_kind_is_refused(state: bytes) -> None:
    processor = Throttle(rate=1)
    processor.setup()
    with pytest.raises(ValueError, match=r"this version reads 01|no length"):
        processor.restore(state)
