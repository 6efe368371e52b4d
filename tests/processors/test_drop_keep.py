"""drop and keep."""

import pytest

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.drop import Drop
from shipper_processors.keep import Keep
from shipper_processors.parse_json import ParseJson

RECORDS: tuple[Record, ...] = ({"level": "debug"}, {"level": "info"}, {}, {"level": 5}, {"level": None})


class TestConformanceOfDrop(ProcessorConformance):
    """Drop."""

    lines = RECORDS

    def make(self) -> Processor:
        """As a config would make it."""
        return Drop(where="level == 'debug'")


class TestConformanceOfKeep(ProcessorConformance):
    """Keep."""

    lines = RECORDS

    def make(self) -> Processor:
        """As a config would make it."""
        return Keep(where="level != 'debug'")


def test_drop_and_keep_are_opposites_and_count_what_they_drop(run_chain: RunChain) -> None:
    dropped = run_chain(Drop(where="level == 'debug'"), RECORDS)
    kept = run_chain(Keep(where="level == 'debug'"), RECORDS)
    assert (dropped.records, dropped.dropped) == (list(RECORDS[1:]), {"drop/filtered": 1})
    assert (kept.records, kept.dropped) == ([RECORDS[0]], {"keep/filtered": 4})


def test_records_that_are_left_keep_their_bytes(run_chain: RunChain) -> None:
    result = run_chain(Drop(where="contains(message, 'secret')"), [b"\xff one", b"a secret", b"two \r"])
    assert result.batch.payload.data == b"\xff one\ntwo \r\n"  # type: ignore[union-attr]


def test_a_condition_reads_labels_where_a_record_has_no_such_field(run_chain: RunChain) -> None:
    result = run_chain(Keep(where="env == 'prod'"), [{"env": "dev"}, {}], labels={"env": "prod"})
    assert result.records == [{}]


def test_nothing_at_all_may_be_left(run_chain: RunChain) -> None:
    result = run_chain([ParseJson(), Drop(where="true")], ["{}", "x"])
    assert (result.records, result.dropped) == ([], {"drop/filtered": 2})


@pytest.mark.parametrize("processor", [Drop(), Keep()])
def test_a_condition_is_required(processor: Processor) -> None:
    with pytest.raises(ValueError, match="where is missing"):
        processor.setup()
