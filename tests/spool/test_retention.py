"""Who gives way when room is needed, what that costs whom, and what is said about it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.delivering import frame_draft, lines
from support.simdisk import SimDisk
from support.spool_model import frame_of
from support.until import until

from shipper.errors import SpoolError
from shipper.sinks.base import Frame, Gap, Item
from shipper.spool.body import CursorValue
from shipper.spool.draft import EntryDraft
from shipper.spool.dropping import Drop, Dropped
from shipper.spool.inspect import look
from shipper.spool.retention import forget_sink, removed_sinks
from shipper.spool.spool import Spool
from shipper.spool.store import Store
from shipper.spool.subscription import Subscription

MAX_BYTES = 2 * 1024 * 1024


def store_on(disk: SimDisk, sinks: Sequence[str], limits: Mapping[str, int | None] | None = None) -> Store:
    """A spool of 2 MiB."""
    return Store(disk, MAX_BYTES, 1 << 20, sinks, limits=limits)


def fill(store: Store, first: int = 0, most: int = 1 << 30) -> int:
    """Append frames of one record until the spool is full; how many it took."""
    count = 0
    while count < most and store.commit([EntryDraft([frame_of(first + count, 30_000)])]):
        count += 1
    return count


def give_way(store: Store, *, blocked: bool) -> list[Drop]:
    """What the event loop would do: the sinks move their cursors, then the segments go."""
    drops = store.retention.make_way(blocked=blocked)
    for drop in drops:
        store.log.cursors[drop.sink].drop(drop)
    store.log.reclaim()
    return drops


def bodies(store: Store, sink: str) -> list[Frame | Gap]:
    """What a sink gets from its cursor on."""
    reader = store.reader(lambda damage: pytest.fail(str(damage)))
    value = store.log.cursors[sink].value
    reader.seek(value.position, value.seq, value.lost)
    found = []
    while (read := reader.step()) is not None:
        found += [read.item.body] if read.item else []
    return found


def test_a_full_spool_drops_the_oldest_segment_of_a_sink_that_may_and_others_lose_nothing() -> None:
    store = store_on(SimDisk(), ["slow", "fast"], {"slow": None})
    count = fill(store)
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    (drop,) = give_way(store, blocked=True)
    assert drop.sink == "slow"
    gone = drop.next - 1
    assert 0 < gone < count // 4, "enough to go on, not everything"
    assert fill(store, count, 1) == 1
    gap, *rest = bodies(store, "slow")
    assert gap == Gap(1, gone, gone, "drop_oldest")
    assert len(rest) == count + 1 - gone
    assert len(bodies(store, "fast")) == 1


def test_the_gap_and_its_reason_survive_a_restart_and_a_crash() -> None:
    disk = SimDisk()
    store = store_on(disk, ["slow"], {"slow": None})
    count = fill(store)
    (drop,) = give_way(store, blocked=True)
    disk.kill()
    store = store_on(disk, ["slow"], {"slow": None})
    gap, *rest = bodies(store, "slow")
    assert gap == Gap(1, drop.next - 1, drop.next - 1, "drop_oldest")
    assert len(rest) == count - drop.next + 1
    give_way(store, blocked=True)
    gap = bodies(store, "slow")[0]
    assert isinstance(gap, Gap)
    assert gap.records == gap.last > drop.next, "two drops are one gap, counted exactly"
    frames, _ = look(disk).backlog(store.log.cursors["slow"].value)
    assert frames == count - gap.last, "what was dropped does not wait"


def test_dropping_would_free_nothing_while_another_sink_holds_the_oldest_segment() -> None:
    store = store_on(SimDisk(), ["slow", "blocking"], {"slow": None})
    fill(store)
    assert give_way(store, blocked=True) == []


def test_a_sink_beyond_its_max_backlog_gives_up_segments_while_there_is_room() -> None:
    store = store_on(SimDisk(), ["slow", "other"], {"slow": 400_000})
    for number in range(30):
        store.commit([EntryDraft([frame_of(number, 30_000)])])
        while give_way(store, blocked=False):
            pass
    kept = [body for body in bodies(store, "slow") if isinstance(body, Frame)]
    assert 250_000 < len(kept) * 30_000 <= 400_000
    assert len(bodies(store, "other")) == 30


def test_a_removed_sink_gives_way_before_the_spool_is_full_and_before_sinks_that_may_drop() -> None:
    disk = SimDisk()
    store = store_on(disk, ["gone", "slow"], {"slow": None})
    fill(store, most=10)
    store.log.cursors["slow"].place(CursorValue(11, store.log.durable))
    store.close()
    store = store_on(disk, ["slow"], {"slow": None})
    count = 0
    while store.log.used < MAX_BYTES:
        if not store.commit([EntryDraft([frame_of(count, 30_000)])]):
            break
        count += 1
        if give_way(store, blocked=False):
            pytest.fail("the sink of the config dropped")
    told = store.retention.dropped
    assert told
    assert {(one.sink, one.reason) for one in told} == {("gone", "sink_removed")}
    frames = sum(one.frames for one in told)
    assert frames == sum(one.records for one in told) >= 8
    assert not isinstance(bodies(store, "slow")[0], Gap)
    store.close()
    gap = bodies(store_on(disk, ["slow", "gone"]), "gone")[0]
    assert gap == Gap(1, frames, frames, "sink_removed"), "it goes on where its data begins"


def test_what_a_removed_sink_is_said_to_lose_is_lost_also_when_the_process_is_killed_then() -> None:
    disk = SimDisk()
    store = store_on(disk, ["gone", "live"])
    count = fill(store)
    store.log.cursors["live"].place(CursorValue(count + 1, store.log.durable))
    store.close()
    store = store_on(disk, ["live"])
    assert store.retention.make_way(blocked=False) == []
    told = sum(one.records for one in store.retention.dropped)
    assert told > 0
    disk.kill()
    gap = bodies(store_on(disk, ["live", "gone"]), "gone")[0]
    assert gap == Gap(1, told, told, "sink_removed")


def test_a_removed_sink_is_forgotten_for_good_and_its_name_begins_anew_at_the_tail() -> None:
    for offline in (False, True):
        disk = SimDisk()
        store = store_on(disk, ["a", "gone"])
        fill(store, most=20)
        store.log.cursors["a"].place(CursorValue(21, store.log.durable))
        store.close()
        if offline:
            assert removed_sinks(disk, ["a"]) == ["gone"]
            forget_sink(disk, "gone")
            assert removed_sinks(disk) == ["a"]
        else:
            store = store_on(disk, ["a"])
            assert store.log.removed == {"gone"}
            assert store.retention.forget("gone") > 400_000
            assert store.retention.dropped == [Dropped("gone", "sink_removed", 20, 20)]
        disk.kill()
        store = store_on(disk, ["a", "gone"])
        assert store.log.cursors["gone"].value.seq == 21
        assert bodies(store, "gone") == []
        store.close()
        store = store_on(disk, ["a"])
        assert store.log.removed == {"gone"}


def test_a_forgotten_cursor_goes_at_the_next_start() -> None:
    disk = SimDisk()
    store_on(disk, ["a", "gone"]).close()
    forget_sink(disk, "gone")
    store = store_on(disk, ["a"])
    assert store.log.removed == frozenset()
    assert "gone" not in disk.names("cursors")


def test_what_cannot_be_forgotten_is_said() -> None:
    disk = SimDisk()
    store = store_on(disk, ["a", "gone"])
    store.close()
    store = store_on(disk, ["a"])
    with pytest.raises(SpoolError, match="the config has the sink 'a': remove it there"):
        store.retention.forget("a")
    with pytest.raises(SpoolError, match="no sink 'nobody' was removed from the config; those that were: gone"):
        store.retention.forget("nobody")
    with pytest.raises(SpoolError, match="no sink 'nobody' has a cursor here; those that have: a, gone"):
        forget_sink(disk, "nobody")


# With the writer and the event loop


def frame(number: int, records: int) -> EntryDraft:
    """A frame of incompressible lines."""
    texts = [f"{number} {frame_of(number * 100 + at, 5_000).payload.hex()}" for at in range(records)]
    return EntryDraft([frame_draft(lines(*texts))])


class Small:
    """A spool of 2 MiB with the sink ``slow``, which may drop, and ``fast``."""

    def __init__(self, root: Path, limit: int | None = None) -> None:
        self.spool = Spool(root, MAX_BYTES, 1 << 20, ["slow", "fast"], limits={"slow": limit})
        self.dropped: list[Dropped] = []
        self.spool.upkeep.on_dropped = self.dropped.append
        self.slow = self.spool.subscribe("slow")
        self.fast = self.spool.subscribe("fast")
        self.spool.start()
        self.given: list[Item] = []

    async def flow(self, first: int, count: int) -> None:
        """Append frames of 1, 2 or 3 records; ``fast`` takes them at once."""
        for number in range(first, first + count):
            async with asyncio.timeout(20):
                await self.spool.append(frame(number, 1 + number % 3))
                while self.fast.cursor < self.spool.next_seq:
                    items = await self.fast.read(1 << 20)
                    self.given += items
                    self.fast.ack(items[-1].next, 0)

    @property
    def frames(self) -> int:
        return sum(one.frames for one in self.dropped)

    @property
    def records(self) -> int:
        return sum(one.records for one in self.dropped)


async def take(feed: Subscription, until_seq: int) -> list[Item]:
    """Read and acknowledge up to a number."""
    items: list[Item] = []
    async with asyncio.timeout(20):
        while feed.cursor < until_seq:
            some = await feed.read(1 << 20)
            feed.ack(some[-1].next, 0)
            items += some
    return items


def content(items: Sequence[Item]) -> tuple[int, int, int, int]:
    """Frames, records in them, numbers in gaps, records in those."""
    frames = [item.body for item in items if isinstance(item.body, Frame)]
    gaps = [item.body for item in items if isinstance(item.body, Gap)]
    return (
        len(frames),
        sum(body.records for body in frames),
        sum(gap.last - gap.first + 1 for gap in gaps),
        sum(gap.records for gap in gaps),
    )


async def test_what_a_dead_sink_did_not_get_is_counted_exactly(tmp_path: Path) -> None:
    small = Small(tmp_path)
    await small.flow(0, 300)
    frames, records, missing, lost = content(await take(small.slow, 301))
    assert small.frames == missing > 0
    assert small.records == lost
    assert frames + missing == 300
    assert records + lost == sum(item.body.records for item in small.given)
    assert len(small.given) == 300
    await small.spool.close()


async def test_frames_in_the_hands_of_a_sink_may_be_dropped_and_are_acknowledged_all_the_same(tmp_path: Path) -> None:
    small = Small(tmp_path)
    await small.flow(0, 20)
    held = await small.slow.read(60_000)
    await small.flow(20, 280)
    assert small.frames > 0
    small.slow.ack(held[1].next, 0)
    rest = await take(small.slow, 301)
    counted = [*held, *rest]
    frames, records, missing, lost = content(counted)
    assert [item.seq for item in counted] == sorted(item.seq for item in counted)
    assert (small.frames, small.records) == (missing, lost)
    assert frames + missing == 300
    assert records + lost == sum(item.body.records for item in small.given)
    await small.spool.close()


@pytest.mark.parametrize("arrived", [0, 2])
async def test_frames_in_doubt_count_once_the_far_side_has_said_what_it_has(tmp_path: Path, arrived: int) -> None:
    small = Small(tmp_path)
    await small.flow(0, 20)
    held = await small.slow.read(60_000)
    await small.flow(20, 280)
    before = small.frames
    small.slow.rewind()
    assert small.frames == before
    if arrived:
        await small.slow.forward(held[arrived - 1].next)
    frames, records, missing, lost = content([*held[:arrived], *await take(small.slow, 301)])
    assert frames + missing == 300
    assert (small.frames, small.records) == (missing, lost)
    assert records + lost == sum(item.body.records for item in small.given)
    await small.spool.close()


async def test_a_spool_that_drops_never_calls_itself_full(tmp_path: Path) -> None:
    small = Small(tmp_path)
    seen = []

    async def look() -> None:
        while True:
            seen.append(small.spool.blocked)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(look())
    await small.flow(0, 200)
    task.cancel()
    assert small.frames
    assert not any(seen)
    await small.spool.close()


async def test_removed_sinks_are_named_with_what_waits_for_them_and_can_be_forgotten(tmp_path: Path) -> None:
    small = Small(tmp_path)
    await small.flow(0, 20)
    await small.spool.close()
    spool = Spool(tmp_path, MAX_BYTES, 1 << 20, ["fast"])
    told: list[Dropped] = []
    spool.upkeep.on_dropped = told.append
    spool.start()
    assert spool.removed_sinks.keys() == {"slow"}
    assert spool.removed_sinks["slow"] > 100_000
    assert await spool.forget("slow") > 0
    assert spool.removed_sinks == {}
    with pytest.raises(SpoolError, match="no sink 'slow' was removed"):
        await spool.forget("slow")
    await until(lambda: told)
    assert told == [Dropped("slow", "sink_removed", 20, 39)]
    await spool.close()
    with pytest.raises(SpoolError, match="closed"):
        await spool.forget("slow")
