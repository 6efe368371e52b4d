"""Opening a spool that something happened to: what is found, what is said, and where numbers go on."""

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.entries import entries_on
from support.simdisk import SimDisk
from support.spool_model import frame_of, letter_of

from shipper.errors import FutureFormat
from shipper.sinks.base import Gap
from shipper.spool.body import CursorValue, Position, decode_body
from shipper.spool.dead_letters import FOLDER as LETTERS
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, segment_name, snapshot_name
from shipper.spool.frame import crc32c, extend_crc32c
from shipper.spool.real_disk import RealDisk
from shipper.spool.segment import ENVELOPE_SIZE, HEADER_SIZE, MAX_ENTRIES, EntryType, SegmentHeader
from shipper.spool.slots import Slots
from shipper.spool.store import Store

MAX_BYTES = 2 * 1024 * 1024


def noted(disk: SimDisk) -> list[tuple[int, int, str]]:
    """The losses that stand in the segments for good."""
    bodies = [decode_body(entry.body) for entry in entries_on(disk) if entry.envelope.type is EntryType.GAP]
    return [(body.gap.first, body.gap.last, body.gap.reason) for body in bodies if body.gap is not None]


class Life:
    """One run of a spool with the sink ``a`` (and others)."""

    def __init__(self, disk: SimDisk, sinks: Sequence[str] = ("a",), max_bytes: int = MAX_BYTES) -> None:
        self.disk = disk
        self.store = Store(disk, max_bytes, 1 << 20, sinks)
        self.log = self.store.log
        self.reported: list[Damage] = []

    def append(self, *numbers: int, size: int = 100) -> None:
        """Frames in commits of their own."""
        for number in numbers:
            assert self.store.commit([EntryDraft([frame_of(number, size)], {"n": str(number).encode()})])

    def roll(self) -> None:
        """Begin another segment."""
        self.log.roll()

    def read(self, sink: str = "a") -> list[int | tuple[int, int, str]]:
        """What a sink gets: numbers of frames, and gaps with their reason."""

        def damaged(damage: Damage) -> None:
            if self.log.notes.report(damage):
                self.reported.append(damage)

        reader = self.store.reader(damaged)
        value = self.log.cursors[sink].value
        reader.seek(value.position, value.seq, value.lost)
        items: list[int | tuple[int, int, str]] = []
        while (read := reader.step()) is not None:
            if read.item is not None:
                body = read.item.body
                items.append((body.first, body.last, body.reason) if isinstance(body, Gap) else read.item.seq)
        return items

    def acknowledge(self, seq: int, position: Position, sink: str = "a") -> None:
        """The sink has everything before a number; that is durable."""
        self.log.cursors[sink].place(CursorValue(seq, position))
        self.log.sync_cursors()


def three_segments(disk: SimDisk) -> list[int]:
    """Frames 1..6 in three segments, ended well; the segments' numbers."""
    life = Life(disk)
    for begin in (1, 3, 5):
        if begin > 1:
            life.roll()
        life.append(begin, begin + 1)
    life.store.close()
    return sorted(life.log.segments)


def spoil(disk: SimDisk, name: str, at: int, size: int = 1) -> None:
    """Destroy bytes of a file."""
    data = bytearray(disk.contents(name))
    data[at : at + size] = bytes(byte ^ 0xFF for byte in data[at : at + size])
    disk.put(name, bytes(data))


# Newer formats


def _newer_segment(disk: SimDisk) -> None:
    name = segment_name(1)
    data = bytearray(disk.contents(name))
    data[4] = 2
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    disk.put(name, bytes(data))


def _newer_slots(name: str) -> Callable[[SimDisk], None]:
    def make(disk: SimDisk) -> None:
        data = bytearray(disk.contents(name))
        for at in (0, 512):
            if any(data[at : at + 512]):
                data[at + 4] = 2
                data[at + 508 : at + 512] = crc32c(bytes(data[at : at + 508])).to_bytes(4, "little")
        disk.put(name, bytes(data))

    return make


def _newer_letters(disk: SimDisk) -> None:
    name = f"{LETTERS}/{disk.names(LETTERS)[0]}"
    data = bytearray(disk.contents(name))
    data[4] = 2
    data[24:28] = crc32c(bytes(data[:24])).to_bytes(4, "little")
    disk.put(name, bytes(data))


def _envelopes(disk: SimDisk, name: str) -> list[int]:
    data = disk.contents(name)
    return [at for at in range(len(data)) if data[at : at + 4] == b"SHPE"]


