"""What became of records, as metrics."""

import asyncio

import pytest

from shipper.batch import Batch, Payload, SourceRange
from shipper.counts import Counts
from shipper.metrics import Registry
from shipper.spool.upstream import DUPLICATE

SPANS = [
    SourceRange("app", b"g" * 16, 0, 9, 5, 1, dropped={"levels/filtered": 2, "json/error": 1}, failed=1),
    SourceRange("app", b"h" * 16, 0, 9, 3, 2, dropped={"levels/filtered": 1}),
]


def batch() -> Batch:
    return Batch("app", {}, Payload.lines(b""), SPANS, 5)


def test_every_record_counts_by_what_became_of_it_and_a_drop_by_processor_and_reason() -> None:
    metrics = Registry()
    Counts("app", metrics).batch(batch())
    stages = {
        stage: metrics.value("shipper_records_total", source="app", stage=stage)
        for stage in ("read", "kept", "dropped", "failed")
    }
    assert stages == {"read": 8, "kept": 3, "dropped": 4, "failed": 1}
    assert metrics.value("shipper_records_dropped_total", processor="levels", reason="filtered") == 3
    assert metrics.value("shipper_records_dropped_total", processor="json", reason="error") == 1


@pytest.mark.parametrize(("outcome", "duplicates", "read"), [(DUPLICATE, 1, 0), (7, 0, 8)])
async def test_a_duplicate_counts_as_one_and_not_as_records(outcome: int, duplicates: int, read: int) -> None:
    metrics = Registry()
    durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    durable.set_result(outcome)
    Counts("app", metrics).if_new(batch(), durable)
    assert metrics.value("shipper_duplicates_total", source="app") == duplicates
    assert metrics.value("shipper_records_total", source="app", stage="read") == read


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_was_not_written_does_not_count(cancelled: bool) -> None:
    metrics = Registry()
    durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    if cancelled:
        durable.cancel()
    else:
        durable.set_exception(RuntimeError("the disk is gone"))
    Counts("app", metrics).if_new(batch(), durable)
    assert metrics.value("shipper_records_total", source="app", stage="read") == 0
