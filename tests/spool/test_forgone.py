"""What sinks give up, as byte ranges: exactly those, whatever the segments."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.ledgers import FILE, OTHER, as_set, read_draft, span
from support.simdisk import SimDisk

from shipper.errors import DiskFull
from shipper.ledger.account import Account
from shipper.ledger.extent import Span
from shipper.sinks.base import Gap
from shipper.spool.body import CursorValue, Position
from shipper.spool.files import Damage, segment_name
from shipper.spool.reader import Reader
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import Entry
from shipper.spool.store import Store
from shipper.spool.tail import walk

MAX_BYTES = 2 * 1024 * 1024


def store_on(disk: SimDisk, *, dropping: bool = False) -> Store:
    return Store(disk, MAX_BYTES, 1 << 20, ["slow", "fast"], limits={"slow": None} if dropping else None)


def fill(store: Store, most: int = 1 << 30) -> int:
    """Frames of about 30 KB, each of ten bytes of a file and one of another; how many it took."""
    count = 0
    while count < most and store.commit(
        [read_draft(span(10 * count, 10 * count + 10), span(count, count + 1, OTHER), size=30_000)]
    ):
        count += 1
    return count


def forgone(store: Store, sink: str, reason: str, key: bytes = FILE) -> list[Span]:
    account: Account = store.log.facts.ledger.accounts[key]
    extent = account.forgone.get(sink, {}).get(reason)
    return [] if extent is None else extent.spans


def give_way(store: Store) -> None:
    for drop in store.retention.make_way(blocked=True):
        store.log.cursors[drop.sink].drop(drop)
    store.log.reclaim()


def reporting(store: Store) -> Reader:
    """A sink's reader, whose damage is noted as the spool does it."""

    def damaged(damage: Damage) -> None:
        store.log.notes.report(damage)

    return store.reader(damaged)


def gap_of(store: Store, sink: str) -> Gap:
    """What stands in place of what the sink lost."""
    reader = reporting(store)
    value = store.log.cursors[sink].value
    reader.seek(value.position, value.seq, value.lost)
    while (read := reader.step()) is not None:
        if read.item is not None and isinstance(read.item.body, Gap):
            return read.item.body
    pytest.fail("no gap")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 5), st.booleans())
def test_what_a_full_spool_drops_is_the_ranges_of_the_gaps_frames(acked: int, restart: bool) -> None:
    disk = SimDisk()
    store = store_on(disk, dropping=True)
    count = fill(store)
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    reader = store.reader(lambda _: None)
    reader.seek(Position(1, 64), 1)
    while reader.next <= acked:
        reader.step()
    store.log.cursors["slow"].place(CursorValue(reader.next, reader.position))
    give_way(store)
    give_way(store)
    if restart:
        disk.kill()
        store = store_on(disk, dropping=True)
    gap = gap_of(store, "slow")
    assert forgone(store, "slow", "drop_oldest") == [(10 * gap.first - 10, 10 * gap.last)]
    assert forgone(store, "slow", "drop_oldest", OTHER) == [(gap.first - 1, gap.last)]
    assert forgone(store, "fast", "drop_oldest") == []


def test_nothing_is_dropped_that_the_ledger_cannot_be_told_of() -> None:
    disk = SimDisk()
    store = store_on(disk, dropping=True)
    count = fill(store)
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    disk.faults = {"write": ["ENOSPC"]}
    with pytest.raises(DiskFull):
        give_way(store)
    assert store.log.cursors["slow"].value.lost is None
    give_way(store)
    gap = gap_of(store, "slow")
    assert forgone(store, "slow", "drop_oldest") == [(10 * gap.first - 10, 10 * gap.last)]


