"""What sinks lose for want of room is counted for each sink and said."""

from pathlib import Path

import pytest
from support.delivering import frame_draft, lines
from support.spool_model import frame_of
from support.until import until

from shipper.losses import Losses, limits
from shipper.metrics import Registry
from shipper.sinks.blackhole import BlackholeSink
from shipper.spool.draft import EntryDraft
from shipper.spool.spool import Spool

MAX_BYTES = 2 << 20


def opened(root: Path, *sinks: str) -> Spool:
    """A running spool."""
    spool = Spool(root, MAX_BYTES, 1 << 20, sinks)
    spool.start()
    return spool


async def test_a_removed_sink_is_warned_about_and_what_it_loses_is_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = opened(tmp_path, "central", "old")
    for number in range(20):
        await before.append(EntryDraft([frame_of(number, 30_000)]))
    await before.close()

    spool, metrics = opened(tmp_path, "central"), Registry()
    feed = spool.subscribe("central")
    losses = Losses(metrics, spool, {"central": BlackholeSink()})
    spool.upkeep.on_dropped = losses.dropped
    said = capsys.readouterr().err
    assert "the config no longer has the sink old: what waits for it stays until the room is needed" in said
    assert metrics.value("shipper_sink_dropped_frames_total", sink="old", reason="sink_removed") == 0
    for number in range(20, 100):
        for item in await feed.read(1 << 20):
            feed.ack(item.next, 0)
        await spool.append(EntryDraft([frame_of(number, 30_000)]))
    await until(lambda: metrics.value("shipper_sink_dropped_frames_total", sink="old", reason="sink_removed") > 0)
    await spool.close()
    dropped = metrics.value("shipper_sink_dropped_records_total", sink="old", reason="sink_removed")
    assert dropped == metrics.value("shipper_sink_dropped_frames_total", sink="old", reason="sink_removed")
    assert "a sink that the config no longer has are given up" in capsys.readouterr().err
    assert 'sink="central"' not in metrics.render()


async def test_a_sink_that_may_drop_has_its_counters_from_the_start(tmp_path: Path) -> None:
    spool, metrics = opened(tmp_path, "central"), Registry()
    sinks = {"central": BlackholeSink(when_full="drop_oldest"), "other": BlackholeSink()}
    assert limits(sinks) == {"central": None}
    await spool.append(EntryDraft([frame_draft(lines("a"))]))
    Losses(metrics, spool, sinks)
    await spool.close()
    assert metrics.value("shipper_sink_dropped_records_total", sink="central", reason="drop_oldest") == 0
    assert 'sink="other"' not in metrics.render()
