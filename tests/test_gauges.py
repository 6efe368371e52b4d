"""Gauges that are read off a real spool."""

from pathlib import Path

from support.delivering import frame_draft, lines

from shipper.gauges import follow
from shipper.metrics import Registry
from shipper.pace import Pace
from shipper.spool.draft import EntryDraft
from shipper.spool.spool import Spool


def shown(spool: Spool, sinks: list[str]) -> Registry:
    registry = Registry()
    feeds = {name: spool.subscribe(name) for name in sinks}
    follow(registry, spool, feeds, Pace(feeds, spool.max_bytes, lambda: spool.blocked, lambda: spool.disk_room))
    return registry


async def test_what_waits_for_a_removed_sink_shows_until_it_is_forgotten(tmp_path: Path) -> None:
    before = Spool(tmp_path, 64 << 20, 1 << 20, ["central", "old"])
    before.start()
    registry = shown(before, ["central", "old"])
    await before.append(EntryDraft(frames=[frame_draft(lines("waits"))]))
    assert "shipper_sink_removed_bytes" not in registry.render()
    assert registry.value("shipper_sink_backlog_bytes", sink="old") > 0
    await before.close()

    after = Spool(tmp_path, 64 << 20, 1 << 20, ["central"])
    after.start()
    registry = shown(after, ["central"])
    assert 'shipper_sink_removed_bytes{sink="old"}' in registry.render()
    await after.forget("old")
    assert "shipper_sink_removed_bytes" not in registry.render()
    await after.close()


async def test_a_spool_with_room_is_blocked_by_nothing_and_never_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 20, 1 << 20, ["central"])
    spool.start()
    page = shown(spool, ["central"]).render()
    for reason in ("max_bytes", "min_free", "disk_full"):
        assert f'shipper_spool_blocked{{reason="{reason}"}} 0\n' in page
    assert "shipper_spool_full_in_seconds +Inf\n" in page
    await spool.close()
