"""Dead letters are replayed once, whatever a crash leaves of the replay."""

import contextlib
import random
from collections.abc import Iterator
from unittest import mock

import pytest
from support.simdisk import Crash, SimDisk, Survival
from support.spool_model import letter_of

from shipper.batch import Payload
from shipper.errors import DiskFull, SpoolFailed
from shipper.spool.browse import browse, start_of
from shipper.spool.dead_letters import FOLDER
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameMeta, draft
from shipper.spool.inspect import look
from shipper.spool.letters import Letter, all_letters, sizes_of
from shipper.spool.repair import repair
from shipper.spool.replayed import KEY, Replayed, decode, encode, finished, strike
from shipper.spool.store import Store

MAX_BYTES = 2 * 1024 * 1024
LETTERS = 7
WAYS: list[tuple[Survival, Survival]] = [
    ("none", "none"),
    ("none", "all"),
    ("all", "none"),
    ("all", "all"),
    ("some", "some"),
]


def store_on(disk: SimDisk) -> Store:
    """A spool with one sink, which takes nothing."""
    return Store(disk, MAX_BYTES, 1 << 20, ["a"])


def filled() -> SimDisk:
    """A spool with dead letters in several files, its cursors as old as they can be."""
    disk = SimDisk()
    store = store_on(disk)
    for number in range(0, LETTERS - 1, 2):
        store.commit([EntryDraft(dead_letters=[letter_of(number, 700), letter_of(number + 1, 700)])])
    store.commit([EntryDraft(dead_letters=[letter_of(LETTERS - 1)])])
    disk.kill()
    return disk


def left_on(disk: SimDisk) -> list[Letter]:
    """The letters that are to be replayed, as the process sees them after it struck out what was left."""
    return [letter for letter in all_letters(disk, sizes_of(disk)) if not letter.struck]


def again(letter: Letter) -> EntryDraft:
    """What becomes of a letter: a record, but of every third at first a new letter."""
    name = letter.stored.letter.error
    fails = name.isdigit() and int(name) % 3 == 0
    payload = Payload.lines(b"" if fails else name.encode() + b"\n")
    new = letter_of(0, 300)
    new.error = f"{name} again"
    return EntryDraft([draft(payload, FrameMeta({}, []), 0)], dead_letters=[new] if fails else [])


def replay(store: Store, disk: SimDisk) -> None:
    """A replay of all that is there: what shipper.replay does, without threads."""
    store.strike()
    names = disk.names(FOLDER)
    for letter in left_on(disk):
        floor = decode(store.log.state.get(KEY)).floor
        entry = again(letter)
        entry.state[KEY] = encode(Replayed(letter.file, letter.stream, [(letter.start, letter.stored.place)], floor))
        store.commit([entry])
        store.strike()
    done = {name: found for name in names if (found := finished(disk, name)) is not None}
    if done:
        floor = max([decode(store.log.state.get(KEY)).floor, *(last for _, last in done.values())])
        store.commit([EntryDraft(state={KEY: encode(Replayed(floor=floor))})])
        store.drop_letters({name: size for name, (size, _) in done.items()})


def replay_to_the_end(disk: SimDisk) -> None:
    """Start, replay until nothing is left, stop."""
    store = store_on(disk)
    store.strike()
    while left_on(disk):
        replay(store, disk)
    store.close()


def records(disk: SimDisk) -> list[str]:
    """What the sink would get."""
    view = look(disk)
    frames = [step.item.body for step in browse(disk, view, *start_of(view, 0)) if step.item is not None]
    payloads = [frame.payload() for frame in frames if isinstance(frame, Frame)]
    return [line.decode() for payload in payloads if payload is not None for line in payload.raw()]


EXPECTED = sorted(f"{number} again" if number % 3 == 0 else str(number) for number in range(LETTERS))


@pytest.fixture(autouse=True)
def _small_files() -> Iterator[None]:
    with mock.patch("shipper.spool.dead_letters._FILE_SIZE", 1500):
        yield


def test_a_replay_leaves_no_letter_and_no_file() -> None:
    disk = filled()
    assert len(disk.names(FOLDER)) > 1
    replay_to_the_end(disk)
    assert sorted(records(disk)) == EXPECTED
    store = store_on(disk)
    replay(store, disk)
    assert disk.names(FOLDER) == []
    assert store.dead.used == 0


