"""Two-slot files: the newest whole value, whatever a crash or damage did."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.simdisk import Crash, SimDisk

from shipper.errors import DiskFull, FutureFormat, SpoolError, SpoolFailed
from shipper.spool.body import CursorValue, Position
from shipper.spool.cursor import Cursor
from shipper.spool.frame import crc32c
from shipper.spool.slots import Slots


def value_of(number: int) -> CursorValue:
    """A value with a number in it."""
    return CursorValue(number, Position(number, number))


def slots_on(disk: SimDisk) -> Slots[CursorValue]:
    """The file, opened."""
    return Slots(disk, "slots", CursorValue)


def disk_with(*values: int) -> SimDisk:
    """A disk on which these values were written one after the other."""
    disk = SimDisk()
    slots = slots_on(disk)
    for number in values:
        slots.write(value_of(number))
    return disk


def test_the_last_value_written_is_the_one_in_force() -> None:
    for count in range(1, 6):
        slots = slots_on(disk_with(*range(1, count + 1)))
        assert slots.value == value_of(count)
        assert slots.exists
        assert not slots.damaged


def test_no_file_is_no_value() -> None:
    slots = slots_on(SimDisk())
    assert slots.value is None
    assert not slots.exists


@given(st.integers(1, 16), st.sampled_from(["none", "some", "all"]), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_crash_in_a_write_leaves_the_old_value_or_the_new(step: int, survival: str, seed: int) -> None:
    disk = SimDisk()
    slots = slots_on(disk)
    written = 0
    disk.crash_at, disk.applied = step, seed % 2 == 1
    try:
        for number in (1, 2, 3, 4):
            slots.write(value_of(number))
            disk.sync_folder()
            written = number
    except Crash:
        pass
    disk = disk.power_cut(survival, "some", random.Random(seed))  # type: ignore[arg-type]
    value = slots_on(disk).value
    assert value in ([None, value_of(1)] if not written else [value_of(written), value_of(written + 1)])


@given(
    faults=st.dictionaries(
        st.sampled_from(["create", "write", "sync", "sync_folder"]),
        st.lists(st.sampled_from(["", "EIO", "ENOSPC"]), max_size=6),
    ),
    seed=st.integers(0, 99),
)
@example(faults={"write": ["", "EIO", "ENOSPC"]}, seed=0)
@settings(max_examples=200, deadline=None)
def test_a_value_that_was_written_is_in_force_whatever_the_disk_refused_before(
    faults: dict[str, list[str]], seed: int
) -> None:
    disk = SimDisk()
    disk.faults = faults
    slots = slots_on(disk)
    written = tried = 0
    for number in range(1, 9):
        tried = number
        try:
            slots.write(value_of(number))
        except DiskFull:
            continue
        except SpoolFailed:
            break
        disk.faults.pop("sync_folder", None)
        disk.sync_folder()
        written = number
    value = slots_on(disk.power_cut("some", "some", random.Random(seed))).value
    possible = [value_of(number) for number in range(max(1, written), tried + 1)]
    assert value in (possible if written else [None, *possible])


def test_every_flipped_bit_leaves_the_value_or_the_one_before() -> None:
    disk = disk_with(1, 2, 3)
    data = disk.contents("slots")
    assert len(data) == 1024
    older = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        disk.put("slots", bytes(damaged))
        slots = slots_on(disk)
        assert slots.value in (value_of(2), value_of(3))
        assert slots.damaged
        older += slots.value == value_of(2)
    assert older == 8 * 512


def test_a_file_cut_anywhere_still_opens() -> None:
    disk = disk_with(1, 2, 3)
    data = disk.contents("slots")
    for end in range(len(data)):
        disk.put("slots", data[:end])
        assert slots_on(disk).value in (None, value_of(2), value_of(3))


def test_both_slots_damaged_is_a_file_without_a_value_that_can_be_written_again() -> None:
    disk = disk_with(1, 2)
    disk.put("slots", b"\1" * 1024)
    slots = slots_on(disk)
    assert slots.exists
    assert slots.damaged
    assert slots.value is None
    slots.write(value_of(9))
    assert slots_on(disk).value == value_of(9)


def test_a_newer_format_is_refused_and_a_damaged_version_is_not_one() -> None:
    disk = disk_with(1)
    data = bytearray(disk.contents("slots"))
    data[512 + 4] = 2
    disk.put("slots", bytes(data))
    assert slots_on(disk).value is None
    data[1020:] = crc32c(bytes(data[512:1020])).to_bytes(4, "little")
    disk.put("slots", bytes(data))
    with pytest.raises(FutureFormat, match="slots has format 2; this shipper reads up to 1"):
        slots_on(disk)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "ä", "x" * 101, "a b"])
def test_a_sink_whose_name_cannot_be_a_files_is_refused(name: str) -> None:
    with pytest.raises(SpoolError, match="a sink cannot be called"):
        Cursor(SimDisk(), name)


def test_a_cursor_is_written_when_it_moved_or_when_asked() -> None:
    disk = SimDisk()
    cursor = Cursor(disk, "a")
    assert not cursor.known
    cursor.place(value_of(1))
    cursor.persist(Position(5, 5))
    syncs = disk.counts["sync"]
    cursor.persist(Position(6, 6))
    assert disk.counts["sync"] == syncs
    assert Cursor(disk, "a").value.durable == Position(5, 5)
    cursor.persist(Position(6, 6), moved_only=False)
    assert Cursor(disk, "a").value == CursorValue(1, Position(1, 1), 0, Position(6, 6))