def _newer_entry(disk: SimDisk) -> None:
    name = segment_name(1)
    data = bytearray(disk.contents(name))
    at = _envelopes(disk, name)[1]
    data[at + 4] = 9
    seed = SegmentHeader.decode(bytes(data), name).seed(at)
    end = at + ENVELOPE_SIZE
    data[end - 4 : end] = extend_crc32c(seed, bytes(data[at : end - 4])).to_bytes(4, "little")
    disk.put(name, bytes(data))


@pytest.mark.parametrize(
    "make",
    [_newer_segment, _newer_slots("stream"), _newer_slots("cursors/a"), _newer_letters, _newer_entry],
    ids=["segment", "stream", "cursor", "dead letters", "entry"],
)
def test_what_a_newer_shipper_wrote_is_refused_in_one_sentence_and_left_as_it_is(
    make: Callable[[SimDisk], None],
) -> None:
    disk = SimDisk()
    life = Life(disk)
    life.store.commit([EntryDraft([frame_of(1, 10)], dead_letters=[letter_of(1)])])
    life.store.close()
    disk = disk.copy()
    make(disk)
    with pytest.raises(FutureFormat, match=r"upgrade (it|this one)$") as error:
        Life(disk)
    assert "\n" not in str(error.value)
    assert not disk.trace, "nothing was changed"


# Damage


def test_damage_in_the_middle_is_skipped_reported_and_kept() -> None:
    disk = SimDisk()
    _, middle, _ = three_segments(disk)
    at = _envelopes(disk, segment_name(middle))
    spoil(disk, segment_name(middle), at[1] + 5)
    damaged = disk.contents(segment_name(middle))[at[1] : at[2]]
    life = Life(disk)
    assert not life.log.damages, "the backlog is not scanned"
    assert life.read() == [1, 2, (3, 3, "corrupt"), 4, 5, 6]
    assert [(d.segment, d.first, d.last, d.acknowledged) for d in life.reported] == [(middle, 3, 3, True)]
    assert disk.contents(f"quarantine/{segment_name(middle)}.{at[1]}-{at[2]}") == damaged
    again = Life(disk)
    assert again.read() == [1, 2, (3, 3, "corrupt"), 4, 5, 6]
    assert not again.reported, "a loss is reported once"
    assert noted(disk) == [(3, 3, "corrupt")]


def test_a_frame_that_is_damaged_inside_a_whole_entry_is_a_gap() -> None:
    disk = SimDisk()
    _, middle, _ = three_segments(disk)
    at = _envelopes(disk, segment_name(middle))
    spoil(disk, segment_name(middle), at[1] + ENVELOPE_SIZE + 90)
    life = Life(disk)
    assert life.read() == [1, 2, (3, 3, "corrupt"), 4, 5, 6]
    assert [(d.first, d.last) for d in life.reported] == [(3, 3)]


def test_damage_over_several_entries_and_the_end_of_a_segment_is_one_loss() -> None:
    disk = SimDisk()
    first, middle, _ = three_segments(disk)
    size = disk.size(segment_name(first))
    spoil(disk, segment_name(first), _envelopes(disk, segment_name(first))[2], size)
    spoil(disk, segment_name(middle), _envelopes(disk, segment_name(middle))[1], size)
    life = Life(disk)
    assert life.read() == [1, (2, 2, "corrupt"), (3, 4, "corrupt"), 5, 6]
    assert [(d.first, d.last) for d in life.reported] == [(2, 2), (3, 4)]


def test_damage_in_the_newest_segment_is_counted_without_what_every_sink_has() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1, 2, 3, 4, 5)
    at = _envelopes(disk, segment_name(1))
    life.acknowledge(3, Position(1, at[3]))
    life.store.close()
    spoil(disk, segment_name(1), at[2], at[5] - at[2])
    life = Life(disk)
    assert [(d.first, d.last, d.reason) for d in life.log.damages] == [(3, 4, "corrupt")]
    assert life.read() == [(3, 4, "corrupt"), 5]
    assert not life.reported, "the opening reported it"


