"""Looking into a spool: verify names every damage, repair sets it aside and loses nothing that could be read."""

import random
from collections.abc import Iterator
from functools import cache
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simdisk import Crash, SimDisk
from support.spool_model import frame_of, letter_of, upstream_frame

from shipper.batch import Upstream
from shipper.errors import FutureFormat
from shipper.sinks.base import Gap
from shipper.spool.browse import browse, cursor_of, start_of
from shipper.spool.checks import UNKNOWN, Finding
from shipper.spool.draft import EntryDraft
from shipper.spool.files import segment_name, snapshot_name
from shipper.spool.inspect import look
from shipper.spool.repair import repair, to_repair
from shipper.spool.store import Store
from shipper.spool.verify import Verifier

MAX_BYTES = 2 * 1024 * 1024
OTHER = b"upstream-stream1"


@cache
def _small(*, closed: bool) -> SimDisk:
    """Five segments with all that a spool holds; ended well, or in the middle of a second."""
    disk = SimDisk()
    with mock.patch("shipper.spool.log.MAX_ENTRIES", 4):
        store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
        for draft in (
            EntryDraft([frame_of(1, 20)], {"x": b"1"}),
            EntryDraft([frame_of(2, 20), frame_of(3, 20)], {"x": b"2"}, [letter_of(1)]),
            EntryDraft([frame_of(4, 10)], {"x": b"3"}, [letter_of(2)]),
            EntryDraft([upstream_frame(OTHER, 0, 5, 10)], upstream=Upstream(OTHER, 0, 1, bytes(16), 5)),
            EntryDraft([frame_of(6, 10)], {"x": bytes(20_000)}),
            EntryDraft([frame_of(7, 10)], {"y": b"4"}),
            EntryDraft([frame_of(8, 10)], {"y": b"5"}),
        ):
            store.commit([draft])
        if closed:
            store.close()
        else:
            disk.kill()
    return disk.copy()


def _files(disk: SimDisk) -> list[str]:
    folders = [folder for folder in disk.folders if folder != "quarantine"]
    return [f"{folder}/{name}".lstrip("/") for folder in folders for name in disk.names(folder)]


def _verify(disk: SimDisk, *, live: bool = False) -> list[Finding]:
    return list(Verifier(disk, live).run())


def _content(disk: SimDisk) -> list[object]:
    """What a start gives to the sink "a": the frames' bytes, and the ranges of the gaps."""
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    reader = store.reader(lambda _damage: None)
    cursor = store.log.cursors["a"].value
    reader.seek(cursor.position, cursor.seq)
    items: list[object] = []
    while (read := reader.step()) is not None:
        if read.item is not None:
            items.append(None if isinstance(read.item.body, Gap) else read.item.body.raw)
    store.close()
    return [item for item in items if item is not None]


