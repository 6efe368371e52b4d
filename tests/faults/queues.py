"""The queue of a real agent on a disk in memory, where it is damaged and opened again without a process.

What a sink would be given then, and what the agent would read again from its files, must be every line once, but for
those that are reported as lost.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

from faults.oracle import line, place_of
from faults.row import Outcome, Run
from faults.site import PATIENCE, Site
from support.processes import wait_for
from support.simdisk import SimDisk

from shipper.sinks.base import Gap
from shipper.sources.file.identity import decode_position
from shipper.spool.body import Position
from shipper.spool.files import Damage
from shipper.spool.frame import Frame
from shipper.spool.inspect import LookingDisk, look
from shipper.spool.store import Store

QUEUE: Final = 64 * 1024
"""Bytes that a queue has at least."""
SPOOL: Final = "spool: {max_bytes: 2MiB}\nbatch: {max_bytes: 8KiB}\nshutdown_timeout: 100ms\n"
"""Of the agent's config."""
SIZE: Final = 60
"""Of a line, see ``oracle.line``."""
_MAX_BYTES: Final = 2 * 1024 * 1024
_POSITIONS: Final = "source/app/"

Place = tuple[str, int]
"""A line: its file and number."""
Span = tuple[str, int, int]
"""Lines of a file that follow each other: the first one, and the one after the last."""


@dataclass
class Queue:
    """A queue on a disk in memory, and what is in it."""

    name: str
    disk: SimDisk
    raw: dict[int, bytes]
    """The frames, by number."""
    spans: dict[int, list[Span]]
    """The lines of each frame."""
    begins: dict[str, list[int]]
    """By file: where each of its lines begins, and where the last one ends."""

    @property
    def files(self) -> dict[str, int]:
        """What can be damaged, each with the size of what was written of it."""
        names = [f"{folder}/{name}".lstrip("/") for folder in self.disk.folders for name in self.disk.names(folder)]
        return {name: len(self.disk.contents(name).rstrip(b"\0")) for name in names if name != "reserve"}

    @property
    def written(self) -> int:
        return sum(len(begins) - 1 for begins in self.begins.values())


@dataclass
class Opened:
    """What a queue gave."""

    frames: dict[int, list[Place | None] | None] = field(default_factory=dict)
    """By number, the lines of what a sink is given: None for a frame that is as it was known, None for a line that was
    altered.
    """
    missing: set[int] = field(default_factory=set)
    """Numbers of frames that a sink is told are lost."""
    found: dict[tuple[int, int], Damage] = field(default_factory=dict)
    """By place: what was reported."""
    positions: dict[str, int] = field(default_factory=dict)
    """By file: where the agent reads on."""

    @property
    def reported(self) -> set[int]:
        """Numbers that were reported as lost."""
        return {number for damage in self.found.values() for number in range(damage.first, damage.last + 1)}


def in_memory(spool: Path) -> SimDisk:
    """A copy of a spool that nobody has open."""
    disk = SimDisk()
    for path in sorted(spool.rglob("*")):
        name = str(path.relative_to(spool))
        if path.is_dir():
            disk.make_folder(name)
        elif name != "lock":
            disk.put(name, path.read_bytes())
    return disk.copy()


def open_queue(disk: SimDisk, known: Mapping[int, bytes]) -> Opened:
    """Open it as an agent does, and read it as a sink."""
    it = Opened()
    store = Store(disk, _MAX_BYTES, 1 << 20, ["central"])

    def damaged(damage: Damage) -> None:
        it.found[damage.segment, damage.start] = damage

    for damage in store.log.damages:
        damaged(damage)
    reader = store.reader(damaged)
    cursor = store.log.cursors["central"].value
    reader.seek(cursor.position, cursor.seq, cursor.lost)
    while (read := reader.step()) is not None:
        if read.item is None:
            continue
        if isinstance(read.item.body, Gap):
            it.missing.update(range(read.item.seq, read.next))
        else:
            same = read.item.body.raw == known.get(read.item.seq)
            it.frames[read.item.seq] = None if same else _lines(read.item.body)
    for key, value in store.log.state.items():
        if key.startswith(_POSITIONS):
            _, position = decode_position(key.removeprefix(_POSITIONS), value)
            it.positions[Path(position.path.decode()).stem] = position.offset
    store.abandon()
    return it


