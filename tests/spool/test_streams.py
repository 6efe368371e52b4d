"""A spool that goes on under a new stream id: what changes, what stays, and what a crash in between leaves."""

import random
import shutil
from pathlib import Path

import pytest
from support.simdisk import Crash, SimDisk, Survival
from support.spool_model import frame_of, letter_of, upstream_frame

from shipper.batch import Upstream
from shipper.sinks.base import Frame
from shipper.spool.dead_letters import FOLDER as DEAD_LETTERS
from shipper.spool.dead_letters import letters
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import decode
from shipper.spool.heads import records_of, restamp
from shipper.spool.slots import Slots
from shipper.spool.spool import Spool
from shipper.spool.store import Store
from shipper.spool.streams import Identity, open_identity, take_new

MAX_BYTES = 2 * 1024 * 1024
OTHER = b"upstream-stream1"


def store_on(disk: SimDisk) -> Store:
    """A spool with the sinks ``a`` and ``b``."""
    return Store(disk, MAX_BYTES, 1 << 20, ["a", "b"])


def frames(store: Store, sink: str = "a") -> list[Frame]:
    """All that a sink has not acknowledged."""
    reader = store.reader(lambda damage: pytest.fail(str(damage)))
    value = store.log.cursors[sink].value
    reader.seek(value.position, value.seq, value.lost)
    found = []
    while (read := reader.step()) is not None:
        if read.item is not None:
            assert isinstance(read.item.body, Frame)
            found.append(read.item.body)
    return found


def test_a_frame_stamped_anew_is_the_frame_that_the_new_stream_would_hold() -> None:
    for size in (1, 100, 30_000):
        old = decode(frame_of(7, size).stamp(b"o" * 16, 9)[0])
        new = restamp(old, b"n" * 16)
        assert (new.raw, new.check) == frame_of(7, size).stamp(b"n" * 16, 9)
        assert new == decode(new.raw)


def test_the_records_of_a_frame_are_read_off_its_head_unless_that_is_damaged() -> None:
    raw, check = frame_of(7, 30_000).stamp(b"o" * 16, 9)
    head = raw[:200]
    assert records_of(head, check) == 1
    assert records_of(raw[:70], check) is None
    assert records_of(head, check ^ 1) is None
    end = 68 + decode(raw).meta_size
    for at in range(end):
        assert records_of(head[:at] + bytes([head[at] ^ 1]) + head[at + 1 :], check) is None


def test_the_backlog_is_stamped_anew_and_what_others_sent_is_not() -> None:
    disk = SimDisk()
    store = store_on(disk)
    theirs = upstream_frame(OTHER, 0, 5, 100)
    old = store.log.stream
    store.commit([EntryDraft([frame_of(1, 100)]), EntryDraft([theirs], upstream=Upstream(OTHER, 0, 1, bytes(16), 0))])
    store.log.take_new_stream()
    store.commit([EntryDraft([frame_of(2, 100)])])
    new = store.log.stream
    assert new != old
    expected = [frame_of(1, 100).stamp(new, 1)[0], theirs.raw, frame_of(2, 100).stamp(new, 3)[0]]
    assert [frame.raw for frame in frames(store)] == expected
    assert store.log.held[OTHER].next == 1
    disk.kill()
    store = store_on(disk)
    assert store.log.stream == new
    assert [frame.raw for frame in frames(store, "b")] == expected
    store.log.take_new_stream()
    assert {frame.stream for frame in frames(store)} == {store.log.stream, OTHER}
    assert [frame.seq for frame in frames(store)] == [1, 0, 3], "numbers go on"


@pytest.mark.parametrize("data", ["none", "some", "all"])
def test_a_crash_leaves_the_old_id_or_the_new_one(data: Survival) -> None:
    step, crashed = 1, True
    while crashed:
        for applied in (False, True):
            disk = SimDisk()
            store = store_on(disk)
            store.commit([EntryDraft([frame_of(1, 100)])])
            before = store.log.identity
            disk.crash_at, disk.applied = disk.steps + step, applied
            try:
                store.log.take_new_stream()
                crashed = False
            except Crash:
                crashed = True
            after = store_on(disk.power_cut(data, "all", random.Random(step)))
            identity = after.log.identity
            assert identity.home == before.home
            assert identity.stream == before.stream or identity.former == (before.stream,)
            if not crashed:
                assert identity.stream == store.log.stream
            assert [frame.raw for frame in frames(after)] == [frame_of(1, 100).stamp(identity.stream, 1)[0]]
        step += 1
    assert step > 2


def test_dead_letters_are_not_copied_again_under_the_new_id() -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([EntryDraft(dead_letters=[letter_of(1)])])
    store.log.take_new_stream()
    store.commit([EntryDraft(dead_letters=[letter_of(2)])])
    disk.kill()
    store = store_on(disk)
    store.commit([EntryDraft(dead_letters=[letter_of(3)])])
    data = [disk.contents(f"{DEAD_LETTERS}/{name}") for name in disk.names(DEAD_LETTERS)]
    assert [stored.letter.error for one in data for stored, _, _ in letters(one)] == ["1", "2", "3"]


def test_the_former_ids_are_bounded_and_fit_into_a_slot() -> None:
    disk = SimDisk()
    identity = open_identity(disk, None, 2**40)
    for _ in range(40):
        identity = take_new(disk, identity)
    assert len(identity.former) == 16
    assert Slots(disk, "stream", Identity).value == identity


def test_what_an_earlier_version_wrote_is_read() -> None:
    disk = SimDisk()
    slots = Slots(disk, "stream", Identity)
    slots.write(Identity(b"s" * 16, 7, b"i" * 16))
    identity = open_identity(disk, b"s" * 16, 7)
    assert (identity.stream, identity.epoch, identity.home, identity.former) == (b"s" * 16, 8, b"s" * 16, ())


async def test_only_the_id_in_force_can_be_disowned_and_who_waits_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MAX_BYTES, 1 << 20, ["a"])
    spool.start()
    old, home, incarnation = spool.stream, spool.home, spool.incarnation
    await spool.take_new_stream("test", disowned=b"x" * 16)
    assert spool.stream == old
    await spool.take_new_stream("test", disowned=old)
    await spool.wait_renamed(old)
    assert spool.stream != old
    assert spool.incarnation != incarnation
    assert spool.home == home == old
    await spool.take_new_stream("test", disowned=old)
    assert spool.epoch == 1
    await spool.close()


async def test_a_directory_that_was_put_back_gives_its_numbers_again_and_no_identity_twice(tmp_path: Path) -> None:
    async def append(root: Path, number: int) -> Spool:
        spool = Spool(root, MAX_BYTES, 1 << 20, ["a"])
        spool.start()
        await spool.append(EntryDraft([frame_of(number, 100)]))
        return spool

    await (await append(tmp_path / "data", 1)).close()
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    original = await append(tmp_path / "data", 2)
    restored = await append(tmp_path / "backup", 3)
    assert (original.stream, original.epoch, original.next_seq) == (restored.stream, restored.epoch, restored.next_seq)
    assert original.incarnation != restored.incarnation, "that is what tells a collector"
    await restored.take_new_stream("cloned")
    sent: dict[tuple[bytes, int], bytes] = {}
    for spool in (original, restored):
        feed = spool.subscribe("a")
        items = await feed.read(1 << 20)
        while len(items) < 2:
            items += await feed.read(1 << 20)
        for item in items:
            assert isinstance(item.body, Frame)
            assert sent.setdefault((item.body.stream, item.body.seq), item.body.raw) == item.body.raw
        await spool.close()
    assert len(sent) == 4
