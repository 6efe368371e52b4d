"""dedupe."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Duration, Processor
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.dedupe import Dedupe


class Time:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0


def dedupe(clock: Time, **settings: Any) -> Dedupe:
    """A processor with that clock."""

    class Timed(Dedupe):
        """With a clock of the test."""

        @staticmethod
        def seconds() -> float:
            return clock.now

    return Timed(**settings)


class TestConformance(ProcessorConformance):
    """Whole lines."""

    lines = ("a", "b", "a", "c", "b", "a", "a", "d")

    def make(self) -> Processor:
        """As a config would make it."""
        return Dedupe()


class TestConformanceOfFields(ProcessorConformance):
    """Fields, with a count."""

    lines = ({"a": 1, "n": 1}, {"a": 1, "n": 2}, {"b": 1}, {"a": {"x": 1}}, {"b": 1}, {"a": "1"}, {"a": 1})

    def make(self) -> Processor:
        """As a config would make it."""
        return Dedupe(fields=["a"], count_field="repeated")


def test_the_first_goes_on_and_repeats_are_counted_as_dropped(run_chain: RunChain) -> None:
    result = run_chain(Dedupe(), [b"a \xff", b"b", b"a \xff", b"b", b"a"])
    assert result.batch.payload.data == b"a \xff\nb\na\n"  # type: ignore[union-attr]
    assert result.dropped == {"dedupe/filtered": 2}


def test_timestamps_make_no_difference_and_neither_does_the_order_of_fields(run_chain: RunChain) -> None:
    records: list[Any] = [{"a": 1, "b": 2, "timestamp": "x"}, {"timestamp": "y", "b": 2, "a": 1}, {"a": 1, "b": "2"}]
    assert run_chain(Dedupe(), records).records == [records[0], records[2]]


def test_only_the_named_fields_are_compared_and_records_without_any_go_on(run_chain: RunChain) -> None:
    records: list[Any] = [
        {"a": {"b": 1}, "n": 1},
        {"a": {"b": 1}, "n": 2},
        {"n": 3},
        {"n": 3},
        {"c": None},
        {"c": None},
    ]
    assert run_chain(Dedupe(fields=["a.b", "c"]), records).records == [records[0], *records[2:5]]


def test_when_the_window_is_over_the_next_one_goes_on_and_says_how_many_did_not() -> None:
    clock = Time()
    chain = start_chain([dedupe(clock, window=Duration(10), count_field="repeated")])
    assert run_batch(chain, ["a", "a"]).records == [{"message": "a"}]
    clock.now += 9.999
    assert run_batch(chain, ["a"]).records == []
    clock.now += 0.001
    assert run_batch(chain, ["a", "a"]).records == [{"message": "a", "repeated": 2}]
    clock.now += 10
    assert run_batch(chain, ["a"]).records == [{"message": "a", "repeated": 1}]
    clock.now += 10
    assert run_batch(chain, ["a"]).records == [{"message": "a"}]


def test_the_record_that_went_on_first_is_forgotten_first() -> None:
    chain = start_chain([Dedupe(max_keys=2)])
    assert len(run_batch(chain, ["a", "b", "a", "c", "b", "a"]).records) == 4


def test_the_state_is_bounded_and_stays_the_same_while_nothing_new_comes() -> None:
    clock = Time()
    processor = dedupe(clock, max_keys=100, window=Duration(10))
    chain = start_chain([processor])
    first = run_batch(chain, [f"{number}" for number in range(500)])
    (state,) = first.batch.state.values()
    assert state is not None
    assert len(state) == 1 + 8 + 100 * 16
    assert run_batch(chain, ["499", "450"]).batch.state == {}
    clock.now += 10
    ((_, state),) = run_batch(chain, ["x"]).batch.state.items()
    assert state is not None
    assert len(state) == 1 + 8 + 16


times = st.lists(st.tuples(st.integers(0, 8), st.lists(st.sampled_from("abc"), max_size=5)), max_size=8)


@given(times, st.integers(0, 8), st.integers(0, 10**9), st.booleans())
def test_a_restart_changes_nothing(batches: list[tuple[int, list[str]]], at: int, away: int, count: bool) -> None:
    settings: dict[str, Any] = {"window": Duration(10), "max_keys": 2, "count_field": "n" if count else None}
    clock, other = Time(), Time()
    whole = start_chain([dedupe(clock, **settings)])
    part = start_chain([dedupe(other, **settings)])
    state: dict[str, bytes] = {}
    for number, (seconds, lines) in enumerate(batches):
        clock.now += seconds
        other.now += seconds
        both = [run_batch(chain, ["new", *lines] if number == at else lines) for chain in (part, whole)]
        assert both[0].records == both[1].records
        state |= {key: value for key, value in both[0].batch.state.items() if value is not None}
        if number == at:  # the state holds the time of the batch that changed it last
            assert len(both[0].records) > 0
            other.now = float(away)
            part = start_chain([dedupe(other, **settings)], state=state)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"fields": []}, "fields is empty"),
        ({"fields": [""]}, "is not a field's name"),
        ({"count_field": "a.b"}, r"count_field is a\.b, inside a: it must be at the top"),
        ({"window": Duration(0)}, "window is 0s"),
        ({"window": Duration(86400 * 60)}, "at most 40d"),
    ],
)
def test_settings_that_cannot_be_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Dedupe(**settings).setup()


@pytest.mark.parametrize("state", [b"", b"\x02" + bytes(24), b"\x01" + bytes(7), b"\x01" + bytes(23)])
def test_a_state_of_another_kind_is_refused(state: bytes) -> None:
    processor = Dedupe()
    processor.setup()
    with pytest.raises(ValueError, match=r"this version reads 01|no length"):
        processor.restore(state)
