"""add_fields."""

import pytest

from shipper import Processor
from shipper.testing import Line, ProcessorConformance, RunChain
from shipper_processors.add_fields import AddFields


class TestConformance(ProcessorConformance):
    """With overwrite: the way through the records."""

    lines = ({"a": 1}, {"team": "x"}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return AddFields(fields={"team": "payments", "tier": 1}, overwrite=True)


class TestConformanceAsLabels(ProcessorConformance):
    """Constants that become labels."""

    lines = ("x", "y")

    def make(self) -> Processor:
        """As a config would make it."""
        return AddFields(fields={"team": "payments"})


def test_constants_become_labels_and_the_lines_stay_as_they_are(run_chain: RunChain) -> None:
    result = run_chain(AddFields(fields={"team": "payments", "tier": 1}), [b"\xff raw"])
    assert result.labels == {"host": "test", "team": "payments", "tier": 1}
    assert result.batch.payload.data == b"\xff raw\n"  # type: ignore[union-attr]


def test_a_label_that_is_there_stays(run_chain: RunChain) -> None:
    assert run_chain(AddFields(fields={"host": "mine"}), ["x"], labels={"host": "h"}).labels == {"host": "h"}


def test_with_where_only_those_records_get_the_fields_that_they_lack(run_chain: RunChain) -> None:
    add = AddFields(fields={"alert": True, "host": "x", "by": "me"}, where="level == 'fatal'")
    records: list[Line] = [{"level": "fatal"}, {"level": "info"}, {"level": "fatal", "alert": False}]
    result = run_chain(add, records, labels={"host": "h"})
    assert result.records == [
        {"level": "fatal", "alert": True, "by": "me"},
        {"level": "info"},
        {"level": "fatal", "alert": False, "by": "me"},
    ]


def test_overwrite_replaces_fields(run_chain: RunChain) -> None:
    add = AddFields(fields={"password": None}, overwrite=True, where="exists(password)")
    assert run_chain(add, [{"password": "x"}, {}]).records == [{"password": None}, {}]


@pytest.mark.parametrize(
    ("fields", "problem"), [({}, "fields is empty"), ({"n": 2**64}, "n does not fit into 64 bits")]
)
def test_fields_that_cannot_be_labels_are_config_errors(fields: dict[str, int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        AddFields(fields=dict(fields)).setup()