@pytest.mark.parametrize("way", WAYS)
def test_each_letter_is_replayed_once_whatever_step_the_process_ends_at(way: tuple[Survival, Survival]) -> None:
    image, step, crashed = filled(), 1, True
    while crashed:
        disk = image.copy()
        disk.crash_at, disk.applied = disk.steps + step, step % 2 == 0
        try:
            replay_to_the_end(disk)
            crashed = False
        except Crash:
            crashed = True
        disk = disk.power_cut(*way, random.Random(step))
        replay_to_the_end(disk)
        assert sorted(records(disk)) == EXPECTED, f"step {step}"
        step += 1
    assert step > 60


def test_each_letter_is_replayed_once_by_processes_that_are_killed_all_the_time() -> None:
    for seed in range(30):
        dice = random.Random(seed)
        disk = filled()
        for _ in range(12):
            disk.crash_at = disk.steps + dice.randrange(1, 60)
            with contextlib.suppress(Crash):
                replay_to_the_end(disk)
            if dice.random() < 0.5:
                disk.kill()
            else:
                disk = disk.power_cut(*dice.choice(WAYS), dice)
        disk.crash_at = 0
        replay_to_the_end(disk)
        assert sorted(records(disk)) == EXPECTED, f"seed {seed}"


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", ["write", "sync", "sync_folder", "create"])
def test_a_disk_that_refuses_something_costs_no_letter_and_doubles_none(kind: str, fault: str) -> None:
    for place in range(12):
        disk = filled()
        disk.faults = {kind: [*[""] * place, fault]}
        try:
            replay_to_the_end(disk)
        except SpoolFailed:
            disk.kill()
        disk.faults = {}
        replay_to_the_end(disk)
        assert sorted(records(disk)) == EXPECTED, f"place {place}"


def test_letters_that_a_repair_moved_are_struck_out_where_they_are_now() -> None:
    disk = filled()
    store = store_on(disk)
    first, second, *_ = left_on(disk)
    mark = encode(Replayed(second.file, second.stream, [(second.start, second.stored.place)]))
    store.commit([EntryDraft(state={KEY: mark})])
    store.close()
    path = f"{FOLDER}/{first.file}"
    data = bytearray(disk.contents(path))
    data[first.start + 20] ^= 1
    disk.put(path, bytes(data))
    repair(disk, MAX_BYTES, lambda _finding: None)
    store = store_on(disk)
    store.strike()
    assert [letter.stored.letter.error for letter in left_on(disk)] == ["2", "3", "4", "5", "6"]


def test_letters_of_another_spool_with_the_same_place_are_not_struck_out() -> None:
    disk = filled()
    first = left_on(disk)[0]
    strike(disk, Replayed(first.file, b"somebody else...", [(first.start, first.stored.place)]))
    assert len(left_on(disk)) == LETTERS


def test_a_file_that_has_grown_since_it_was_looked_at_stays() -> None:
    disk = filled()
    store = store_on(disk)
    for letter in left_on(disk):
        strike(disk, Replayed(letter.file, letter.stream, [(letter.start, letter.stored.place)]))
    newest = disk.names(FOLDER)[-1]
    found = finished(disk, newest)
    assert found is not None
    store.commit([EntryDraft(dead_letters=[letter_of(8)])])
    store.drop_letters({newest: found[0]})
    assert [letter.stored.letter.error for letter in left_on(disk)] == ["8"]


def test_copies_of_a_letter_count_as_one_and_keep_the_file_that_hides_them() -> None:
    disk = filled()
    first = disk.names(FOLDER)[0]
    path = f"{FOLDER}/{first}"
    disk.put(f"{FOLDER}/{9:020d}.dlq", disk.contents(path))
    assert len(left_on(disk)) == LETTERS
    for letter in left_on(disk):
        strike(disk, Replayed(letter.file, letter.stream, [(letter.start, letter.stored.place)]))
    assert left_on(disk) == []
    assert finished(disk, first) is None


def test_letters_that_wait_for_room_are_not_given_up() -> None:
    disk = filled()
    store = store_on(disk)
    letter = left_on(disk)[0]
    mark = encode(Replayed(letter.file, letter.stream, [(letter.start, letter.stored.place)]))
    store.commit([EntryDraft(state={KEY: mark})])
    disk.faults = {"write": ["", *["ENOSPC"] * 20]}
    store.commit([EntryDraft(dead_letters=[letter_of(8, 3000)])])
    assert store.behind, "it is durable, and in no file yet"
    with pytest.raises(DiskFull):
        store.strike()
    disk.faults = {}
    store.strike()
    assert len(left_on(disk)) == LETTERS