def test_a_removed_sink_gives_up_what_it_held_back() -> None:
    disk = SimDisk()
    store = store_on(disk)
    fill(store, most=40)
    store.close()
    store = Store(disk, MAX_BYTES, 1 << 20, ["fast"])
    store.log.cursors["fast"].place(CursorValue(41, store.log.durable))
    store.retention.make_way(blocked=True)
    dropped = store.log.cursors["slow"].value.lost
    assert dropped is not None
    assert forgone(store, "slow", "sink_removed") == [(0, 10 * (dropped.next - 1))]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_what_damage_takes_is_found_out_from_the_snapshots_around_it(seed: int) -> None:
    """Frames of a segment that another one follows are damaged while the spool is at work, or while it is not."""
    dice = random.Random(seed)
    disk = SimDisk()
    store = store_on(disk)
    count = fill(store, most=30)
    number = dice.choice(sorted(store.log.segments)[:-1])
    segment = store.log.segments[number]
    file = disk.open(segment_name(number))
    entries = [part for part in walk(SegmentReader(file, segment.header), segment.end) if isinstance(part, Entry)]
    frames = [entry for entry in entries if entry.envelope.frame_size]
    victims = sorted(dice.sample(frames, dice.randrange(1, len(frames))), key=lambda entry: entry.offset)
    data = bytearray(disk.contents(segment_name(number)))
    for entry in victims:
        data[entry.offset + 3] ^= 0xFF
    disk.put(segment_name(number), bytes(data))
    disk.kill()
    store = store_on(disk)
    sink = reporting(store)
    sink.seek(Position(1, 64), 1)
    while sink.step() is not None:
        pass
    lost = {at for entry in victims for at in range(10 * entry.envelope.seq - 10, 10 * entry.envelope.seq)}
    assert count == 30
    for name in ("slow", "fast"):
        assert as_set(forgone(store, name, "corrupt")) == lost


def test_damage_behind_a_sinks_cursor_takes_nothing_from_it() -> None:
    disk = SimDisk()
    store = store_on(disk)
    count = fill(store, most=30)
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    store.log.sync_cursors()
    data = bytearray(disk.contents(segment_name(2)))
    data[40_000] ^= 0xFF
    disk.put(segment_name(2), bytes(data))
    disk.kill()
    store = store_on(disk)
    gap_of(store, "slow")
    assert forgone(store, "fast", "corrupt") == []


def test_a_sink_that_has_passed_the_damage_before_it_is_noted_loses_it_all_the_same() -> None:
    """Its reader is on another thread than the writer, which notes it."""
    disk = SimDisk()
    store = store_on(disk)
    fill(store, most=30)
    flip(disk, store, 2)
    disk.kill()
    store = store_on(disk)
    met: list[Damage] = []
    reader = store.reader(met.append)
    reader.seek(Position(1, 64), 1)
    while (read := reader.step()) is not None:
        store.log.cursors["slow"].place(CursorValue(read.next, read.after))
    (damage,) = met
    lost = [(10 * damage.first - 10, 10 * damage.last)]
    store.log.notes.report(damage, "slow")
    assert forgone(store, "slow", "corrupt") == forgone(store, "fast", "corrupt") == lost
    store.log.cursors["fast"].place(CursorValue(store.log.next_seq, store.log.durable))
    before = store.log.durable
    store.log.notes.report(damage, "fast")
    assert (forgone(store, "fast", "corrupt"), store.log.durable) == (lost, before), "it is noted once"


@pytest.mark.parametrize("number", [2, 3])
def test_a_segment_file_that_is_gone_takes_what_stood_in_it(number: int) -> None:
    disk = SimDisk()
    store = store_on(disk)
    fill(store, most=30)
    assert max(store.log.segments) > number
    first, end = (store.log.segments[at].header.first for at in (number, number + 1))
    disk.kill()
    disk.unlink(segment_name(number))
    store = store_on(disk)
    gap = gap_of(store, "slow")
    assert (gap.first, gap.last) == (first, end - 1)
    assert forgone(store, "slow", "corrupt") == forgone(store, "fast", "corrupt") == [(10 * first - 10, 10 * end - 10)]


def test_of_the_oldest_segment_nobody_knows_what_stood_in_it() -> None:
    disk = SimDisk()
    store = store_on(disk)
    fill(store, most=30)
    end = store.log.segments[2].header.first
    disk.kill()
    disk.unlink(segment_name(1))
    store = store_on(disk)
    gap_of(store, "slow")
    unknown = store.log.facts.ledger.unknown
    assert {sink: extent.spans for sink, extent in unknown.items()} == {"slow": [(1, end)], "fast": [(1, end)]}
    disk.kill()
    assert store_on(disk).log.facts.ledger.unknown == unknown, "for good"


