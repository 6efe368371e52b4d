"""One life of a spool, ended at every single step in every way, opened again and led to its end.

The state machine finds what nobody thought of; this finds, each time, what one forgotten sync does.
"""

import random
from collections.abc import Iterator

import pytest
from support.simdisk import Crash, SimDisk, Survival
from support.spool_machine import BIG, SINKS, UPSTREAMS, Cut, DraftPlan, SpoolMachine
from support.spool_model import frame_of, letter_of

from shipper.spool.dead_letters import FOLDER as DEAD_LETTERS
from shipper.spool.dead_letters import is_file, letters
from shipper.spool.draft import EntryDraft
from shipper.spool.files import QUARANTINE, segment_name
from shipper.spool.repair import repair, to_repair
from shipper.spool.store import Store

_Way = tuple[bool, Survival, Survival]
_Last = tuple[Survival, Survival]
_LAST: list[_Last] = [("none", "none"), ("none", "all"), ("some", "some")]
_WAYS: list[tuple[_Way, list[_Last]]] = [
    *(((True, "all", "all"), [last]) for last in _LAST),  # a kill, and what a power cut takes later
    ((False, "none", "none"), _LAST),
    ((False, "none", "all"), _LAST),
    ((False, "all", "none"), _LAST),
    ((False, "some", "some"), _LAST),
]


def _plan(kind: str, *sizes: int, letters: int = 0, state: bytes | None = b"1") -> DraftPlan:
    return DraftPlan(kind, list(sizes) or [10], {"k": state}, letters, UPSTREAMS[0], 0, 1, 0)


def _life(machine: SpoolMachine) -> Iterator[None]:
    """What happens in it, one piece at a time."""
    yield machine.append([_plan("data", 100), _plan("data", 20_000, 3_000, letters=1), _plan("upstream", 700)])
    yield machine.read("a", 3)
    yield machine.acknowledge("a", 2)
    yield machine.append([_plan("data", 9_000), _plan("gap"), _plan("note"), _plan("data", 30_000, letters=3)])
    yield machine.sync_cursors()
    yield machine.roll()
    yield machine.append([_plan("data", 5_000, 5_000, 5_000), _plan("urgent", letters=1)])
    yield machine.append([_plan("urgent", state=BIG)])  # the next snapshots need a file of their own
    yield machine.roll()
    for sink in SINKS:
        yield machine.read(sink, 30)
        yield machine.acknowledge(sink, 30)
    yield machine.sync_cursors()
    yield machine.append([_plan("data", 100)])
    yield machine.reclaim()
    yield machine.append([_plan("upstream", 2_000, state=BIG), _plan("data", 100_000), _plan("data", 300)])
    yield machine.close(Cut(1, False, True, "all", "all", 0), [], join=True)
    yield machine.append([_plan("data", 2_000, letters=1), _plan("data", 300, 300, 300)])
    for sink in SINKS:
        yield machine.read(sink, 30)
        yield machine.acknowledge(sink, 30)
    yield machine.reclaim()
    yield machine.drain()
    yield machine.append([_plan("urgent", state=None)])
    yield machine.roll()
    yield machine.append([_plan("data", 500)])
    for sink in SINKS:
        yield machine.read(sink, 30)
        yield machine.acknowledge(sink, 30)
    yield machine.sync_cursors()


def _live(crash: Cut | None, last: _Last, faults: dict[str, list[str]] | None = None) -> SpoolMachine:
    """Lead the life; ``fixed`` is None afterwards when the crash happened."""
    machine = SpoolMachine()
    machine.fixed = crash
    machine.disk.faults = faults or {}
    try:
        machine.begin(entries=9, letters=200, cut=[])
        for _ in _life(machine):
            pass
        happened, machine.fixed = machine.fixed, None
        machine.end(Cut(1, False, False, *last, 7), [])
        machine.fixed = happened
    finally:
        machine.teardown()
    return machine