def test_what_no_mark_covers_is_cut_off_kept_and_called_unknown() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1, 2)
    life.log.sync_cursors()
    life.append(3)
    disk.kill()
    name = segment_name(1)
    at = _envelopes(disk, name)
    tail = disk.contents(name)[at[3] :].rstrip(b"\0")
    spoil(disk, name, at[3] + 3)
    life = Life(disk)
    (damage,) = life.log.damages
    assert (damage.reason, damage.acknowledged, damage.start) == ("tail unknown", False, at[3])
    assert damage.last < damage.first
    assert life.log.next_seq == 3
    assert life.log.state["n"] == b"2", "its batch was not there, so a file is read again from before it"
    assert life.read() == [1, 2]
    (copy,) = disk.names("quarantine")
    assert disk.contents(f"quarantine/{copy}") == tail[:3] + bytes([tail[3] ^ 0xFF]) + tail[4:]
    life.append(30)
    assert Life(disk).read() == [1, 2, 3]


def test_a_segment_deleted_by_hand_is_a_gap_with_exact_numbers() -> None:
    for index, gone in enumerate([(1, 2), (3, 4)]):
        disk = SimDisk()
        numbers = three_segments(disk)
        disk.remove(segment_name(numbers[index]))
        life = Life(disk)
        rest = [number for number in range(1, 7) if number not in gone]
        items = life.read()
        assert (*gone, "missing") in items
        assert [item for item in items if isinstance(item, int)] == rest
        assert [(d.first, d.last) for d in life.reported] == [gone]


def test_numbers_of_a_newest_segment_deleted_by_hand_are_not_given_again() -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    disk.remove(segment_name(newest))
    life = Life(disk)
    assert life.log.next_seq >= 7
    first = life.log.next_seq
    life.append(9)
    assert life.read() == [1, 2, 3, 4, (5, first - 1, "missing"), first]


def test_a_damaged_header_sets_the_segment_aside() -> None:
    disk = SimDisk()
    first, *_ = three_segments(disk)
    spoil(disk, segment_name(first), 20)
    whole = disk.contents(segment_name(first))
    life = Life(disk)
    assert [(d.segment, d.start, d.end, d.acknowledged) for d in life.log.damages] == [(first, 0, len(whole), True)]
    assert disk.contents(f"quarantine/{segment_name(first)}") == whole
    assert life.read() == [(1, 2, "missing"), 3, 4, 5, 6]
    assert [(d.first, d.last) for d in life.reported] == [(1, 2)]


def test_a_damaged_header_of_the_newest_segment_costs_no_number_twice() -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    spoil(disk, segment_name(newest), 20)
    life = Life(disk)
    assert life.log.next_seq == 7, "a cursor stood at its end, so its last number is known"
    assert life.log.durable.segment > newest
    assert life.read() == [1, 2, 3, 4, (5, 6, "missing")]


def test_numbers_that_a_lost_segment_may_have_given_are_left_out() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1, 2)
    life.log.sync_cursors()
    life.append(3, 4, 5)
    disk.kill()
    spoil(disk, segment_name(1), 20)
    life = Life(disk)
    assert life.log.next_seq == 3 + MAX_ENTRIES
    assert life.read() == [(1, 2 + MAX_ENTRIES, "missing")]
    disk.kill()
    assert Life(disk).log.next_seq == 3 + MAX_ENTRIES, "once"


def test_the_numbers_of_a_segment_that_a_crash_left_half_made_were_never_given() -> None:
    for contents in (b"", bytes(131072), bytes(512) + b"part of a snapshot" + bytes(131072)):
        disk = SimDisk()
        *_, newest = three_segments(disk)
        disk.put(segment_name(newest + 1), contents)
        life = Life(disk)
        assert life.log.next_seq == 7
        assert not life.log.damages
        assert life.read() == [1, 2, 3, 4, 5, 6]
        assert segment_name(newest + 1) not in disk.names()
        assert life.log.durable.segment == newest + 2, "a segment's number is never used again"


def test_a_segment_whose_header_is_zeroed_was_used_when_a_mark_or_entries_say_so() -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    data = disk.contents(segment_name(newest))
    disk.put(segment_name(newest), bytes(512) + data[512:])
    life = Life(disk)
    assert len(life.log.damages) == 1
    assert life.log.next_seq == 7


# Snapshots


def _big(life: Life) -> None:
    life.store.commit([EntryDraft(state={"big": bytes(20_000), "n": b"0"})])
    life.roll()


