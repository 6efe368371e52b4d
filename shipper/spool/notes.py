"""Damage that was met: a copy of its bytes is kept, and what is lost is noted for good.

A note is an entry like any other. What finds no room for it waits.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipper.spool.body import GapNote
from shipper.spool.disk import Disk
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, quarantine, segment_name
from shipper.spool.forgone import of_damage, stretch, waiting_for

if TYPE_CHECKING:
    from shipper.spool.log import Log

_Met = tuple[Damage, str]
"""Damage, and the sink whose reader met it; empty: nobody's."""


class Notes:
    """Those of one log; called by its thread."""

    def __init__(self, disk: Disk, log: "Log") -> None:
        self._disk = disk
        self._log = log
        self._waiting: list[_Met] = []
        self._here: set[Damage] = set()
        """What was noted in this life."""
        self._told: set[tuple[str, int]] = set()
        """Sinks of which the ledger knows what they lost by damage in a segment."""

    @property
    def behind(self) -> bool:
        """Something waits for room."""
        return bool(self._waiting)

    def report(self, damage: Damage, sink: str = "") -> bool:
        """Keep a copy of damaged bytes and note what is lost; False when that was done before. ``sink``: who met it.

        :raises SpoolFailed: the disk refused.
        """
        quarantine(self._disk, segment_name(damage.segment), damage.start, damage.end)
        met = (damage, sink)
        return met not in self._waiting and self._note([met])

    def note(self, damages: Sequence[Damage]) -> None:
        """Note what is not noted yet, and is copied. :raises SpoolFailed: the disk refused."""
        self._note([(damage, "") for damage in damages])

    def tend(self) -> None:
        """Note what waited. :raises SpoolFailed: the disk refused."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._note(waiting)

    def _note(self, met: Sequence[_Met]) -> bool:
        due, drafts, new = [], [], False
        for damage, sink in met:
            noted = damage.noted_in(self._log.state)
            new = new or not noted
            draft = self._draft(damage, sink, noted=noted)
            if draft is not None:
                due.append((damage, sink))
                drafts.append(draft)
        taken = len(self._log.commit(drafts))
        for (damage, _), draft in zip(due[:taken], drafts, strict=False):
            self._here.add(damage)
            at = stretch(self._log.segments, damage.first)
            self._told.update((one.sink, at) for one in draft.forgone)
        self._waiting += due[taken:]
        return new

    def _draft(self, damage: Damage, sink: str, *, noted: bool) -> EntryDraft | None:
        """What the sinks lose that it still is due to, and the one that met it: that may have passed it by now.

        What was noted in an earlier life, all that waited for it were told of then.
        """
        if noted and damage not in self._here:
            return None
        sinks = set() if noted else set(waiting_for(damage, self._log))
        sinks |= {sink} & self._log.cursors.keys()
        at = stretch(self._log.segments, damage.first)
        untold = sorted(name for name in sinks if (name, at) not in self._told)
        forgone = of_damage(self._disk, self._log, damage, untold)
        if noted:
            return EntryDraft(forgone=forgone) if forgone else None
        lost = damage.last >= damage.first
        note = GapNote(self._log.stream, damage.first, damage.last, -1, damage.reason) if lost else None
        return EntryDraft(state=damage.note(), gap=note, forgone=forgone)
