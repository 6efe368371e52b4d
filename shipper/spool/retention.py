"""What stays and what goes: cursors are made durable, then the segments that all of them have passed are unlinked.

A sink that was removed from the config has its cursor here still, and so its frames. They are the first to give way
(dropping.py says who else does); ``forget`` gives them up at once.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from shipper.errors import DiskFull, SpoolError
from shipper.spool.body import CursorValue, Position
from shipper.spool.cursor import FOLDER, Cursor, is_name
from shipper.spool.disk import Disk
from shipper.spool.draft import EntryDraft
from shipper.spool.dropping import DROP_OLDEST, SINK_REMOVED, Drop, Dropped, plan_backlogs, plan_room, record_counts
from shipper.spool.files import DAMAGE_KEY, ENDED_KEY, segment_name, snapshot_name
from shipper.spool.forgone import first_due, of_drop
from shipper.spool.slots import Slots

if TYPE_CHECKING:
    from shipper.spool.log import Log

_MOSTLY_FULL: Final = 2 / 3
"""The share of ``max_bytes`` from which on removed sinks give way: before a full spool is felt anywhere."""


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


class Retention:
    """Makes sinks give way. Owned by the spool's writer."""

    def __init__(self, disk: Disk, log: "Log", limits: Mapping[str, int | None]) -> None:
        """``limits``: the sinks that may drop, and how many bytes each may hold back (None: as many as fit)."""
        self._disk = disk
        self._log = log
        self._limits = limits
        self.dropped: list[Dropped] = []
        """What removed sinks lost, until somebody takes it out and tells it."""

    def make_way(self, *, blocked: bool) -> list[Drop]:
        """Free what removed sinks hold back and is needed; what sinks of the config must give up is returned.

        Those move their cursors themselves (``Cursor.drop``), on the thread that they belong to; ``reclaim`` follows.
        ``blocked``: an append found no room.

        :raises DiskFull: the ledger cannot be told of it now. :raises SpoolFailed: the disk refused.
        """
        log = self._log
        while blocked or log.used > _MOSTLY_FULL * log.max_bytes:
            drops = plan_room(self._disk, log, {})
            if not drops:
                break
            self._enter(drops)
            self._take_from_removed(drops)
            if log.reclaim():  # at once: what is told as lost would come after all if the process were killed now
                blocked = False
        drops = plan_room(self._disk, log, self._limits) if blocked else []
        self._enter(drops)
        self._take_from_removed(drops)
        drops = [drop for drop in drops if drop.reason == DROP_OLDEST]
        if not drops:
            drops = plan_backlogs(self._disk, log, self._limits)
            self._enter(drops)
        return drops

    def _enter(self, drops: Iterable[Drop]) -> None:
        """Have the ledger know what sinks are about to lose, before their cursors move. A drop that does not happen,
        because the sink had it all the same, was counted in vain; the other order could lose count.

        :raises DiskFull: there is no room for that now; so nothing may be dropped either.
        """
        forgone = [one for drop in drops for one in of_drop(self._disk, self._log, drop)]
        if forgone and not self._log.commit([EntryDraft(forgone=forgone)]):
            raise DiskFull("there is no room to note what is about to be dropped")

    def _take_from_removed(self, drops: Iterable[Drop]) -> None:
        for drop in drops:
            if drop.reason == SINK_REMOVED:
                cursor = self._log.cursors[drop.sink]
                first = first_due(cursor.value)
                cursor.drop(drop)
                records = max(0, drop.records(first))
                self.dropped.append(Dropped(drop.sink, SINK_REMOVED, max(0, drop.next - first), records))

    def forget(self, sink: str) -> int:
        """Give up a removed sink for good; the bytes that became free.

        :raises SpoolError: the config has it, or nobody knows it.
        :raises SpoolFailed: the disk refused.
        """
        log = self._log
        if sink not in log.removed:
            raise SpoolError(_not_to_forget(sink, sink in log.cursors, log.removed))
        cursor = log.cursors[sink]
        first = first_due(cursor.value)
        before, records = log.used, self._records(cursor.value.position.segment, first)
        log.reserve.use(cursor.forget)
        log.cursors = {name: other for name, other in log.cursors.items() if name != sink}
        log.removed = log.removed - {sink}
        cursor.close()
        log.reclaim()
        if log.next_seq > first:
            self.dropped.append(Dropped(sink, SINK_REMOVED, log.next_seq - first, records))
        return before - log.used

    def _records(self, number: int, first: int) -> int:
        """Those from number ``first`` on, in the segments from one on; what cannot be read is not counted."""
        return sum(
            max(0, records)
            for at, segment in sorted(self._log.segments.items())
            if at >= number
            for seq, records in record_counts(self._disk, segment)
            if seq >= first
        )


def _not_to_forget(sink: str, configured: bool, removed: Iterable[str]) -> str:
    if configured:
        return f"the config has the sink {sink!r}: remove it there and restart, then forget it"
    known = ", ".join(sorted(removed))
    return f"no sink {sink!r} was removed from the config" + (f"; those that were: {known}" if known else "")


def removed_sinks(disk: Disk, sinks: Iterable[str] = ()) -> list[str]:
    """Sinks whose cursors are on a disk, without those named and those that were forgotten.

    :raises FutureFormat: a newer shipper wrote a cursor.
    """
    known = {*sinks, "_dead_letters"}
    return [name for name in disk.names(FOLDER) if is_name(name) and name not in known and _value(disk, name)]


def _value(disk: Disk, name: str) -> CursorValue | None:
    slots = Slots(disk, f"{FOLDER}/{name}", CursorValue)
    slots.close()
    return None if slots.value is None or slots.value.forgotten else slots.value


def forget_sink(disk: Disk, name: str) -> None:
    """Give up a sink in a spool that no process has open (the caller holds its lock). The next start reclaims.

    Whether a config still has it is for the caller to know: such a sink would begin anew, at the tail.

    :raises SpoolError: no sink of this name has a cursor here.
    :raises SpoolFailed: the disk refused.
    :raises FutureFormat: a newer shipper wrote the cursor.
    """
    known = removed_sinks(disk)
    if name not in known:
        raise SpoolError(f"no sink {name!r} has a cursor here; those that have: {', '.join(known) or 'none'}")
    slots = Slots(disk, f"{FOLDER}/{name}", CursorValue)
    value = slots.value or CursorValue(0, Position(0, 0))
    slots.write(msgspec.structs.replace(value, forgotten=True))
    slots.close()