@pytest.mark.parametrize(("way", "lasts"), _WAYS)
def test_a_spool_survives_its_end_at_every_step(way: _Way, lasts: list[_Last]) -> None:
    assert _live(None, lasts[0]).disk.steps > 100
    step, crashed = 1, True
    while crashed:
        for applied in (False, True):
            crashed = _live(Cut(step, applied, *way, seed=step), lasts[step % len(lasts)]).fixed is None
        step += 1
    assert step > 100


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", ["create", "write", "sync", "sync_folder", "truncate"])
def test_a_spool_survives_a_refusal_of_every_operation_and_a_power_cut_after_it(kind: str, fault: str) -> None:
    place = 0
    while at := _live(None, _LAST[place % 3], {kind: [*[""] * place, fault]}).refused:
        way = _WAYS[place % len(_WAYS)][0]
        for after in (0, 1 + place % 12):
            _live(Cut(at + after, False, *way, seed=place), _LAST[place % 3], {kind: [*[""] * place, fault]})
        place += 1
    assert place > 5


def test_the_bytes_that_an_open_cuts_off_are_kept_whatever_step_it_ends_at() -> None:
    torn = random.Random(1).randbytes(3000)
    disk = SimDisk()
    store = Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
    store.commit([EntryDraft([frame_of(1, 100)], dead_letters=[letter_of(1)])])
    disk.kill()
    segment = segment_name(store.log.durable.segment)
    letters = f"{DEAD_LETTERS}/{disk.names(DEAD_LETTERS)[0]}"
    places = {segment: store.log.durable.offset, letters: len(disk.contents(letters))}
    for name, end in places.items():
        data = disk.contents(name)
        disk.put(name, data[:end] + torn + data[end + len(torn) :])

    def kept(disk: SimDisk, name: str, end: int) -> bool:
        if disk.contents(name)[end : end + len(torn)] == torn:
            return True
        copies = [copy for copy in disk.names(QUARANTINE) if copy.startswith(name.rpartition("/")[2])]
        return [disk.contents(f"{QUARANTINE}/{copy}") for copy in copies] == [torn]

    image, step, crashed = disk, 1, True
    while crashed:
        for way in (("none", "none"), ("none", "all"), ("all", "none"), ("all", "all"), ("some", "some")):
            disk = image.copy()
            disk.crash_at = disk.steps + step
            try:
                Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
                crashed = False
            except Crash:
                crashed = True
            disk = disk.power_cut(*way, random.Random(step))
            for name, end in places.items():
                assert kept(disk, name, end)
            Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
            for name, end in places.items():
                assert kept(disk, name, end)
        step += 1
    assert step > 20


def test_the_letters_around_a_damaged_one_are_kept_whatever_step_a_repair_ends_at() -> None:
    disk = SimDisk()
    store = Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
    for number in range(3):
        store.commit([EntryDraft(dead_letters=[letter_of(number)])])
    store.close()
    name = f"{DEAD_LETTERS}/{disk.names(DEAD_LETTERS)[0]}"
    data = bytearray(disk.contents(name))
    (_, start, end) = list(letters(bytes(data)))[1]
    data[end - 1] ^= 0xFF
    disk.put(name, bytes(data))
    damaged = bytes(data[start:end])

    def kept(disk: SimDisk) -> list[str]:
        (only,) = [it for it in disk.names(DEAD_LETTERS) if is_file(it)]
        contents = disk.contents(f"{DEAD_LETTERS}/{only}")
        copies = [disk.contents(f"{QUARANTINE}/{copy}") for copy in disk.names(QUARANTINE)]
        assert damaged in contents or any(damaged in copy for copy in copies)
        return [stored.letter.error for stored, _, _ in letters(contents)]

    image, step, crashed = disk, 1, True
    while crashed:
        for way in (("none", "none"), ("none", "all"), ("all", "none"), ("all", "all"), ("some", "some")):
            disk = image.copy()
            disk.crash_at = disk.steps + step
            try:
                repair(disk, 2 * 1024 * 1024, lambda _finding: None)
                crashed = False
            except Crash:
                crashed = True
            disk = disk.power_cut(*way, random.Random(step))
            assert kept(disk) == ["0", "2"]
            if not crashed:
                assert not to_repair(disk), "what a repair did outlasts a power cut"
            repair(disk, 2 * 1024 * 1024, lambda _finding: None)
            assert kept(disk) == ["0", "2"]
        step += 1
    assert step > 20
