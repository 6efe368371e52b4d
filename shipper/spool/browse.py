"""The frames of a spool in order, for people: what ``Reader`` gives a sink, without a sink.

Segments may go while they are read. That is no damage: every sink has what they held.
"""

from collections.abc import Iterator
from typing import NamedTuple

from shipper.errors import SpoolError
from shipper.sinks.base import Gap, Item
from shipper.spool.body import CursorValue, Lost, Position
from shipper.spool.disk import Disk
from shipper.spool.files import Damage, segment_name
from shipper.spool.inspect import View
from shipper.spool.reader import Reader, Recent
from shipper.spool.segment import HEADER_SIZE


class Step(NamedTuple):
    """One step through the spool."""

    item: Item | None
    """None: the bytes of ``damage`` held no frame."""
    damage: Damage | None = None
    """What is wrong with the disk at this place; the item is then the gap in place of what was lost."""
    passed: bool = False
    """The frames of the item, a gap, were delivered to every sink and removed meanwhile."""


def start_of(view: View, seq: int) -> tuple[Position, int]:
    """Where to begin to read for number ``seq``: the beginning of its segment, and the first number there."""
    before = [number for number, segment in view.segments.items() if segment.header.first <= seq]
    if not view.segments:
        return view.durable, view.next_seq
    number = max(before, default=min(view.segments))
    return Position(number, HEADER_SIZE), view.segments[number].header.first


def cursor_of(view: View, sink: str) -> CursorValue:
    """A sink's cursor; where its file is damaged, the newest snapshot's.

    :raises SpoolError: there is no such sink.
    """
    slots = view.cursors.get(sink)
    value = slots.value if slots is not None else None
    value = value or view.snapshot_cursors.get(sink)
    if value is not None:
        return value
    if slots is not None:
        position, seq = start_of(view, 0)
        return CursorValue(seq, position)
    known = ", ".join(sorted(name for name in view.cursors if not name.startswith("_"))) or "none"
    raise SpoolError(f"no sink {sink!r} has a cursor in this spool; there are: {known}")


def browse(disk: Disk, view: View, position: Position, seq: int, lost: Lost | None = None) -> Iterator[Step]:
    """Everything from ``position`` on, where ``seq`` is the next number expected, to the end of the view.

    ``lost``: what is missing to a sink before its position.

    :raises FutureFormat: a newer shipper wrote some of it.
    """
    met: list[Damage] = []
    reader = Reader(disk, view, Recent(), met.append)
    reader.seek(position, seq, lost)
    try:
        while (read := reader.step()) is not None:
            damages = list(met)
            met.clear()
            if not damages:
                if read.item is not None:
                    yield Step(read.item)
                continue
            *others, last = damages
            for damage in others:
                yield Step(None, damage)
            is_gap = read.item is not None and isinstance(read.item.body, Gap)
            passed = _is_gone(disk, last.segment)
            if is_gap:
                yield Step(read.item, None if passed else last, passed)
            else:
                if not passed:
                    yield Step(None, last)
                if read.item is not None:
                    yield Step(read.item)
    finally:
        reader.close()
    for damage in met:
        yield Step(None, damage)


def _is_gone(disk: Disk, segment: int) -> bool:
    try:
        disk.size(segment_name(segment))
    except FileNotFoundError:
        return True
    return False
