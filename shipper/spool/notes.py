"""Damage that was met: a copy of its bytes is kept, and what is lost is noted for good.

A note is an entry like any other. What finds no room for it waits.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipper.spool.body import GapNote
from shipper.spool.disk import Disk
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, quarantine, segment_name

if TYPE_CHECKING:
    from shipper.spool.log import Log


class Notes:
    """Those of one log; called by its thread."""

    def __init__(self, disk: Disk, log: "Log") -> None:
        self._disk = disk
        self._log = log
        self._waiting: list[Damage] = []

    @property
    def behind(self) -> bool:
        """Something waits for room."""
        return bool(self._waiting)

    def report(self, damage: Damage) -> bool:
        """Keep a copy of damaged bytes and note what is lost; False when that was done before.

        :raises SpoolFailed: the disk refused.
        """
        quarantine(self._disk, segment_name(damage.segment), damage.start, damage.end)
        return damage not in self._waiting and self.note([damage])

    def note(self, damages: Sequence[Damage]) -> bool:
        """Note what is not noted yet, and is copied. :raises SpoolFailed: the disk refused."""
        new = [damage for damage in damages if not damage.noted_in(self._log.state)]
        drafts = []
        for damage in new:
            lost = damage.last >= damage.first
            note = GapNote(self._log.stream, damage.first, damage.last, -1, damage.reason) if lost else None
            drafts.append(EntryDraft(state=damage.note(), gap=note))
        self._waiting += new[len(self._log.commit(drafts)) :]
        return bool(new)

    def tend(self) -> None:
        """Note what waited. :raises SpoolFailed: the disk refused."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.note(waiting)
