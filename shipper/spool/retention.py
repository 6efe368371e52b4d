"""What stays and what goes: cursors are made durable, then the segments that all of them have passed are unlinked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shipper.spool.body import Position
from shipper.spool.cursor import Cursor
from shipper.spool.disk import Disk
from shipper.spool.files import DAMAGE_KEY, ENDED_KEY, segment_name, snapshot_name

if TYPE_CHECKING:
    from shipper.spool.log import Log


def sync_cursors(cursors: Iterable[Cursor], durable: Position, *, moved_only: bool = True) -> None:
    """Write the cursors (that moved), and how far the spool is durable. :raises SpoolFailed: the disk refused."""
    for cursor in cursors:
        cursor.persist(durable, moved_only=moved_only)


def reclaim(disk: Disk, log: "Log") -> int:
    """Unlink the segments that every cursor has passed; returns how many.

    :raises SpoolFailed: the disk refused.
    """
    oldest = min(cursor.value.position.segment for cursor in log.cursors.values())
    gone = [number for number in sorted(log.segments) if number < min(oldest, log.durable.segment)]
    if not gone:
        return 0
    log.sync_cursors()
    for number in gone:
        disk.unlink(segment_name(number))
        disk.unlink(snapshot_name(number))
        for key in [key for key in log.state if key.startswith(f"{DAMAGE_KEY}{number}/")]:
            del log.state[key]
        log.state.pop(f"{ENDED_KEY}{number}", None)
    log.segments = {number: segment for number, segment in log.segments.items() if number not in gone}
    return len(gone)
