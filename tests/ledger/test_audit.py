"""The balance: where every byte is now, and what nobody can explain."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from support.ledgers import FILE, LABELS, OTHER, STREAM, read_draft, received, span
from support.simdisk import SimDisk

from shipper.batch import Payload, SourceRange
from shipper.cli.audit_listing import text
from shipper.ledger.audit import Audit, Balance, audit, balance
from shipper.ledger.book import Book, Forgone, Told
from shipper.sources.file.identity import NOTHING, encode_position
from shipper.sources.file.identity import Position as FilePosition
from shipper.sources.kafka.partition import encode
from shipper.sources.kafka.position import Position as KafkaPosition
from shipper.spool.body import CursorValue, Position
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, segment_name
from shipper.spool.frame import FrameMeta, draft
from shipper.spool.inspect import look
from shipper.spool.store import Store

MAX_BYTES = 2 * 1024 * 1024


def balance_of(disk: SimDisk) -> Audit:
    return audit(disk, look(disk), "/data")


def only(found: Audit) -> Balance:
    (one,) = found.accounts
    return one


def account_of(*spans: SourceRange, place: FilePosition | None = None, forgone: tuple[Forgone, ...] = ()) -> Balance:
    book = Book()
    book.enter(Told(LABELS, spans, STREAM, 1))
    book.forgo(forgone)
    return balance(FILE, book.accounts[FILE], {"a": []}, place)


def position(path: Path, offset: int) -> FilePosition:
    found = path.stat()
    return FilePosition(os.fsencode(path), b"", found.st_ino, found.st_dev, offset, 0, 0, NOTHING, NOTHING)


def test_what_a_sink_acknowledged_is_delivered_and_the_rest_is_queued_for_it_alone() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a", "b"])
    store.commit([read_draft(span(0, 10))])
    place = store.log.durable
    store.commit([read_draft(span(10, 30)), read_draft(span(30, 35, lost="vanished"))])
    store.log.cursors["a"].place(CursorValue(2, place))
    store.log.sync_cursors()
    one = only(balance_of(disk))
    assert (one.covered, one.problems) == ([(0, 35)], [])
    assert (one.sinks["a"].delivered, one.sinks["a"].queued.ranges) == (10, [(10, 30)])
    assert (one.sinks["b"].delivered, one.sinks["b"].queued.ranges) == (0, [(0, 30)])
    assert one.lost["vanished"].ranges == [(30, 35)]


@pytest.mark.parametrize("labels", [{"host": "edge-1"}, LABELS], ids=["records", "records that shipper wrote there"])
def test_a_partition_of_kafka_has_its_name_and_counts_offsets(labels: dict[str, Any]) -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    kept: dict[str, bytes | None] = {
        "source/k/orders/3": encode(KafkaPosition(10, FILE)),
        "source/k/other/0": b"no position",
    }
    ranges = [span(0, 10)]
    made = draft(Payload.sized([b"a"]), FrameMeta(labels, ranges), 0)
    store.commit([EntryDraft([made], kept, told=[Told(labels, ranges)])])
    found = balance_of(disk)
    assert (only(found).place, only(found).unit) == ("orders/3", "positions")
    assert "\norders/3  (app on edge-1, " in text(found)


def test_the_ledger_outlives_the_segments_that_told_of_it() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    store.commit([read_draft(span(0, 10))])
    store.log.roll()
    store.commit([read_draft(span(10, 30))])
    store.log.cursors["a"].place(CursorValue(store.log.next_seq, store.log.durable))
    assert store.log.reclaim() == 1
    assert only(balance_of(disk)).covered == [(0, 30)]


def test_what_a_failed_sync_took_along_is_told_once() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    store.commit([read_draft(span(0, 10))])
    disk.faults = {"sync": ["EIO"]}
    assert store.commit([read_draft(span(10, 30))]) == [2]
    assert not any(disk.faults.values()), "it was refused once"
    store.log.roll()
    one = only(balance_of(disk))
    assert (one.covered, one.twice.bytes, one.problems) == ([(0, 30)], 0, [])


def test_what_drop_oldest_takes_from_a_sink_is_said_of_that_sink_alone() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["slow", "fast"], limits={"slow": None})
    count = 0
    while store.commit([read_draft(span(10 * count, 10 * count + 10), size=30_000)]):
        count += 1
    store.log.cursors["fast"].place(CursorValue(count + 1, store.log.durable))
    (drop,) = store.retention.make_way(blocked=True)
    store.log.cursors["slow"].drop(drop)
    store.log.reclaim()
    one = only(balance_of(disk))
    gone = 10 * (drop.next - 1)
    assert one.sinks["slow"].forgone["drop_oldest"].ranges == [(0, gone)]
    assert one.sinks["slow"].queued.ranges == [(gone, 10 * count)]
    assert one.sinks["fast"].forgone == {}
    assert one.problems == []


def backlog(disk: SimDisk) -> Store:
    """Thirty frames in several segments, of which "fast" has acknowledged all, and "slow" two."""
    store = Store(disk, MAX_BYTES, 1 << 20, ["slow", "fast"])
    for count in range(30):
        store.commit([read_draft(span(10 * count, 10 * count + 10), size=30_000)])
    reader = store.reader(lambda _: None)
    reader.seek(store.log.cursors["slow"].value.position, 1)
    while reader.next < 3:
        reader.step()
    store.log.cursors["slow"].place(CursorValue(3, reader.position))
    store.log.cursors["fast"].place(CursorValue(31, store.log.durable))
    store.log.sync_cursors()
    assert len(store.log.segments) > 4
    return store


def test_what_is_damaged_in_the_spool_is_not_delivered_also_before_anybody_met_it() -> None:
    disk = SimDisk()
    store = backlog(disk)
    segment = store.log.segments[2]
    data = bytearray(disk.contents(segment_name(2)))
    data[segment.begin + 1000] ^= 0xFF
    disk.put(segment_name(2), bytes(data))
    first = segment.header.first
    one = only(balance_of(disk))
    slow, fast = one.sinks["slow"], one.sinks["fast"]
    assert slow.delivered == 20
    assert {reason: part.ranges for reason, part in slow.forgone.items()} == {
        "corrupt": [(10 * first - 10, 10 * first)]
    }
    assert slow.queued.bytes == 300 - 20 - 10
    assert (fast.delivered, fast.forgone) == (300, {})


def test_a_segment_file_that_is_gone_was_delivered_to_those_alone_that_had_it() -> None:
    disk = SimDisk()
    store = backlog(disk)
    first, end = (store.log.segments[at].header.first for at in (2, 4))
    for number in (2, 3):
        disk.unlink(segment_name(number))
    one = only(balance_of(disk))
    slow, fast = one.sinks["slow"], one.sinks["fast"]
    assert slow.delivered == 20
    assert slow.forgone["corrupt"].ranges == [(10 * first - 10, 10 * end - 10)]
    assert (fast.delivered, fast.forgone) == (300, {})
    disk.kill()
    again = Store(disk, MAX_BYTES, 1 << 20, ["slow", "fast"])
    met: list[Damage] = []
    reader = again.reader(met.append)
    reader.seek(again.log.cursors["slow"].value.position, 3)
    while reader.step() is not None:
        pass
    again.log.cursors["slow"].place(CursorValue(reader.next, again.log.durable))
    for damage in met:
        again.log.notes.report(damage, "slow")
    again.log.sync_cursors()
    noted = only(balance_of(disk)).sinks["slow"]
    assert (noted.delivered, noted.forgone["corrupt"].ranges) == (
        300 - 10 * (end - first),
        [(10 * first - 10, 10 * end - 10)],
    )


def test_frames_of_which_nobody_knows_what_they_held_do_not_balance() -> None:
    disk = SimDisk()
    store = backlog(disk)
    end = store.log.segments[2].header.first
    disk.unlink(segment_name(1))
    said = f"frames 3 to {end - 1} of the spool were destroyed before slow had them: nobody knows of which files"
    found = balance_of(disk)
    assert (found.balanced, found.problems) == (False, [said])
    assert text(found).endswith(f"PROBLEM      {said}\n\nDOES NOT BALANCE: frames of the spool were destroyed\n")


def test_what_is_delivered_and_removed_while_one_looks_is_not_taken_for_destroyed() -> None:
    disk = SimDisk()
    store = backlog(disk)
    before = look(disk)
    fourth = store.log.segments[4]
    store.log.cursors["slow"].place(CursorValue(fourth.header.first, Position(4, fourth.begin)))
    assert store.log.reclaim() == 3
    for view in (before, dataclasses.replace(before, segments={at: s for at, s in before.segments.items() if at > 3})):
        found = audit(disk, view, "/data")
        assert found.balanced
        assert only(found).sinks["slow"].forgone == {}


def test_what_came_while_one_looked_is_not_taken_for_destroyed() -> None:
    """The cursors are read after the segments."""
    disk = SimDisk()
    store = backlog(disk)
    before = look(disk)
    store.log.roll()
    for count in range(30, 35):
        store.commit([read_draft(span(10 * count, 10 * count + 10))])
    store.log.cursors["fast"].place(CursorValue(36, store.log.durable))
    store.log.sync_cursors()
    after = look(disk)
    found = audit(disk, dataclasses.replace(before, cursors=after.cursors, next_seq=after.next_seq), "/data")
    assert found.balanced
    assert all(share.forgone == {} for share in only(found).sinks.values())


def test_a_sink_that_is_forgotten_while_one_looks_has_lost_nothing() -> None:
    disk = SimDisk()
    backlog(disk).close()
    store = Store(disk, MAX_BYTES, 1 << 20, ["fast"])
    before = look(disk)
    assert store.retention.forget("slow") > 0
    view = dataclasses.replace(
        before, segments={at: s for at, s in before.segments.items() if at in store.log.segments}
    )
    found = audit(disk, view, "/data")
    assert (found.balanced, only(found).sinks["slow"].forgone) == (True, {})


def test_a_collector_has_the_balance_of_its_agents_files() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["out"])
    store.commit([received(1, span(0, 10)), received(2, span(10, 30))])
    found = balance_of(disk)
    assert found.balanced
    one = only(found)
    assert (one.host, one.file, one.unit) == ("edge-1", "/var/log/a.log", "bytes")
    assert (one.covered, one.sinks["out"].queued.bytes) == ([(0, 30)], 30)


def test_a_collectors_database_has_what_the_spool_forgot_and_how_what_it_has_again_began() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["out"])
    store.commit([received(1, span(50, 60)), received(2, span(0, 10, OTHER))])
    earlier = Book()
    for key, end in ((FILE, 55), (OTHER, 8), (b"forgotten-by-all", 7)):
        earlier.enter(Told(LABELS, [span(0, end, key)], STREAM, 1))
    found = audit(disk, look(disk), "/data", earlier.accounts.items())
    assert {one.generation: one.covered for one in found.accounts} == {
        FILE.hex(): [(0, 55)],
        OTHER.hex(): [(0, 10)],
        b"forgotten-by-all".hex(): [(0, 7)],
    }


def test_what_is_missing_without_a_reason_does_not_balance() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    store.commit([read_draft(span(0, 10)), read_draft(span(12, 20))])
    found = balance_of(disk)
    assert not found.balanced
    assert only(found).problems == ["10-12: nobody tells what became of it"]


def test_what_was_read_twice_does_not_balance() -> None:
    assert account_of(span(0, 10), span(5, 20)).problems == ["5-10: read twice"]


def test_records_that_nobody_accounts_for_do_not_balance() -> None:
    assert account_of(SourceRange("app", FILE, 0, 9, 5, 2, {"drop/filtered": 1}, 1)).problems == [
        "5 records were read, of 1 nobody tells what became of them"
    ]
    assert account_of(SourceRange("app", FILE, 0, 9, 1, 3)).problems == [], "one record became three"


def test_a_position_that_is_not_where_the_ledger_ends_does_not_balance(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(bytes(100))
    assert account_of(span(0, 60), place=position(log, 60)).problems == []
    assert account_of(span(0, 60), place=position(log, 70)).problems == [
        "the file's position is 70, and the ledger ends at 60"
    ]


def test_bytes_that_are_lost_behind_a_position_are_the_ledgers_alone(tmp_path: Path) -> None:
    """A file that was truncated: its former generation is kept until the new one is read beyond it."""
    log = tmp_path / "a.log"
    log.write_bytes(bytes(100))
    assert account_of(span(0, 60), span(60, 75, lost="truncated"), place=position(log, 60)).problems == []


def test_what_stands_behind_the_position_is_unread_while_it_is_that_file(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(bytes(100))
    place = position(log, 60)
    assert account_of(span(0, 60), place=place).unread == 40
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(bytes(7))
    assert account_of(span(0, 60), place=place).unread is None, "another file has its name"


def test_what_was_given_up_for_a_sink_is_neither_delivered_nor_queued() -> None:
    one = account_of(span(0, 100), forgone=(Forgone("a", "drop_oldest", FILE, 0, 30),))
    share = one.sinks["a"]
    assert (share.delivered, share.queued.bytes, share.forgone["drop_oldest"].ranges) == (70, 0, [(0, 30)])


def test_bytes_that_lie_within_what_was_read_are_not_taken_off_twice() -> None:
    one = account_of(span(0, 100), span(60, 90, lost="too_long"), span(100, 150, lost="truncated"))
    assert one.sinks["a"].delivered == 100


def test_files_without_a_range_yet_have_no_account(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    store.commit([EntryDraft(state={f"source/app/{FILE.hex()}": encode_position(position(log, 0))})])
    found = balance_of(disk)
    assert (found.accounts, found.balanced) == ([], True)