def _lines(frame: Frame) -> list[Place | None]:
    payload = frame.payload()
    return [place_of(text.decode(errors="replace")) for text in payload.data.splitlines()] if payload else []


def _spans(lines: Iterable[Place | None]) -> list[Span]:
    spans: list[Span] = []
    for file, number in filter(None, lines):
        if spans and spans[-1][0] == file and spans[-1][2] == number:
            spans[-1] = (file, spans[-1][1], number + 1)
        else:
            spans.append((file, number, number + 1))
    return spans


def places_of(spans: Iterable[Span]) -> Iterator[Place]:
    for file, first, end in spans:
        yield from ((file, number) for number in range(first, end))


def queue_of(run: Run, name: str, *, killed: bool) -> Queue:
    """Have an agent make one, whose collector is away."""
    place = run.place / name
    place.mkdir()
    with Site(Run(place, 0, run.seed, run.dice), more={"agent": SPOOL}, rate=4_000, size=SIZE) as site:
        spool = site.homes["agent"] / "spool"
        site.start("agent")
        site.load.start()
        wait_for(lambda: look(LookingDisk(spool)).durable.offset >= QUEUE, site.trouble, PATIENCE)
        site.load.finish()
        if killed:
            site.nodes["agent"].kill()
        else:
            assert site.nodes["agent"].stop() == 0, site.trouble()
        begins = {
            file: list(accumulate((len(line(file, at, SIZE)) + 1 for at in range(count)), initial=0))
            for file, count in site.load.written.items()
        }
    disk = in_memory(spool)
    it = contents(disk)
    return Queue(name, disk, it.raw, it.spans, begins)


@dataclass
class Contents:
    """What stands in a queue, by number."""

    raw: dict[int, bytes] = field(default_factory=dict)
    """The frames."""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    """Their lines."""
    places: dict[int, Position] = field(default_factory=dict)
    """Where they stand."""


def contents(disk: SimDisk, gone: Collection[int] = frozenset()) -> Contents:
    """Of a queue that is not damaged but for the frames that are ``gone``."""
    store = Store(disk.copy(), _MAX_BYTES, 1 << 20, ["central"])

    def damaged(damage: Damage) -> None:
        assert all(number in gone for number in range(damage.first, damage.last + 1)), (
            f"nobody damaged it yet: {damage}"
        )

    reader = store.reader(damaged)
    cursor = store.log.cursors["central"].value
    reader.seek(cursor.position, cursor.seq, cursor.lost)
    it = Contents()
    while (read := reader.step()) is not None:
        if read.item is not None and isinstance(read.item.body, Frame):
            it.raw[read.item.seq] = read.item.body.raw
            it.spans[read.item.seq] = _spans(_lines(read.item.body))
            it.places[read.item.seq] = read.at
    store.abandon()
    return it


def held(spool: Path) -> int:
    """The number behind the last one that a collector, which has ended, has of its one sender; 0: it has none."""
    store = Store(in_memory(spool), _MAX_BYTES, 1 << 20, ["archive"])
    store.abandon()
    return max((mark.next for mark in store.log.held.values()), default=0)


def judge_opened(queue: Queue, it: Opened, outcome: Outcome) -> None:
    """What a sink gets and what the agent reads again is every line once, but for those reported as lost."""
    given: dict[str, list[tuple[int, int]]] = {file: [] for file in queue.begins}
    for seq, found in it.frames.items():
        for file, first, end in queue.spans[seq] if found is None else _spans(found):
            given.setdefault(file, []).append((first, end))
        outcome.altered += found is not None and None in found
    lost: set[Place] = set()
    for file, spans in given.items():
        begins = queue.begins.get(file, [0])
        offset = it.positions.get(file, 0)
        again = bisect_left(begins, offset)
        outcome.altered += begins[again] != offset  # it would begin inside of a line
        due = 0
        for first, end in [*spans, (again, len(begins) - 1)]:
            outcome.doubled += max(0, min(due, end) - first)
            lost.update((file, number) for number in range(due, first))
            due = max(due, end)
        outcome.altered += due - (len(begins) - 1)
    reported = {number for number in it.reported if number in queue.spans}
    outcome.lost += len(lost.difference(*(places_of(queue.spans[number]) for number in reported)))
    assert not reported & it.frames.keys(), f"{it.found} were reported as lost and shipped"