def test_however_much_is_damaged_and_whoever_meets_it_how_often_it_is_counted_once() -> None:
    """The ledger names 32 ranges of a kind; what it does not name it cannot know again."""
    disk = SimDisk()
    store = store_on(disk)
    for count in range(300):
        store.commit([read_draft(span(10 * count, 10 * count + 10), size=1000)])
    segment = store.log.segments[2]
    reader = SegmentReader(disk.open(segment_name(2)), segment.header)
    entries = [part for part in walk(reader, segment.end) if isinstance(part, Entry) and part.envelope.frame_size]
    data = bytearray(disk.contents(segment_name(2)))
    victims = entries[1:91:2]
    for victim in victims:
        data[victim.offset + 3] ^= 0xFF
    disk.put(segment_name(2), bytes(data))
    disk.kill()
    store = store_on(disk)
    for sink in ("slow", "fast", "slow", "fast"):
        met: list[Damage] = []
        reading = store.reader(met.append)
        reading.seek(Position(1, 64), 1)
        while reading.step() is not None:
            pass
        for damage in met:
            store.log.notes.report(damage, sink)
    account = store.log.facts.ledger.accounts[FILE]
    assert [account.forgone[sink]["corrupt"].bytes for sink in ("slow", "fast")] == [10 * len(victims)] * 2


def test_what_was_damaged_before_it_was_dropped_is_lost_by_that() -> None:
    disk = SimDisk()
    store = store_on(disk, dropping=True)
    count = fill(store)
    first = store.log.segments[1].header.first
    flip(disk, store, 1)
    disk.kill()
    store = store_on(disk, dropping=True)
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    give_way(store)
    lost = store.log.cursors["slow"].value.lost
    assert lost is not None
    assert forgone(store, "slow", "corrupt") == [(10 * first - 10, 10 * first)]
    assert forgone(store, "slow", "drop_oldest") == [(10 * first, 10 * lost.next - 10)]


def test_what_was_lost_at_its_source_is_not_lost_again_with_a_segment() -> None:
    disk = SimDisk()
    store = store_on(disk)
    fill(store, most=1)
    store.log.roll()
    store.commit([read_draft(span(10, 20)), read_draft(span(20, 30, lost="truncated")), read_draft(span(30, 40))])
    number = max(store.log.segments)
    store.log.roll()
    disk.kill()
    disk.unlink(segment_name(number))
    store = store_on(disk)
    gap_of(store, "slow")
    assert forgone(store, "slow", "corrupt") == [(10, 20), (30, 40)]


def flip(disk: SimDisk, store: Store, number: int) -> None:
    """A bit of a segment's first frame."""
    data = bytearray(disk.contents(segment_name(number)))
    data[store.log.segments[number].begin + 1000] ^= 0xFF
    disk.put(segment_name(number), bytes(data))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
@example(309)
@example(678)
def test_frames_that_are_damaged_in_what_a_start_replays_leave_no_hole(seed: int) -> None:
    """A bit flips in the newest segment: in an envelope, a frame's metadata, its payload, or what stands beside it.

    Of the first frame of a file nothing else tells where it began: there the account begins with the next one.
    """
    dice = random.Random(seed)
    disk = SimDisk()
    store = store_on(disk)
    count = fill(store, most=dice.choice([2, 3, 4, 6, 7]))
    (*_, number) = store.log.segments
    segment = store.log.segments[number]
    reader = SegmentReader(disk.open(segment_name(number)), segment.header)
    entries = [part for part in walk(reader, segment.end) if isinstance(part, Entry) and part.envelope.frame_size]
    victim = dice.choice(entries[:-1])
    store.close()
    data = bytearray(disk.contents(segment_name(number)))
    data[victim.offset + dice.randrange(victim.envelope.size)] ^= 1 << dice.randrange(8)
    disk.put(segment_name(number), bytes(data))
    store = store_on(disk)
    sink = reporting(store)
    sink.seek(Position(1, 64), 1)
    while sink.step() is not None:
        pass
    store.commit([read_draft(span(10 * count, 10 * count + 10), size=10)])
    account = store.log.facts.ledger.accounts[FILE]
    begin = account.covered[0][0]
    assert begin == 0 or (begin, victim.envelope.seq) == (10, 1)
    assert (account.covered, account.holes, account.twice.bytes) == ([(begin, 10 * count + 10)], [], 0)
    lost = as_set(forgone(store, "slow", "corrupt"))
    for extent in account.missing.values():
        lost |= as_set(extent.spans)
    assert lost == set(range(max(begin, 10 * victim.envelope.seq - 10), max(begin, 10 * victim.envelope.seq)))
