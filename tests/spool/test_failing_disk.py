"""A disk that refuses: nothing acknowledged is lost or written twice, and the spool goes on or says why not."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simdisk import SimDisk
from support.spool_model import Oracle, frame_of, letter_of, letters_on

from shipper.errors import DiskFull, SpoolError, SpoolFailed
from shipper.sinks.base import Gap
from shipper.spool.body import CursorValue
from shipper.spool.draft import EntryDraft
from shipper.spool.files import QUARANTINE, Damage, segment_name
from shipper.spool.log import Outcome
from shipper.spool.reader import Reader, Recent
from shipper.spool.store import Store, open_store

MAX_BYTES = 2 * 1024 * 1024
WRITES = ("create", "write", "sync", "sync_folder")


def open_on(disk: SimDisk) -> Store:
    """A spool with one sink."""
    return Store(disk, MAX_BYTES, 1 << 20, ["a"])


def no_damage(damage: Damage) -> None:
    raise AssertionError(f"what was never acknowledged is no damage: {damage}")


def check(store: Store, oracle: Oracle) -> None:
    """All that was acknowledged is there, in order, once; the log holds the state of these and of no other."""
    reader = store.reader(no_damage)
    value = store.log.cursors["a"].value
    reader.seek(value.position, value.seq)
    expected = value.seq
    while (read := reader.step()) is not None:
        if read.item is not None:
            oracle.check_item(read.item, expected)
            expected = read.next
    assert expected == store.log.next_seq == oracle.next_seq
    assert {k: v for k, v in store.log.state.items() if "/" not in k} == oracle.state
    assert not [damage for damage in store.log.damages if damage.acknowledged]


def commit(store: Store, oracle: Oracle, drafts: Sequence[EntryDraft]) -> list[Outcome]:
    """Commit; the oracle takes what was acknowledged."""
    outcomes = store.commit(drafts)
    assert outcomes == [oracle.append(draft) for draft in drafts[: len(outcomes)]]
    return outcomes


def take_over(store: Store, oracle: Oracle, drafts: Sequence[EntryDraft]) -> None:
    """A crash may keep some first drafts of a commit that failed: whole, though nobody was told."""
    for draft in drafts:
        if store.log.next_seq > oracle.next_seq:
            oracle.append(draft)


def drafts_of(number: int, count: int = 3, size: int = 400) -> list[EntryDraft]:
    """Frames with state."""
    return [
        EntryDraft([frame_of(number * 10 + at, size)], {"n": f"{number} {at}".encode(), f"k{at}": b"x"})
        for at in range(count)
    ]


@pytest.mark.parametrize("kind", ["write", "sync"])
@pytest.mark.parametrize("after", ["power cut", "kill", "close", "nothing"])
def test_a_group_that_the_disk_refuses_is_written_again_under_the_same_numbers(kind: str, after: str) -> None:
    disk = SimDisk()
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    commit(store, oracle, drafts_of(1))
    before = store.log.durable
    disk.faults[kind] = ["EIO"]
    assert commit(store, oracle, drafts_of(2)) == [4, 5, 6]
    assert disk.counts[f"{kind} EIO"] == 1
    assert store.log.durable.segment == before.segment + 1
    assert store.log.segments[before.segment].end == before.offset, "the segment ends where it was synced"
    check(store, oracle)
    if after == "close":
        store.close()
    elif after == "kill":
        disk.kill()
    elif after == "power cut":
        disk = disk.power_cut("all", "all", random.Random(1))
    if after != "nothing":
        check(open_on(disk), oracle)


@pytest.mark.parametrize("kind", WRITES)
def test_every_single_refusal_is_survived(kind: str) -> None:
    """The one fault hits each operation of its kind in turn, in a life with segments, cursors and dead letters."""
    place = 0
    while True:
        disk = SimDisk()
        store = open_on(disk)
        oracle = Oracle(store.log.stream)
        disk.faults[kind] = [""] * place + ["EIO"]
        for number in range(3):
            commit(store, oracle, [*drafts_of(number, size=9000), EntryDraft(dead_letters=[letter_of(number)])])
            oracle_cursor = CursorValue(store.log.next_seq, store.log.durable)
            store.log.cursors["a"].place(oracle_cursor)
            store.log.sync_cursors()
            store.log.roll()
            store.log.reclaim()
        commit(store, oracle, drafts_of(9))
        check(store, oracle)
        assert letters_on(disk) == oracle.letters
        fired = disk.counts[f"{kind} EIO"]
        assert fired or place > 3, "the fault fired in some lives"
        again = disk.power_cut("none", "none", random.Random(place))
        check(open_on(again), oracle)
        assert sorted(set(letters_on(again))) == oracle.letters, "one may be in two files, with the same place"
        if not fired:
            return
        place += 1


@pytest.mark.parametrize("kind", WRITES)
def test_three_refusals_in_a_row_end_the_spool_and_the_next_start_has_everything(kind: str) -> None:
    disk = SimDisk()
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    commit(store, oracle, drafts_of(1))
    disk.faults |= {"sync" if kind != "sync" else "write": ["EIO"], kind: ["EIO"] * 9}
    with pytest.raises(SpoolFailed, match="Input/output error; check the disk"):
        store.commit(drafts_of(2))
    disk.faults.clear()
    store.abandon()
    survivor = open_on(disk.power_cut("none", "all", random.Random(2)))
    take_over(survivor, oracle, drafts_of(2))
    check(survivor, oracle)


def test_what_a_failed_sync_left_in_the_page_cache_only_is_not_built_upon() -> None:
    """The next process reads it, and writes it anew before it relies on it."""
    for seed in range(20):
        disk = SimDisk()
        disk.dice = random.Random(seed)
        store = open_on(disk)
        oracle = Oracle(store.log.stream)
        commit(store, oracle, drafts_of(1))
        disk.faults["sync"] = ["EIO"]
        disk.faults |= {"create": ["EIO"] * 9, "truncate": ["EIO"]}
        with pytest.raises(SpoolFailed):
            store.commit(drafts_of(2))
        disk.faults.clear()
        store.abandon()
        disk.kill()
        second = open_on(disk)
        take_over(second, oracle, drafts_of(2))
        commit(second, oracle, drafts_of(3))
        check(open_on(disk.power_cut("none", "all", random.Random(seed))), oracle)


def fill(store: Store, oracle: Oracle) -> None:
    """Commit until no more gets in."""
    number = 100
    while commit(store, oracle, drafts_of(number, 1, 20_000)):
        number += 1


def drain(store: Store) -> None:
    """The sink reads and acknowledges everything."""
    store.log.cursors["a"].place(CursorValue(store.log.next_seq, store.log.durable))
    store.log.reclaim()


def test_a_full_disk_takes_no_more_and_goes_on_when_segments_go_or_room_appears() -> None:
    disk = SimDisk()
    disk.capacity = 1024 * 1024
    store = open_on(disk)
    store.tend()
    oracle = Oracle(store.log.stream)
    fill(store, oracle)
    assert store.log.blocked_by == "the disk is full"
    assert commit(store, oracle, [EntryDraft(dead_letters=[letter_of(7, 20_000)])]), "a note goes into the reserve"
    check(store, oracle)
    assert letters_on(disk) == oracle.letters
    disk.put("somebody", bytes(disk.space().free))
    assert not store.commit(drafts_of(1)), "the room for notes is not for data"
    drain(store)
    assert commit(store, oracle, drafts_of(2)) != []
    fill(store, oracle)
    disk.remove("somebody")
    assert commit(store, oracle, drafts_of(3)) != []
    check(store, oracle)


def test_a_start_on_a_full_disk_ships_the_backlog_and_needs_no_room() -> None:
    disk = SimDisk()
    disk.capacity = 1024 * 1024
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    fill(store, oracle)
    store.close()
    disk.put("somebody", bytes(disk.space().free))
    again = open_on(disk)
    check(again, oracle)
    assert not again.commit(drafts_of(1))
    assert not again.commit([EntryDraft(dead_letters=[letter_of(7)])]), "without a reserve notes wait, too"
    drain(again)
    assert commit(again, oracle, drafts_of(2)) != []
    check(again, oracle)


def test_a_new_spool_on_a_full_disk_waits_for_room() -> None:
    """It needs a few KiB for its identity and its cursors; without a segment it takes nothing, and says why."""
    disk = SimDisk()
    disk.capacity = 100_000
    store = open_on(disk)
    assert not store.log.segments
    for _ in range(3):
        assert not store.commit(drafts_of(1))
        assert store.log.blocked_by == "the disk is full"
        assert not store.retention.make_way(blocked=True), "there is nothing that anybody could give up"
        store.log.sync_cursors()
        assert store.log.reclaim() == 0
        store.tend()
        assert store.reader(no_damage).step() is None
    disk.capacity = 1 << 20
    oracle = Oracle(store.log.stream)
    commit(store, oracle, drafts_of(2))
    check(store, oracle)


@pytest.mark.parametrize("capacity", [0, 1_000])
def test_a_start_without_room_for_its_identity_says_what_to_do(capacity: int) -> None:
    disk = SimDisk()
    disk.capacity = capacity
    with pytest.raises(DiskFull, match="free some space and start again"):
        open_store(lambda: open_on(disk), no_refusal)
    disk.capacity = 1 << 20
    store = open_on(disk)
    assert commit(store, Oracle(store.log.stream), drafts_of(1)) == [1, 2, 3]


def no_refusal(error: SpoolFailed) -> None:
    raise AssertionError(f"for room an opening does not try again: {error}")


@pytest.mark.parametrize("kind", ["create", "write", "sync", "sync_folder", "truncate"])
def test_an_opening_survives_every_single_refusal(kind: str) -> None:
    before = SimDisk()
    store = open_on(before)
    oracle = Oracle(store.log.stream)
    commit(store, oracle, [*drafts_of(1), EntryDraft(dead_letters=[letter_of(7)])])
    before.kill()
    said: list[SpoolFailed] = []
    place, refused = 0, True
    while refused:
        disk = before.copy()
        said.clear()
        disk.faults[kind] = [*[""] * place, "EIO"]
        check(open_store(lambda disk=disk: open_on(disk), said.append), oracle)  # type: ignore[misc]
        assert len(said) <= 1
        refused = not disk.failing
        place += 1
    assert place > 1
    disk = before.copy()
    disk.faults["sync_folder"] = ["EIO"] * 20
    with pytest.raises(SpoolFailed):
        open_store(lambda: open_on(disk), said.append)


def test_a_header_that_can_be_read_the_third_time_is_not_set_aside() -> None:
    disk = SimDisk()
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    commit(store, oracle, drafts_of(1))
    disk.kill()
    disk.faults["read"] = ["EIO", "EIO"]
    check(open_on(disk), oracle)
    assert disk.names(QUARANTINE) == []


def test_no_segment_half_made_is_left_behind_by_a_full_disk() -> None:
    disk = SimDisk()
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    for kind in ("create", "write", "sync_folder"):
        disk.faults[kind] = ["ENOSPC"] * 2
        names = disk.names()
        with pytest.raises(SpoolFailed):
            store.log.roll()
        disk.faults.clear()
        assert disk.names() == names
        assert store.log.blocked_by is None
        assert commit(store, oracle, drafts_of(2)) != []
    check(store, oracle)


def test_a_batch_that_no_segment_can_hold_is_refused_and_the_rest_goes_on() -> None:
    store = open_on(SimDisk())
    refused, number = store.commit([EntryDraft(dead_letters=[letter_of(1, 40_000_000)]), *drafts_of(1, 1)])
    assert isinstance(refused, SpoolError)
    assert number == 1


@settings(max_examples=60, deadline=None)
@given(
    faults=st.dictionaries(
        st.sampled_from([*WRITES, "truncate"]),
        st.lists(st.sampled_from(["", "", "", "EIO", "ENOSPC"]), max_size=25),
    ),
    seed=st.integers(0, 2**32),
    data=st.sampled_from(["none", "some", "all"]),
)
def test_any_faults_in_any_order_lose_nothing_that_was_acknowledged(
    faults: dict[str, list[str]], seed: int, data: str
) -> None:
    disk = SimDisk()
    disk.dice = random.Random(seed)
    store = open_on(disk)
    oracle = Oracle(store.log.stream)
    disk.faults = faults
    pending: list[EntryDraft] = []
    try:
        for number in range(12):
            pending = pending or [*drafts_of(number, 2, 9000), EntryDraft(dead_letters=[letter_of(number)])]
            pending = pending[len(commit(store, oracle, pending)) :]
            if number % 3 == 2:
                store.log.sync_cursors()
                store.log.roll()
            store.tend()
    except SpoolFailed:
        pass
    disk.faults = {}
    cut = disk.power_cut(data, "all", random.Random(seed))  # type: ignore[arg-type]
    again = open_on(cut)
    take_over(again, oracle, pending)
    check(again, oracle)
    assert set(oracle.letters) <= set(letters_on(cut))


def read_all(store: Store, disk: SimDisk) -> tuple[set[int], set[int]]:
    """The numbers that a sink is given and those of its gaps; every gap is reported under its numbers."""
    found: list[Damage] = []
    reader = Reader(disk, store.log, Recent(), found.append)
    value = store.log.cursors["a"].value
    reader.seek(value.position, value.seq)
    given: set[int] = set()
    lost: set[int] = set()
    while (read := reader.step()) is not None:
        if read.item is not None:
            body = read.item.body
            (lost if isinstance(body, Gap) else given).update(range(read.item.seq, read.next))
    for damage in found:
        store.log.notes.report(damage)
    assert lost == {seq for damage in found for seq in range(damage.first, damage.last + 1)}
    return given, lost


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("pages", [(20,), (7, 8, 25)])
def test_a_page_that_cannot_be_read_costs_the_frames_that_it_touches_and_no_more(
    pages: tuple[int, ...], start: bool
) -> None:
    """While it runs as at a start; the gaps are exact, and the copies hold all that can be read."""
    disk = SimDisk()
    store = open_on(disk)
    for number in range(60):
        store.commit([EntryDraft([frame_of(number, 2000)], {"n": str(number).encode()})])
    name = segment_name(1)
    contents = disk.contents(name)
    disk.bad_pages[name] = pages
    if start:
        disk.kill()
        store = open_on(disk)
        assert store.log.next_seq == 61
        assert store.log.state["n"] == b"59"
    given, lost = read_all(store, disk)
    assert given | lost == set(range(1, 61))
    assert not given & lost
    assert len(pages) <= len(lost) <= 4 * len(pages), "a page holds one or two frames and touches two more"
    readable = bytearray(contents)
    for page in pages:
        readable[page * 4096 : (page + 1) * 4096] = bytes(4096)
    copies = [copy for copy in disk.names(QUARANTINE) if copy.startswith(name)]
    assert copies
    for copy in copies:
        first = int(copy.removeprefix(f"{name}.").partition("-")[0])
        data = disk.contents(f"{QUARANTINE}/{copy}")
        assert data == readable[first : first + len(data)]
    assert store.commit([EntryDraft([frame_of(99, 10)])]) == [61], "it goes on"
