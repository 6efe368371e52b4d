"""Dead letters are copied to their files exactly once, whatever happened to the files."""

import random
from itertools import count
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simdisk import Crash, SimDisk
from support.spool_model import frame_of, letter_of, letters_on

from shipper.spool.dead_letters import FOLDER, HEADER_SIZE, StoredLetter, _encode, _letter_head, letters
from shipper.spool.draft import EntryDraft
from shipper.spool.store import DEAD_LETTER_CURSOR, Store

MAX_BYTES = 2 * 1024 * 1024


def store_on(disk: SimDisk, dead_letter_bytes: int = 1 << 20) -> Store:
    """A spool with one sink."""
    return Store(disk, MAX_BYTES, dead_letter_bytes, ["a"])


def write(store: Store, *numbers: int, size: int = 10) -> None:
    """Dead letters, each in an entry of its own."""
    for number in numbers:
        store.commit([EntryDraft([frame_of(number, 10)], dead_letters=[letter_of(number, size)])])


def file_of(disk: SimDisk) -> str:
    """The newest file."""
    return f"{FOLDER}/{disk.names(FOLDER)[-1]}"


def stored(number: int) -> bytes:
    """A letter as it stands in a file."""
    value = _encode(StoredLetter(1, number, 0, letter_of(number)))
    return _letter_head(value) + value


@given(st.lists(st.binary(max_size=30), max_size=6))
@settings(max_examples=60, deadline=None)
def test_whole_letters_are_found_behind_any_rubbish(rubbish: list[bytes]) -> None:
    data = bytes(HEADER_SIZE)
    for number, junk in enumerate(rubbish):
        data += stored(number) + junk
    assert [one.offset for one, _, _ in letters(data + b"SHPL")] == list(range(len(rubbish)))


def test_every_flipped_bit_costs_one_letter_at_most() -> None:
    data = bytes(HEADER_SIZE) + b"".join(map(stored, range(3)))
    for bit in range(8 * HEADER_SIZE, 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert len(list(letters(bytes(damaged)))) == 2


def test_letters_outlive_the_segments_and_come_once_across_restarts() -> None:
    disk = SimDisk()
    for run in range(4):
        store = store_on(disk)
        write(store, 10 * run, 10 * run + 1)
        if run % 2:
            store.close()
        else:
            disk.kill()
    assert letters_on(disk) == ["0", "1", "10", "11", "20", "21", "30", "31"]
    assert len(disk.names(FOLDER)) == 1


def test_letters_that_no_file_got_are_copied_at_the_next_start() -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1)
    store.log.commit([EntryDraft(dead_letters=[letter_of(2), letter_of(3)])])
    disk.kill()
    store_on(disk).close()
    assert letters_on(disk) == ["1", "2", "3"]


def test_of_an_entry_that_was_copied_in_part_the_rest_is_copied() -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1)
    store.commit([EntryDraft(dead_letters=[letter_of(2), letter_of(3), letter_of(4)])])
    disk.kill()
    data = disk.contents(file_of(disk))
    ends = [end for _, _, end in letters(data)]
    for end in range(ends[0], len(data)):
        cut = disk.copy()
        cut.put(file_of(disk), data[:end])
        store_on(cut)
        assert letters_on(cut) == ["1", "2", "3", "4"]


def test_a_letter_behind_a_torn_one_is_not_taken_twice() -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1)
    store.commit([EntryDraft(dead_letters=[letter_of(2), letter_of(3)])])
    disk.kill()
    data = bytearray(disk.contents(file_of(disk)))
    (_, start, _) = list(letters(bytes(data)))[1]
    data[start + 20] ^= 1
    disk.put(file_of(disk), bytes(data))
    store_on(disk)
    assert letters_on(disk) == ["1", "2", "3"]


def test_damage_among_old_letters_costs_those_alone() -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1, 2, 3)
    store.close()
    data = bytearray(disk.contents(file_of(disk)))
    _, start, _ = next(letters(bytes(data)))
    data[start + 20] ^= 1
    disk.put(file_of(disk), bytes(data))
    store = store_on(disk)
    write(store, 4)
    assert letters_on(disk) == ["2", "3", "4"]


@pytest.mark.parametrize("data", [b"", b"SHPD", bytes(HEADER_SIZE), b"\1" * 100])
def test_a_file_without_a_readable_header_is_left_alone(data: bytes) -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1)
    store.close()
    disk.put(f"{FOLDER}/{7:020d}.dlq", data)
    store = store_on(disk)
    write(store, 2)
    assert letters_on(disk) == ["1", "2"]
    assert disk.contents(f"{FOLDER}/{7:020d}.dlq") == data
    assert disk.names(FOLDER)[-1] == f"{8:020d}.dlq"


def test_letters_of_another_spool_are_not_taken_for_ones_own() -> None:
    disk = SimDisk()
    store = store_on(disk)
    for _ in range(5):
        store.log.roll()
    write(store, 1)
    store.close()
    fresh = SimDisk()  # the data directory was emptied but for its dead letters
    fresh.make_folder(FOLDER)
    fresh.put(file_of(disk), disk.contents(file_of(disk)))
    store = store_on(fresh)
    write(store, 2, 3)
    assert letters_on(fresh) == ["1", "2", "3"]


def test_whatever_a_power_cut_leaves_of_a_new_file_each_letter_is_there_once() -> None:
    """Also the last one alone, in the sectors behind those of the header that got lost."""
    disk = SimDisk()
    store = store_on(disk)
    store.log.commit([EntryDraft(dead_letters=[letter_of(1), letter_of(2, 3000), letter_of(3, 3000)])])
    disk.kill()
    for at in count(1):
        dying = disk.copy()
        dying.crash_at = dying.steps + at
        try:
            store_on(dying)
            break
        except Crash:
            for seed in range(20):
                after = dying.power_cut("some", "some", random.Random(seed))
                store_on(after)
                assert letters_on(after) == ["1", "2", "3"]
    assert at > 5


def test_files_end_at_their_size_and_their_room_is_counted() -> None:
    disk = SimDisk()
    with mock.patch("shipper.spool.dead_letters._FILE_SIZE", 5000):
        store = store_on(disk, 1 << 16)
        assert store.dead.room == 1 << 16
        write(store, *range(10), size=2000)
        names = disk.names(FOLDER)
        assert len(names) > 2
        used = sum(disk.size(f"{FOLDER}/{name}") for name in names)
        assert store.dead.used == used
        assert store.dead.room == (1 << 16) - used
        store.close()
        assert store_on(disk, 1 << 16).dead.used == used
        assert store_on(disk, 100).dead.room == 0
    assert letters_on(disk) == [str(number) for number in range(10)]


def test_entries_without_dead_letters_cost_no_sync_of_their_files() -> None:
    disk = SimDisk()
    store = store_on(disk)
    write(store, 1)
    before = disk.steps
    store.commit([EntryDraft([frame_of(1, 10)])])
    assert disk.steps - before == 2
    assert store.log.cursors[DEAD_LETTER_CURSOR].value.seq == 3