def test_a_damaged_snapshot_costs_nothing_while_the_segment_before_is_there() -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    spoil(disk, segment_name(newest), HEADER_SIZE + ENVELOPE_SIZE + 3)
    life = Life(disk)
    assert life.log.state["n"] == b"6"
    assert life.read() == [1, 2, 3, 4, 5, 6]
    assert newest in {damage.segment for damage in life.log.damages}


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_lost_snapshot_file_costs_nothing_while_the_segment_before_is_there(how: str) -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1)
    _big(life)
    life.append(2)
    number = life.log.durable.segment
    life.store.close()
    assert disk.size(snapshot_name(number)) > 20_000
    if how == "damaged":
        spoil(disk, snapshot_name(number), 15_000)
    else:
        disk.remove(snapshot_name(number))
    life = Life(disk)
    assert (life.log.state["n"], len(life.log.state["big"])) == (b"2", 20_000)
    assert life.read() == [1, 2]
    assert [damage.reason for damage in life.log.damages] == ["the segment's snapshot is damaged"]
    assert (snapshot_name(number) in disk.names("quarantine")) == (how == "damaged")


def test_the_only_snapshot_damaged_starts_with_what_the_entries_say() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1)
    _big(life)
    life.append(2)
    life.acknowledge(3, life.log.durable)
    assert life.log.reclaim() == 1
    number = life.log.durable.segment
    life.store.close()
    spoil(disk, snapshot_name(number), 15_000)
    life = Life(disk)
    assert life.log.state["n"] == b"2"
    assert "big" not in life.log.state
    assert life.log.next_seq == 3
    assert life.log.damages


def test_a_snapshot_file_without_its_segment_goes() -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    disk.put(snapshot_name(newest + 1), b"SHPN")
    Life(disk)
    assert snapshot_name(newest + 1) not in disk.names()


# Identity and cursors


def test_a_lost_identity_is_read_from_the_segments() -> None:
    for data in (None, b"", b"\1" * 1024):
        disk = SimDisk()
        life = Life(disk)
        stream, epoch = life.log.stream, life.log.epoch
        life.store.close()
        disk.put("stream", data) if data is not None else disk.remove("stream")
        life = Life(disk)
        assert life.log.stream == stream
        assert life.log.epoch == epoch + 1


def test_a_spool_without_its_segments_takes_a_new_stream_id() -> None:
    disk = SimDisk()
    numbers = three_segments(disk)
    stream = Slots(disk, "stream", CursorValue)
    assert stream.exists
    before = Life(disk.copy()).log
    for number in numbers:
        disk.remove(segment_name(number))
    for name in disk.names("cursors"):
        disk.remove(f"cursors/{name}")
    life = Life(disk)
    assert life.log.stream != before.stream
    assert life.log.epoch == before.epoch


def test_a_new_sink_starts_at_the_tail_and_keeps_its_place() -> None:
    disk = SimDisk()
    three_segments(disk)
    life = Life(disk, ["a", "b"])
    assert life.read("b") == []
    life.append(7)
    assert life.read("b") == [7]
    disk.kill()
    life = Life(disk, ["a", "b"])
    assert life.read("b") == [7]
    assert life.read("a") == [1, 2, 3, 4, 5, 6, 7]


def test_a_lost_cursor_is_taken_from_the_snapshot() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1, 2)
    life.acknowledge(3, life.log.durable)
    life.roll()
    life.append(3)
    life.store.close()
    disk.put("cursors/a", b"\1" * 1024)
    assert Life(disk).read() == [3]
    disk.remove("cursors/a")
    assert Life(disk).read() == [3]


@pytest.mark.parametrize("left", [b"\1" * 1024, bytes(1024), b""], ids=["damaged", "zero", "empty"])
def test_a_lost_cursor_that_no_snapshot_holds_starts_at_the_oldest_segment(left: bytes) -> None:
    disk = SimDisk()
    three_segments(disk)
    disk.put("cursors/b", left)
    assert Life(disk, ["a", "b"]).read("b") == [1, 2, 3, 4, 5, 6]


def test_a_cursor_whose_newer_slot_is_damaged_reports_no_loss() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1)
    life.acknowledge(2, life.log.durable)
    life.roll()
    life.append(2)
    life.acknowledge(3, life.log.durable)
    assert life.log.reclaim() == 1
    life.append(3)
    disk.kill()
    generations = [int.from_bytes(disk.contents("cursors/a")[at + 8 : at + 16], "little") for at in (0, 512)]
    spoil(disk, "cursors/a", 512 * generations.index(max(generations)) + 20)
    life = Life(disk)
    assert life.read() == [2, 3], "2 comes again, which the next hop drops"
    assert not life.log.damages