def _flipped(disk: SimDisk, name: str, at: int, mask: int) -> SimDisk:
    changed = disk.copy()
    data = disk.contents(name)
    changed.put(name, data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
    return changed


def _places(*, closed: bool) -> Iterator[tuple[str, int]]:
    """Every byte that was written, and some of the zeros behind."""
    disk = _small(closed=closed)
    for name in _files(disk):
        data = disk.contents(name)
        used = min(len(data), len(data.rstrip(b"\0")) + 8)
        for at in range(0, used, 97 if used > 4096 else 1):
            yield name, at


def _names_it(findings: list[Finding], name: str, at: int) -> bool:
    return any(finding.file == name and finding.start <= at < finding.end for finding in findings)


@pytest.mark.parametrize("closed", [True, False])
def test_a_sound_spool_is_sound(*, closed: bool) -> None:
    disk = _small(closed=closed)
    verifier = Verifier(disk, live=False)
    assert list(verifier.run()) == []
    assert (verifier.totals.segments, verifier.totals.frames, verifier.totals.dead_letters) == (5, 8, 2)
    assert verifier.totals.sealed is closed


@pytest.mark.parametrize("closed", [True, False])
def test_looking_changes_nothing(*, closed: bool) -> None:
    disk = _small(closed=closed).copy()
    before = disk.steps, {name: disk.contents(name) for name in _files(disk)}
    view = look(disk)
    _verify(disk)
    list(browse(disk, view, *start_of(view, 0)))
    to_repair(disk)
    assert (disk.steps, {name: disk.contents(name) for name in _files(disk)}) == before


@pytest.mark.parametrize("closed", [True, False])
def test_every_flipped_byte_is_named_by_file_and_place(*, closed: bool) -> None:
    disk = _small(closed=closed)
    kinds = set()
    for name, at in _places(closed=closed):
        if at % 13 and "cursors" in name:
            continue
        findings = _verify(_flipped(disk, name, at, 1 << at % 8))
        assert _names_it(findings, name, at), (name, at, findings)
        kinds |= {finding.kind for finding in findings}
    assert kinds == ({"damaged"} if closed else {"damaged", "tail"})


@given(st.booleans(), st.integers(min_value=0), st.integers(1, 255))
def test_any_byte_that_is_changed_in_any_way_is_named(closed: bool, place: int, mask: int) -> None:
    places = list(_places(closed=closed))
    name, at = places[place % len(places)]
    assert _names_it(_verify(_flipped(_small(closed=closed), name, at, mask)), name, at)


def test_damage_is_named_by_sequence_number() -> None:
    disk = _small(closed=True)
    view = look(disk)
    steps = list(browse(disk, view, *start_of(view, 0)))
    assert [step.item.seq for step in steps if step.item] == [1, 2, 3, 4, 5, 6, 7, 8]
    lost = set()
    for number in view.segments:
        name = f"{number:020d}.seg"
        for at in range(0, len(disk.contents(name)), 13):
            for finding in _verify(_flipped(disk, name, at, 1)):
                if finding.numbers:
                    lost.add((finding.first, finding.last))
    assert {(number, number) for number in (1, 2, 3, 4, 5, 6, 7, 8)} <= lost | {(4, 4)}
    assert (8, UNKNOWN) in lost or (7, UNKNOWN) in lost, "of the newest one nobody knows how far it went"


@pytest.mark.parametrize("closed", [True, False])
def test_after_a_repair_the_spool_is_sound_and_a_start_has_all_that_could_be_read(*, closed: bool) -> None:
    """Many a byte destroyed: what a start gives is the same with and without the repair before it."""
    disk = _small(closed=closed)
    for name, at in _places(closed=closed):
        if at % 11:
            continue
        damaged = _flipped(disk, name, at, 0xFF)
        without = _content(damaged.copy())
        done: list[Finding] = []
        repair(damaged, MAX_BYTES, done.append)
        assert done, (name, at)
        left = _verify(damaged)
        assert {finding.kind for finding in left} <= {"known"}, (name, at, left)
        steps = damaged.steps
        repair(damaged, MAX_BYTES, done.append)
        assert damaged.steps == steps, "a second repair finds nothing to do"
        start = Store(damaged.copy(), MAX_BYTES, 1 << 20, ["a"])
        assert not start.log.damages
        assert _content(damaged) == without, (name, at)


def test_what_a_repair_set_aside_is_kept() -> None:
    disk = _small(closed=True)
    for name, at in _places(closed=True):
        if at % 29:
            continue
        damaged = _flipped(disk, name, at, 0xFF)
        found = _verify(damaged)
        pieces = [damaged.contents(f.file)[f.start : f.end].rstrip(b"\0") for f in found]
        repair(damaged, MAX_BYTES, lambda _finding: None)
        kept = [damaged.contents(f"quarantine/{copy}") for copy in damaged.names("quarantine")]
        assert all(any(piece in copy for copy in kept) for piece in pieces), (name, at)


def test_a_repair_removes_nothing_from_a_full_quarantine() -> None:
    disk = _small(closed=True)
    name, at = next(iter(_places(closed=True)))
    damaged = _flipped(disk, name, at, 0xFF)
    damaged.make_folder("quarantine")
    for number in range(100, 104):
        damaged.put(f"quarantine/{segment_name(number)}.64-100", bytes(MAX_BYTES))
    before = set(damaged.names("quarantine"))
    repair(damaged, MAX_BYTES, lambda _finding: None)
    assert set(damaged.names("quarantine")) > before
    Store(damaged, MAX_BYTES, 1 << 20, ["a"])
    assert not set(damaged.names("quarantine")) > before, "a start keeps the newest"


def test_a_damaged_snapshot_that_no_start_reads_is_set_aside() -> None:
    disk = SimDisk()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
    for number in range(1, 5):
        store.commit([EntryDraft([frame_of(number, 100)], {"x": bytes(20_000)})])
        store.log.roll()
    store.close()
    disk.put(snapshot_name(3), bytes(500) + disk.contents(snapshot_name(3))[500:])
    damaged, before = disk.contents(snapshot_name(3)), disk.copy()
    repair(disk, MAX_BYTES, lambda _finding: None)
    assert disk.contents(f"quarantine/{snapshot_name(3)}") == damaged
    assert {finding.kind for finding in _verify(disk)} == {"known"}
    assert _content(disk) == _content(before)
    assert len(_content(before)) == 4


@pytest.mark.parametrize("seed", range(20))
def test_what_a_power_cut_leaves_is_no_damage(seed: int) -> None:
    """Frames that were acknowledged are there; the rest is a tail of which nobody knows, or nothing."""
    rng = random.Random(seed)
    disk = SimDisk()
    with mock.patch("shipper.spool.log.MAX_ENTRIES", 6):
        store = Store(disk, MAX_BYTES, 1 << 20, ["a"])
        for number in range(rng.randint(1, 15)):
            store.commit([EntryDraft([frame_of(number, 1500)], {"x": b"%d" % number}, [letter_of(number)])])
        acknowledged = store.log.next_seq
        disk.crash_at = disk.steps + rng.randint(1, 4)
        disk.applied = rng.random() < 0.5
        with pytest.raises(Crash):
            store.commit([EntryDraft([frame_of(number, 1500)]) for number in range(9)])
    for _ in range(5):
        after = disk.power_cut(rng.choice(["none", "all", "some"]), rng.choice(["none", "all", "some"]), rng)
        assert {finding.kind for finding in _verify(after)} <= {"tail"}
        view = look(after)
        seqs = [step.item.seq for step in browse(after, view, *start_of(view, 0)) if step.item]
        assert seqs[: acknowledged - 1] == list(range(1, acknowledged))
        repair(after, MAX_BYTES, lambda _finding: None)
        assert _verify(after) == []


def test_a_tail_that_is_being_written_is_not_mentioned() -> None:
    disk = _small(closed=False)
    newest = max(name for name in disk.names() if name.endswith(".seg"))
    end = len(disk.contents(newest).rstrip(b"\0"))
    torn = disk.copy()
    torn.put(newest, disk.contents(newest)[:end] + b"SHPE half an entry" + bytes(100_000))
    assert [finding.kind for finding in _verify(torn)] == ["tail"]
    assert _verify(torn, live=True) == []
    assert look(torn).next_seq == look(disk).next_seq


def test_a_missing_segment_is_named_by_the_numbers_that_it_had() -> None:
    disk = _small(closed=True).copy()
    disk.unlink("00000000000000000002.seg")
    (finding,) = [f for f in _verify(disk) if f.kind == "damaged"]
    assert (finding.file, finding.numbers) == ("00000000000000000003.seg", "2 to 3")
    repair(disk, MAX_BYTES, lambda _finding: None)
    assert {f.kind for f in _verify(disk)} <= {"known"}


def test_a_file_that_is_none_of_ours_is_mentioned_and_left_alone() -> None:
    disk = _small(closed=True).copy()
    disk.put("core.1234", b"x" * 10)
    assert [(f.kind, f.file) for f in _verify(disk)] == [("foreign", "core.1234")]
    repair(disk, MAX_BYTES, lambda _finding: None)
    assert disk.contents("core.1234") == b"x" * 10


def test_damaged_frames_are_steps_of_their_own_and_the_others_are_read() -> None:
    disk = _small(closed=True)
    data = disk.contents("00000000000000000001.seg")
    at = data.find(b"SHPF") + 90
    changed = _flipped(disk, "00000000000000000001.seg", at, 1)
    view = look(changed)
    steps = list(browse(changed, view, *start_of(view, 0)))
    assert [step.item.seq for step in steps if step.item] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert isinstance(steps[0].item.body if steps[0].item else None, Gap)
    assert steps[0].damage is not None
    assert (steps[0].damage.segment, steps[0].damage.first, steps[0].damage.last) == (1, 1, 1)
    assert not [step for step in steps[1:] if step.damage]


def test_a_segment_that_goes_while_it_is_read_is_no_damage() -> None:
    disk = _small(closed=True).copy()
    view = look(disk)
    reading = browse(disk, view, *start_of(view, 0))
    first = next(reading)
    disk.unlink("00000000000000000002.seg")
    steps = [first, *reading]
    assert not [step for step in steps if step.damage]
    (passed,) = [step for step in steps if step.passed]
    assert passed.item is not None
    assert isinstance(passed.item.body, Gap)
    assert [step.item.seq for step in steps if step.item and not step.passed] == [1, 4, 5, 6, 7, 8]


def test_reading_begins_at_a_cursor() -> None:
    disk = _small(closed=True).copy()
    store = Store(disk, MAX_BYTES, 1 << 20, ["a", "b"])
    store.commit([EntryDraft([frame_of(9, 9)])])
    store.close()
    view = look(disk)
    seqs = {}
    for sink in ("a", "b"):
        cursor = cursor_of(view, sink)
        seqs[sink] = [s.item.seq for s in browse(disk, view, cursor.position, cursor.seq) if s.item]
    assert seqs == {"a": list(range(1, 10)), "b": [9]}
    assert [view.backlog(cursor_of(view, sink))[0] for sink in ("a", "b")] == [9, 1]


def test_a_format_of_the_future_is_refused() -> None:
    disk = _small(closed=True).copy()
    from shipper.spool.frame import crc32c

    data = disk.contents("stream")
    slot = data[512:1020]
    slot = slot[:4] + b"\x63\x00" + slot[6:]
    disk.put("stream", data[:512] + slot + crc32c(slot).to_bytes(4, "little"))
    with pytest.raises(FutureFormat, match="stream has format 99"):
        look(disk)
