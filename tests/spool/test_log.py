"""What the log takes, refuses and makes wait; how segments end and go."""

from collections.abc import Sequence

import pytest
from support.simdisk import SimDisk
from support.spool_model import frame_of, letter_of, upstream_frame

from shipper.batch import Upstream
from shipper.errors import ProtocolError, SpoolError, SpoolFailed
from shipper.sinks.base import Gap, Item
from shipper.spool.body import CursorValue, GapNote
from shipper.spool.draft import EntryDraft
from shipper.spool.files import segment_name, snapshot_name
from shipper.spool.log import NOTHING
from shipper.spool.reader import Recent
from shipper.spool.segment import HEADER_SIZE, MAX_ENTRIES, SegmentHeader
from shipper.spool.store import Store
from shipper.spool.upstream import DUPLICATE
from shipper.units import Share

MAX_BYTES = 2 * 1024 * 1024
OTHER = b"upstream-stream1"


def store_on(
    disk: SimDisk, *, max_bytes: int = MAX_BYTES, sinks: Sequence[str] = ("a",), min_free: Share = NOTHING
) -> Store:
    """A spool with sinks."""
    return Store(disk, max_bytes, 1 << 20, sinks, min_free)


def items_of(store: Store, sink: str = "a") -> list[Item]:
    """All that a sink has not acknowledged."""
    reader = store.reader(lambda _damage: None)
    value = store.log.cursors[sink].value
    reader.seek(value.position, value.seq, value.lost)
    items = []
    while (read := reader.step()) is not None:
        items += [read.item] if read.item else []
    return items


def acknowledge(store: Store, sink: str = "a") -> None:
    """The sink has everything."""
    store.log.cursors[sink].place(CursorValue(store.log.next_seq, store.log.durable))


def from_upstream(seq: int, *, floor: int = 0, gap: GapNote | None = None, size: int = 10) -> EntryDraft:
    """Frame ``seq`` of another shipper, or a gap in its place."""
    upstream = Upstream(OTHER, seq, 1, bytes(16), seq, floor)
    return EntryDraft(() if gap else [upstream_frame(OTHER, seq, seq, size)], upstream=upstream, gap=gap)


def fill(store: Store) -> int:
    """Append until the spool is full; how many frames it took."""
    count = 0
    while store.commit([EntryDraft([frame_of(count, 30_000)])]):
        count += 1
    return count


def test_numbers_are_dense_and_begin_with_1() -> None:
    store = store_on(SimDisk())
    assert store.commit([EntryDraft([frame_of(1, 9)]), EntryDraft([frame_of(2, 9), frame_of(3, 9)])]) == [1, 2]
    assert store.commit([EntryDraft(state={"a": b"b"}), EntryDraft([frame_of(4, 9)])]) == [4, 4]
    assert [item.seq for item in items_of(store)] == [1, 2, 3, 4]


def test_a_duplicate_is_there_already_and_changes_nothing() -> None:
    store = store_on(SimDisk())
    assert store.commit([from_upstream(0), from_upstream(1), from_upstream(0)]) == [1, 2, DUPLICATE]
    assert store.commit([from_upstream(1), from_upstream(2)]) == [DUPLICATE, 3]
    assert store.log.held[OTHER].next == 3
    assert len(items_of(store)) == 3


def test_a_number_beyond_the_expected_one_is_an_error_unless_its_sender_has_it_acknowledged_elsewhere() -> None:
    store = store_on(SimDisk())
    refused, taken, late = store.commit([from_upstream(3), from_upstream(3, floor=3), from_upstream(2)])
    assert isinstance(refused, ProtocolError)
    assert "sent number 3 where 0 was expected" in str(refused)
    assert (taken, late) == (1, DUPLICATE)


def test_a_gap_takes_one_number_and_moves_the_mark_behind_all_that_is_gone() -> None:
    store = store_on(SimDisk())
    store.commit([from_upstream(0), from_upstream(1, gap=GapNote(OTHER, 1, 5, 70, "disk")), from_upstream(6)])
    assert store.log.held[OTHER].next == 7
    assert [item.body for item in items_of(store)][1] == Gap(2, 2, 70, "upstream: disk")
    assert store.commit([from_upstream(2, gap=GapNote(OTHER, 2, 6, -1, "disk"))]) == [DUPLICATE]
    assert isinstance(store.commit([from_upstream(9, gap=GapNote(OTHER, 9, 9, 1, "disk"))])[0], ProtocolError)


def test_of_a_gap_that_reaches_back_only_the_rest_is_lost() -> None:
    store = store_on(SimDisk())
    store.commit([from_upstream(0), from_upstream(1), from_upstream(0, gap=GapNote(OTHER, 0, 3, 70, "disk"))])
    gap = items_of(store)[2].body
    assert isinstance(gap, Gap)
    assert gap.records == -1
    assert store.log.held[OTHER].next == 4


