"""A damaged spool: whatever bit is flipped and wherever a file is cut, it starts, and gives no wrong byte."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

import pytest
from support.simdisk import SimDisk
from support.spool_model import Oracle, frame_of, letter_of, upstream_frame

from shipper.batch import Upstream
from shipper.sinks.base import Gap
from shipper.spool.body import CursorValue
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage
from shipper.spool.store import Store

MAX_BYTES = 2 * 1024 * 1024
OTHER = b"upstream-stream1"


@dataclass
class Image:
    """A spool on a disk, and what was appended to it."""

    disk: SimDisk
    oracle: Oracle
    acked: int = 1


@cache
def small(*, closed: bool) -> Image:
    """Two segments of under a KiB each, with all that a spool holds; ended well, or in the middle of a second."""
    disk = SimDisk()
    with mock.patch("shipper.spool.log.MAX_ENTRIES", 5):
        store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
        oracle = Oracle(store.log.stream)
        drafts = [
            EntryDraft([frame_of(1, 20)], {"x": b"1"}),
            EntryDraft([frame_of(2, 20), frame_of(3, 20)], {"x": b"2"}, [letter_of(1)]),
            EntryDraft([frame_of(4, 10)], {"x": b"3"}),
            EntryDraft([upstream_frame(OTHER, 0, 5, 10)], upstream=Upstream(OTHER, 0, 1, bytes(16), 5)),
            EntryDraft([frame_of(6, 10)], {"x": b"4"}),
        ]
        for draft in drafts:
            store.commit([draft])
            oracle.append(draft)
        if closed:
            store.close()
        else:
            disk.kill()
    return Image(disk.copy(), oracle)


@dataclass
class Opened:
    """What a damaged spool gave."""

    store: Store
    found: dict[tuple[int, int], Damage] = field(default_factory=dict)
    """By place: the log reports each once."""
    missing: set[int] = field(default_factory=set)

    @property
    def reported(self) -> set[int]:
        """The numbers that were reported as lost."""
        return {number for damage in self.found.values() for number in range(damage.first, damage.last + 1)}


def opened(disk: SimDisk, image: Image) -> Opened:
    """Open a damaged spool and read it as a sink; no byte may be wrong, and no number may be left out."""
    it = Opened(Store(disk, MAX_BYTES, 1 << 20, ["a"]))
    for damage in it.store.log.damages:
        it.found[damage.segment, damage.start] = damage

    def damaged(damage: Damage) -> None:
        if it.store.log.notes.report(damage):
            it.found[damage.segment, damage.start] = damage

    reader = it.store.reader(damaged)
    value = it.store.log.cursors["a"].value
    reader.seek(value.position, value.seq, value.lost)
    expected = value.seq
    while (read := reader.step()) is not None:
        if read.item is None:
            continue
        assert read.item.seq == expected
        expected = read.next
        if isinstance(read.item.body, Gap):
            assert (read.item.body.first, read.item.body.last) == (read.item.seq, read.next - 1)
            it.missing.update(range(read.item.seq, read.next))
        else:
            assert read.item.body.raw == image.oracle.entries[read.item.seq]
            assert read.item.body.payload() is not None
    assert expected == it.store.log.next_seq
    assert value.seq == image.acked
    return it


def check_loss(it: Opened, image: Image) -> None:
    """After damage below the durable mark: what is missing was reported, exactly, and no number is given again."""
    assert it.store.log.next_seq == image.oracle.next_seq
    assert it.missing == it.reported
    assert all(damage.acknowledged for damage in it.found.values())


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with each of its bits flipped."""
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def files(disk: SimDisk) -> list[str]:
    """Every file of a spool."""
    return [f"{folder}/{name}".lstrip("/") for folder in disk.folders for name in disk.names(folder)]


def test_an_undamaged_spool_loses_nothing() -> None:
    for closed in (True, False):
        image = small(closed=closed)
        it = opened(image.disk.copy(), image)
        check_loss(it, image)
        assert not it.missing
        assert not it.found