def test_a_sink_that_was_away_goes_on_where_it_stood_and_misses_what_had_to_go_meanwhile() -> None:
    disk = SimDisk()
    life = Life(disk, ["a", "b"])
    life.append(1, 2)
    life.store.close()
    life = Life(disk, ["b"])
    life.append(3, 4)
    life.acknowledge(5, life.log.durable, "b")
    life.roll()
    life.append(5)
    life.acknowledge(6, life.log.durable, "b")
    assert life.log.reclaim() == 0
    assert life.log.floor == 1
    assert Life(disk, ["a", "b"]).read() == [1, 2, 3, 4, 5]
    life = Life(disk, ["b"])
    assert life.store.retention.make_way(blocked=True) == []
    assert life.store.retention.dropped == [("a", "sink_removed", 2, 2)]
    life.store.close()
    life = Life(disk, ["a", "b"])
    assert life.read() == [(1, 2, "sink_removed"), 3, 4, 5]
    assert not life.reported
    assert life.log.floor == 1


def test_a_cursor_behind_a_cut_end_goes_on_and_its_numbers_are_not_given_again() -> None:
    disk = SimDisk()
    life = Life(disk)
    life.append(1, 2, 3)
    life.acknowledge(4, life.log.durable)
    life.store.close()
    name = segment_name(1)
    disk.put(name, disk.contents(name)[: _envelopes(disk, name)[2] + 10])
    life = Life(disk)
    assert life.log.next_seq == 4
    assert life.read() == []
    life.append(4)
    assert life.read() == [4]


# A disk that cannot be read


def test_segments_that_the_disk_cannot_read_are_gaps() -> None:
    for index in range(3):
        disk = SimDisk()
        numbers = three_segments(disk)
        life = Life(disk)
        disk.unreadable = {segment_name(numbers[index]): 0}
        gone = (2 * index + 1, 2 * index + 2)
        items = life.read()
        assert (*gone, "corrupt") in items
        assert [item for item in items if isinstance(item, int)] == [n for n in range(1, 7) if n not in gone]
        assert [(d.first, d.last) for d in life.reported] == [gone]


@pytest.mark.parametrize("offset", [0, HEADER_SIZE, 300])
def test_numbers_of_a_newest_segment_that_the_disk_cannot_read_are_not_given_again(offset: int) -> None:
    disk = SimDisk()
    *_, newest = three_segments(disk)
    disk.unreadable = {segment_name(newest): offset}
    life = Life(disk)
    assert life.log.next_seq >= 7
    assert life.log.damages
    items = life.read()
    assert items[:4] == [1, 2, 3, 4]
    assert items[-1] in [(5, life.log.next_seq - 1, reason) for reason in ("missing", "corrupt")]


# What a start costs


def test_a_start_reads_no_more_of_a_larger_backlog() -> None:
    read = []
    for segments in (5, 50):
        disk = SimDisk()
        life = Life(disk, max_bytes=1 << 30)
        for number in range(segments):
            life.append(number, size=50_000)
            life.log.roll()
        life.append(0, size=50_000)
        life.store.close()
        disk = disk.copy()
        Life(disk, max_bytes=1 << 30)
        read.append(disk.bytes_read - segments * HEADER_SIZE)
        assert disk.counts["open"] < segments + 20
    assert abs(read[0] - read[1]) < 64


def test_recovery_holds_no_frames_in_memory(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    store = Store(disk, 512 << 20, 1 << 20, ["a"])
    frames = [frame_of(1, 250_000)] * 16
    for _ in range(7):
        store.commit([EntryDraft([frame]) for frame in frames])
    store.log.abandon()
    assert store.log.durable.offset > 25 << 20
    del store
    tracemalloc.start()
    try:
        Store(disk, 512 << 20, 1 << 20, ["a"]).abandon()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_quarantine_is_bounded_and_its_newest_file_stays() -> None:
    disk = SimDisk()
    three_segments(disk)
    disk.make_folder("quarantine")
    for number in range(6):
        disk.put(f"quarantine/{segment_name(number)}.64-100", bytes(50_000))
    Life(disk)
    assert disk.names("quarantine") == [f"{segment_name(number)}.64-100" for number in (4, 5)]
    disk.put(f"quarantine/{segment_name(9)}.64-100", bytes(500_000))
    Life(disk)
    assert disk.names("quarantine") == [f"{segment_name(9)}.64-100"]