def test_of_too_many_upstream_streams_those_go_that_have_sent_nothing_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shipper.spool.upstream.STREAMS_KEPT", 3)
    disk = SimDisk()
    store = store_on(disk)

    def send(*streams: int) -> None:
        for at in streams:
            stream = bytes([at]) * 16
            mark = store.log.held.get(stream)
            seq = mark.next if mark else 0
            upstream = Upstream(stream, seq, 1, bytes(16), seq, 0)
            store.commit([EntryDraft([upstream_frame(stream, seq, seq, 10)], upstream=upstream)])

    send(1, 2, 3, 4, 1, 2)
    assert len(store.log.held) == 4
    store.log.roll()
    assert sorted(stream[0] for stream in store.log.held) == [1, 2, 4]
    send(4, 5)
    store.close()
    store = store_on(disk)
    assert sorted(stream[0] for stream in store.log.held) == [2, 4, 5]
    assert store.log.held[bytes([4]) * 16].next == 2


def test_a_note_takes_no_number() -> None:
    store = store_on(SimDisk())
    assert store.commit([EntryDraft(gap=GapNote(OTHER, 1, 2, 3, "x")), EntryDraft([frame_of(1, 9)])]) == [1, 1]
    assert len(items_of(store)) == 1


def test_state_is_kept_replaced_and_forgotten_across_segments_and_starts() -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft(state={"a": b"1", "b": b"1"}), EntryDraft(state={"a": b"2"})])
    store.log.roll()
    store.commit([EntryDraft(state={"b": None, "c": b""})])
    assert store.log.state == {"a": b"2", "c": b""}
    store.close()
    assert store_on(disk).log.state == {"a": b"2", "c": b""}


def test_a_full_spool_takes_what_needs_no_frame_and_goes_on_once_it_is_read() -> None:
    store = store_on(SimDisk())
    count = fill(store)
    assert count * 30_000 > MAX_BYTES // 2
    assert store.log.used <= MAX_BYTES - MAX_BYTES // 4
    frame = EntryDraft([frame_of(0, 30_000)])
    assert store.commit([EntryDraft(dead_letters=[letter_of(1)]), frame, EntryDraft(state={"x": b""})]) == [count + 1]
    assert store.log.used <= MAX_BYTES
    acknowledge(store)
    assert store.log.reclaim() > 5
    assert store.commit([frame]) == [count + 1]


@pytest.mark.parametrize("min_free", ["25%", "1MiB"])
def test_min_free_is_left_to_others_and_kept_by_what_is_no_frame_only(min_free: str) -> None:
    disk = SimDisk()
    disk.capacity = 4 << 20
    store = store_on(disk, max_bytes=64 << 20, min_free=Share(min_free))
    store.log.tend()
    count = fill(store)
    assert store.log.blocked_by == "min_free"
    assert 1 << 20 <= disk.space().free < (1 << 20) + store.log.segment_size
    assert store.commit([EntryDraft(dead_letters=[letter_of(1)])]) == [count + 1]
    acknowledge(store)
    store.log.reclaim()
    assert store.commit([EntryDraft([frame_of(0, 30_000)])]) == [count + 1], "it resumes by itself"
    assert store.log.blocked_by is None


def test_a_full_spool_keeps_the_order_of_an_upstream() -> None:
    store = store_on(SimDisk())
    fill(store)
    assert store.commit([from_upstream(0, size=30_000), from_upstream(1, gap=GapNote(OTHER, 1, 1, 0, "x"))]) == []


def test_segments_without_anything_unread_never_make_a_spool_full() -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft(state={"big": bytes(1_400_000)})])
    for number in range(8):  # every segment now brings a snapshot larger than half of the spool
        assert store.commit([EntryDraft([frame_of(number, 30_000)])])
        store.log.roll()
        acknowledge(store)
        store.log.reclaim()


def test_a_frame_larger_than_a_segment_gets_one_of_its_own_size() -> None:
    disk = SimDisk()
    store = store_on(disk)
    data = from_upstream(0, size=1_000_000)
    assert store.commit([EntryDraft([frame_of(1, 100)]), data, EntryDraft([frame_of(2, 100)])]) == [1, 2, 3]
    store.close()
    bodies = [item.body for item in items_of(store_on(disk))]
    assert [body for body in bodies if isinstance(body, Gap)] == []
    assert len(bodies) == 3


def test_a_batch_over_the_largest_segment_is_refused_and_the_others_go_on() -> None:
    store = store_on(SimDisk())
    huge = EntryDraft([frame_of(1, 9)], {"x": bytes(33 * 1024 * 1024)})
    refused, number = store.commit([huge, EntryDraft([frame_of(2, 9)])])
    assert isinstance(refused, SpoolError)
    assert "over the limit" in str(refused)
    assert number == 1
    assert "x" not in store.log.state


@pytest.mark.parametrize(
    ("max_bytes", "size"),
    [(2 << 20, 128 << 10), (8 << 20, 512 << 10), (64 << 20, 4 << 20), (4 << 30, 64 << 20)],
    ids=["the least", "a sixteenth", "another", "the most"],
)
def test_segments_are_a_sixteenth_of_the_spool_and_128_kib_to_64_mib(max_bytes: int, size: int) -> None:
    disk = SimDisk()
    store_on(disk, max_bytes=max_bytes)
    name = segment_name(1)
    assert disk.size(name) == size
    assert SegmentHeader.decode(disk.contents(name)[:HEADER_SIZE], name).size == size