def test_every_flipped_bit_of_a_spool_that_ended_well() -> None:
    image = small(closed=True)
    lost = 0
    for name in files(image.disk):
        for data in flipped(image.disk.contents(name)):
            disk = image.disk.copy()
            disk.put(name, data)
            it = opened(disk, image)
            check_loss(it, image)
            lost += bool(it.missing)
            if name.endswith(".seg"):
                assert it.found
                assert disk.names("quarantine")
            else:
                assert not it.missing
    assert lost > 1000


def test_every_flipped_bit_of_a_spool_that_was_killed() -> None:
    image = small(closed=False)
    unknown = 0
    name = max(name for name in files(image.disk) if name.endswith(".seg"))
    data = image.disk.contents(name)
    used = len(data.rstrip(b"\0")) + 8
    for changed in flipped(data[:used]):
        disk = image.disk.copy()
        disk.put(name, changed + data[used:])
        it = opened(disk, image)
        unknown += any(damage.reason == "tail unknown" for damage in it.found.values())
        assert {number for number in it.missing if number < image.oracle.next_seq} <= it.reported
        if it.store.log.next_seq < image.oracle.next_seq:  # the last group, which no mark covers
            assert it.store.log.next_seq == image.oracle.next_seq - 1
            assert not all(damage.acknowledged for damage in it.found.values())
    assert unknown > 500


@pytest.mark.parametrize("closed", [True, False])
def test_every_file_of_a_spool_cut_at_every_byte(*, closed: bool) -> None:
    image = small(closed=closed)
    for name in files(image.disk):
        data = image.disk.contents(name)
        used = len(data.rstrip(b"\0")) + 1
        for end in range(min(used, len(data))):
            disk = image.disk.copy()
            disk.put(name, data[:end])
            it = opened(disk, image)
            if closed:
                assert it.missing <= it.reported
                assert it.store.log.next_seq >= image.oracle.next_seq


def test_a_spool_goes_on_after_any_damage() -> None:
    """One byte of every eight is destroyed; then frames are appended, and the next start has them."""
    image = small(closed=True)
    for name in files(image.disk):
        data = image.disk.contents(name)
        for at in range(0, len(data), 8):
            disk = image.disk.copy()
            disk.put(name, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
            it = opened(disk, image)
            stream, state = it.store.log.stream, it.store.log.state["x"]
            number = it.store.log.next_seq
            assert it.store.commit([EntryDraft([frame_of(9, 9)])]) == [number]
            disk.kill()
            again = Store(disk, MAX_BYTES, 1 << 20, ["a"])
            assert not again.log.damages, "what was reported once is not found again"
            assert again.log.stream == stream
            assert again.log.state["x"] == state
            reader = again.reader(lambda _damage: None)
            reader.seek(again.log.cursors["a"].value.position, again.log.cursors["a"].value.seq)
            items = []
            while (read := reader.step()) is not None:
                items += [read.item] if read.item else []
            last = items[-1]
            assert not isinstance(last.body, Gap)
            assert last.body.raw == frame_of(9, 9).stamp(stream, number)[0]
            again.abandon()


def test_random_damage_of_a_larger_spool() -> None:
    """64 KiB and more, in several segments: bits, bytes and whole pieces destroyed."""
    disk = SimDisk()
    with mock.patch("shipper.spool.log.MAX_ENTRIES", 9):
        store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
        oracle = Oracle(store.log.stream)
        for number in range(40):
            draft = EntryDraft([frame_of(number, 50 + 97 * number)], {"x": str(number).encode()})
            store.commit([draft])
            oracle.append(draft)
        store.close()
    image = Image(disk.copy(), oracle)
    names = [name for name in files(disk) if name.endswith(".seg")]
    assert sum(disk.size(name) for name in names) > 64 * 1024
    rng = random.Random(1)
    for _ in range(400):
        disk = image.disk.copy()
        name = rng.choice(names)
        data = bytearray(disk.contents(name))
        at = rng.randrange(len(data))
        size = rng.choice([1, 1, 1, 30, 700, 5000])
        piece = data[at : at + size]
        data[at : at + size] = rng.choice([bytes(len(piece)), rng.randbytes(len(piece)), bytes(b ^ 1 for b in piece)])
        disk.put(name, bytes(data))
        it = opened(disk, image)
        check_loss(it, image)
        assert CursorValue(0, it.store.log.durable)
