"""What a journal does not have, or not any more: said, and counted where its numbers tell."""

from collections.abc import Sequence
from typing import Final

from shipper.log import get_logger
from shipper.sources.base import Intake
from shipper.sources.journald.export import sequence

_REMIND: Final = 60.0
log = get_logger("journald")


class Missing:
    """The entries that one source did not find in its journal."""

    def __init__(self, intake: Intake, journal: str, *, filtered: bool) -> None:
        """``filtered``: not all entries are read, so numbers that do not come mean nothing."""
        self._source = intake.name
        self._journal = journal
        self._filtered = filtered
        self.entries = 0
        """Since the start, as far as it is known."""
        intake.metrics.counter_function(
            "shipper_source_missing_entries_total", lambda: self.entries, source=intake.name
        )

    def cut(self) -> None:
        """The newest of what was read is not there."""
        log.warning(
            "the journal has lost entries that were read, in a power cut: reading goes on behind what it has left",
            source=self._source,
            journal=self._journal,
        )

    def gone(self, last: str, first: str) -> None:
        """The entry that was read last is not there, and ``first`` comes. Where entries are counted, ``between`` says
        how many are lost.
        """
        before, now = sequence(last), sequence(first)
        counted = not self._filtered and before is not None and now is not None and before[0] == now[0]
        if not counted:
            log.warning(
                "the entry that was read last is not in the journal any more: entries after it may be lost",
                source=self._source,
                journal=self._journal,
            )

    def between(self, last: str, cursors: Sequence[str]) -> None:
        """Say how many entries are missing between the one that was read last and the newest. The journal numbers them;
        those that are filtered away, or not for this user, cannot be told from those that are lost.
        """
        before, now = sequence(last or cursors[0]), sequence(cursors[-1])
        if self._filtered or before is None or now is None or before[0] != now[0]:
            return
        missing = now[1] - before[1] - len(cursors) + (not last)
        if missing > 0:
            self.entries += missing
            log.error(
                "entries of the journal are missing: removed or damaged before they were read, or not for this user",
                source=self._source,
                journal=self._journal,
                entries_since_start=self.entries,
                every=_REMIND,
                key=self._source,
            )