def test_a_frame_may_have_a_quarter_of_a_segment_and_1_mib_at_most() -> None:
    assert [store_on(SimDisk(), max_bytes=size).log.max_frame for size in (2 << 20, 1 << 30)] == [32 << 10, 1 << 20]


def test_sealing_gives_back_the_room_that_was_not_used() -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft([frame_of(1, 1000)])])
    assert disk.size(segment_name(1)) == 128 << 10
    store.log.roll()
    assert 1000 < disk.size(segment_name(1)) < 2000
    assert store.log.used == disk.size(segment_name(1)) + disk.size(segment_name(2))


def test_every_open_begins_a_segment_and_writes_into_no_older_one() -> None:
    disk = SimDisk()
    older: dict[str, bytes] = {}
    for number in range(1, 5):
        store = store_on(disk)
        assert max(store.log.segments) == number
        store.commit([EntryDraft([frame_of(number, 100)])])
        assert {name: disk.contents(name) for name in older} == older
        store.close()
        older = {segment_name(at): disk.contents(segment_name(at)) for at in range(1, number + 1)}


def test_no_number_of_a_segment_is_used_again() -> None:
    """Also when the segments that had them are gone: read by every sink, or deleted by hand."""
    disk = SimDisk()
    for number in range(4):
        store = store_on(disk)
        store.commit([EntryDraft([frame_of(number, 100)])])
        store.log.roll()
        acknowledge(store)
        store.log.reclaim()
        store.close()
        disk.unlink(max(name for name in disk.names() if name.endswith(".seg")))
    made = [name for kind, name in disk.trace if kind == "create" and name.endswith(".seg")]
    assert made == [segment_name(number) for number in range(1, 9)]


@pytest.mark.parametrize(("size", "external"), [(15_000, False), (17_000, True)])
def test_a_snapshot_over_an_eighth_of_a_segment_is_a_file_of_its_own(size: int, external: bool) -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft(state={"big": bytes(size)})])
    store.log.roll()
    assert (snapshot_name(2) in disk.names()) == external
    store.close()
    assert store_on(disk).log.state == {"big": bytes(size)}


def test_a_snapshot_that_cannot_be_read_back_is_not_built_upon() -> None:
    """The segment before it stays, with its own snapshot, and the next start has everything."""
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft([frame_of(1, 100)], {"n": b"1"})])
    acknowledge(store)
    disk.unreadable = {segment_name(number): 0 for number in (2, 3, 4)}
    with pytest.raises(SpoolFailed, match="cannot be read back"):
        store.log.roll()
    assert disk.names()[:1] == [segment_name(1)]
    disk.unreadable = {}
    disk.kill()
    store = store_on(disk)
    assert store.log.state["n"] == b"1"
    assert store.log.next_seq == 2


def test_a_segment_ends_after_so_many_entries() -> None:
    store = store_on(SimDisk(), max_bytes=1 << 30)
    store.commit([EntryDraft(state={"n": b""})] * (MAX_ENTRIES + 9))
    assert len(store.log.segments) == 2


def test_nothing_behind_the_oldest_cursor_goes() -> None:
    store = store_on(SimDisk(), sinks=["a", "b"])
    fill(store)
    before = dict(store.log.segments)
    acknowledge(store, "a")
    assert store.log.reclaim() == 0
    store.log.cursors["b"].place(CursorValue(1, store.log.durable.__class__(min(before) + 2, 64)))
    assert store.log.reclaim() == 2
    assert set(before) - set(store.log.segments) == set(sorted(before)[:2])


def test_the_latest_entries_are_kept_in_memory_up_to_a_limit() -> None:
    disk = SimDisk()
    store = store_on(disk, max_bytes=64 << 20)
    recent = Recent()
    store.log.published = recent.add
    for number in range(60):
        store.commit([EntryDraft([frame_of(number, 200_000)])])
    assert 3 << 20 < recent._bytes <= 4 << 20
    assert recent._bytes == sum(entry.envelope.size for entry in recent._entries.values())
    recent.trim(store.log.durable)
    assert recent._bytes == 0


def test_a_live_reader_reads_nothing_from_disk() -> None:
    disk = SimDisk()
    store = store_on(disk)
    reader = store.reader(lambda _damage: None)
    value = store.log.cursors["a"].value
    reader.seek(value.position, value.seq, value.lost)
    reader.step()
    before = disk.bytes_read
    for number in range(100):
        store.commit([EntryDraft([frame_of(number, 20_000)])])
        read = reader.step()
        assert read is not None
        assert read.item is not None
        acknowledge(store)
        store.log.reclaim()
    snapshots = store.log.durable.segment * 1024  # each segment's snapshot is read back once
    assert disk.bytes_read - before < snapshots
