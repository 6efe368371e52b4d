"""Looking into a spool that may be at work: without its lock, without a write, without raising the epoch.

The process that owns the spool changes the files meanwhile. What can be relied on all the same:

- Numbers of segments only rise, and the oldest go first. What appears in a listing before another listing began and is
  not newer than its newest segment is in the other one too, unless it was removed.
- A segment gets its predecessor only after that one was written to its end.
- What was whole once stays as it is until its segment goes. So a ``View`` ends behind the last whole batch that was
  there when it was made, by the rules of a start (tail.py), and whatever it covers is still whole when it is read.
- Bytes behind that are being written, or were left by a crash: nobody was told about them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from shipper.errors import SpoolDenied, SpoolError, SpoolFailed
from shipper.ledger.book import Book
from shipper.spool.body import BEFORE_ALL, CursorValue, Position
from shipper.spool.cursor import FOLDER, is_name
from shipper.spool.disk import Disk, File
from shipper.spool.files import Damage, Segment
from shipper.spool.real_disk import RealDisk
from shipper.spool.recovery import drop_half_made, numbers, read_header, was_used
from shipper.spool.slots import SLOT, SlotsRead, read_slots
from shipper.spool.streams import Identity
from shipper.spool.tail import Recovered, replay

STREAM_FILE: Final = "stream"
_TRIES: Final = 100
T = TypeVar("T", bound=msgspec.Struct)
Looked = TypeVar("Looked")


class LookingDisk(RealDisk):
    """A spool's directory, for reading. It is not made where it is missing, and nothing in it is changed."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._lock = -1

    def names(self, folder: str = "") -> list[str]:
        """See ``Disk``. :raises SpoolDenied: this user may not look."""
        return self._allowed(lambda: super(LookingDisk, self).names(folder))

    def open(self, name: str, *, write: bool = False) -> File:  # noqa: ARG002 - nobody writes here
        """See ``Disk``. :raises SpoolDenied: this user may not read it."""
        return self._allowed(lambda: super(LookingDisk, self).open(name))

    def _allowed(self, look: Callable[[], Looked]) -> Looked:
        try:
            return look()
        except (SpoolError, PermissionError) as error:
            cause = error if isinstance(error, PermissionError) else error.__cause__
            if isinstance(cause, PermissionError):
                text = (
                    f"permission denied: {cause.filename or self._root}; call this as the user of the spool, or as root"
                )
                raise SpoolDenied(text) from error
            raise


@dataclass(slots=True)
class View:
    """A spool at one moment: what ``Reader`` asks of a log, and what people want to know."""

    identity: Identity
    """``epoch`` 0 and an empty incarnation where the file ``stream`` cannot be read."""
    segments: dict[int, Segment]
    durable: Position
    """The end of the last whole batch. Of the newest segment the disk may not hold everything yet: see ``marked``."""
    next_seq: int
    written: int
    """The number behind the last one that stands in the segments; cursors, which are read later, may be beyond it."""
    cursors: dict[str, SlotsRead[CursorValue]]
    snapshot_cursors: dict[str, CursorValue]
    """What the newest snapshot says of cursors: for one whose file is lost."""
    state: dict[str, bytes]
    ledger: Book
    unreadable: list[int]
    """Segments that were used and whose header cannot be read."""
    tail: Damage | None
    """Bytes behind the last whole batch."""

    @property
    def marked(self) -> Position:
        """How far the spool is known to be durable: the cursors say so about once a second."""
        values = [slots.value.durable for slots in self.cursors.values() if slots.value is not None]
        return max(values, default=BEFORE_ALL)

    def backlog(self, cursor: CursorValue) -> tuple[int, int]:
        """Frames and bytes that a sink has not acknowledged and still gets."""
        at = cursor.position
        ahead = sum(segment.end for number, segment in self.segments.items() if number >= at.segment)
        passed = cursor.seq if cursor.lost is None else max(cursor.seq, cursor.lost.next)
        frames = max(0, self.next_seq - passed)
        return frames, max(0, ahead - (at.offset if at.segment in self.segments else 0)) if frames else 0


def look(disk: Disk) -> View:
    """The spool as it is now.

    :raises FutureFormat: a newer shipper wrote some of it.
    :raises SpoolDenied: this user may not read it.
    :raises SpoolError: segments come and go faster than they can be read.
    """
    for _ in range(_TRIES):
        try:
            return _look(disk)
        except FileNotFoundError:  # the newest segment was written, delivered and removed meanwhile
            continue
    raise SpoolError("segments come and go faster than they can be read; try again")


def _look(disk: Disk) -> View:
    newest = max(numbers(disk.names(), "seg"), default=0)
    kept = [number for number in numbers(disk.names(), "seg") if number <= newest]
    cursors = {name: slots_of(disk, f"{FOLDER}/{name}", CursorValue) for name in cursor_names(disk)}
    values = [slots.value for slots in cursors.values() if slots.value is not None]
    found = Recovered()
    unreadable = [number for number in kept if _is_unreadable(disk, number, found)]
    drop_half_made(disk, values, found)
    last = max(found.segments, default=0)
    unreadable = [number for number in unreadable if number < last or was_used(disk, number, values)]
    found.highest = max([*found.segments, *unreadable, *(value.durable.segment for value in values)], default=0)
    found.followed = found.highest > last
    replay(disk, values, found)
    stream = slots_of(disk, STREAM_FILE, Identity).value
    end = found.segments[last].end if last else 0
    return View(
        stream or Identity(found.stream, found.epoch, b""),
        found.segments,
        Position(last, end) if last else BEFORE_ALL,
        max([found.next_seq, *(value.seq for value in values)]),
        found.next_seq,
        {name: slots for name, slots in cursors.items() if not _is_forgotten(slots)},
        {name: value for name, value in found.snapshot.cursors.items() if not _is_forgotten(cursors.get(name))},
        found.snapshot.state,
        found.snapshot.ledger,
        unreadable,
        next((damage for damage in found.damages if not damage.acknowledged), None),
    )


def _is_unreadable(disk: Disk, number: int, found: Recovered) -> bool:
    try:
        return not read_header(disk, number, found)
    except FileNotFoundError:  # every sink has passed it meanwhile
        return False


def cursor_names(disk: Disk) -> list[str]:
    """The names of the sinks that have a cursor, or had one before they were forgotten."""
    return [name for name in disk.names(FOLDER) if is_name(name)]


def _is_forgotten(slots: SlotsRead[CursorValue] | None) -> bool:
    return slots is not None and slots.value is not None and slots.value.forgotten


def slots_of(disk: Disk, name: str, kind: type[T]) -> SlotsRead[T]:
    """What a two-slot file holds. A slot that is being written is read again."""
    found: SlotsRead[T] = SlotsRead()
    for _ in range(_TRIES):
        try:
            file = disk.open(name)
        except FileNotFoundError:
            return SlotsRead()
        try:
            found = read_slots(file.read(2 * SLOT, 0), kind, name)
        except SpoolFailed:
            return SlotsRead(damaged=[0, SLOT])
        finally:
            file.close()
        if not found.damaged:
            break
    return found
