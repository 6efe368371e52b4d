"""Lost bytes of files are counted when they are durable as lost, by file within bounds, and shown."""

import asyncio
import io

from shipper.batch import Loss
from shipper.errors import SpoolFailed
from shipper.lost_bytes import FILES, RECENT, LostBytes
from shipper.metrics import Registry


def loss(file: str, size: int = 5) -> Loss:
    """Bytes of a file."""
    return Loss(file, b"g" * 16, 100, 100 + size, "vanished")


async def outcome(result: int | Exception) -> "asyncio.Future[int]":
    """What the spool says of an entry."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    if isinstance(result, int):
        future.set_result(result)
    else:
        future.set_exception(result)
    return future


async def test_what_is_durable_is_counted_shown_and_said(lines: io.StringIO) -> None:
    metrics = Registry()
    lost = LostBytes("app", metrics)
    lost.count_if_durable([loss("/a.log", 7), loss("/b.log")], await outcome(3))
    assert metrics.value("shipper_lost_bytes_total", reason="vanished") == 12
    assert metrics.value("shipper_source_lost_bytes_total", source="app", file="/a.log", reason="vanished") == 7
    shown = lost.recent()
    assert [(one["file"], one["bytes"], one["first"], one["reason"]) for one in shown] == [
        ("/b.log", 5, 100, "vanished"),
        ("/a.log", 7, 100, "vanished"),
    ]
    assert all(one["age_seconds"] >= 0 for one in shown)
    assert lines.getvalue().count("bytes of a file can never be read") == 2


async def test_what_did_not_become_durable_is_not_counted() -> None:
    """It is met again after the next start."""
    metrics = Registry()
    lost = LostBytes("app", metrics)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    for future in (cancelled, await outcome(SpoolFailed("the disk refused"))):
        lost.count_if_durable([loss("/a.log")], future)
    assert metrics.value("shipper_lost_bytes_total", reason="vanished") == 0
    assert lost.recent() == []


async def test_many_files_take_no_more_series_and_no_more_of_status_than_they_may() -> None:
    metrics = Registry()
    lost = LostBytes("app", metrics)
    lost.count_if_durable([loss(f"/{number}.log") for number in range(FILES + 50)], await outcome(1))
    lost.count_if_durable([loss("/0.log")], await outcome(2))
    series = [line for line in metrics.render().splitlines() if line.startswith("shipper_source_lost_bytes_total{")]
    assert len(series) == FILES + 1
    assert metrics.value("shipper_source_lost_bytes_total", source="app", file="/0.log", reason="vanished") == 10
    assert metrics.value("shipper_source_lost_bytes_total", source="app", file="", reason="vanished") == 250
    assert metrics.value("shipper_lost_bytes_total", reason="vanished") == 5 * (FILES + 51)
    assert len(lost.recent()) == RECENT
    assert lost.recent()[0]["file"] == "/0.log"
