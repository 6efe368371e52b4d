"""What a spool does, without threads: the log, the entries written last, and the dead letters' files.

The spool's writer drives it; so do the tests that crash it at every step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from shipper.errors import DiskFull, SpoolFailed
from shipper.spool import replayed
from shipper.spool.body import CursorValue
from shipper.spool.dead_letters import DeadLetters
from shipper.spool.disk import TRIES, Disk
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage, bound_quarantine
from shipper.spool.log import NOTHING, Log, Outcome
from shipper.spool.reader import Reader, Recent
from shipper.spool.retention import Retention
from shipper.units import Share

DEAD_LETTER_CURSOR: Final = "_dead_letters"
"""The cursor behind which dead letters were copied; no sink can have this name."""


class Store:
    """One opened spool. Owned by one thread; readers may be used on others."""

    def __init__(
        self,
        disk: Disk,
        max_bytes: int,
        dead_letter_bytes: int,
        sinks: Iterable[str],
        min_free: Share = NOTHING,
        limits: Mapping[str, int | None] | None = None,
    ) -> None:
        """Recover what is there and get ready to write. Dead letters take at most a quarter of the disk.

        ``limits``: the sinks that may drop, and how many bytes each may hold back (None: as many as fit).

        :raises FutureFormat: a newer shipper wrote some of it; nothing was changed.
        :raises SpoolFailed: the disk refused.
        """
        self._disk = disk
        self.dead: Final = DeadLetters(disk, min(dead_letter_bytes, disk.space().total // 4))
        self.log: Final = Log(disk, max_bytes, [*sinks, DEAD_LETTER_CURSOR], min_free, limits or {})
        self.retention: Final = Retention(disk, self.log, limits or {})
        self._recent: Final = Recent()
        self.log.published = self._recent.add
        self._cursor: Final = self.log.cursors[DEAD_LETTER_CURSOR]
        self._delayed = False
        """There are dead letters that found no room: their entries stay until they do."""
        floor = self._replayed().floor
        self.log.reserve.use(lambda: self.dead.begin(self.log.identity.home, self._cursor.value.position, floor))
        self._copy_dead_letters()
        bound_quarantine(disk, self.log.bounded // 16)  # a repair, which opens a log, removes nothing

    def reader(self, damaged: Callable[[Damage], None]) -> Reader:
        """A reader for one sink; ``damaged`` is told, on the reader's thread, of every damage that it meets."""
        return Reader(self._disk, self.log, self._recent, damaged)

    def commit(self, drafts: Sequence[EntryDraft]) -> list[Outcome]:
        """Write a group (see ``Log.commit``), and copy its dead letters.

        :raises SpoolFailed: the disk refused; nothing of this call may be acknowledged.
        """
        self._recent.trim(min(cursor.value.position for cursor in self.log.cursors.values()))
        outcomes = self.log.commit(drafts)
        if any(draft.dead_letters for draft in drafts[: len(outcomes)]):
            self._copy_dead_letters()
        elif not self._delayed:
            self._cursor.place(CursorValue(self.log.next_seq, self.log.durable))
        return outcomes

    @property
    def behind(self) -> bool:
        """A full disk kept something from being done: ``tend`` does it."""
        return self._delayed or self.log.behind

    def tend(self) -> None:
        """Do what a full disk kept from being done, as far as there is room now. :raises SpoolFailed: it refused."""
        self.log.tend()
        if self._delayed:
            self._copy_dead_letters()

    def _copy_dead_letters(self) -> None:
        """Copy the dead letters of the entries behind the cursor, then pass those entries; later if there is no room.

        :raises SpoolFailed: the disk refused three times.
        """
        for attempt in range(1, TRIES + 1):
            try:
                self.log.reserve.use(self._copy)
                break
            except DiskFull:
                self._delayed = True
                return
            except SpoolFailed:
                self.dead.abandon()
                if attempt == TRIES:
                    raise
        self._delayed = False
        self._cursor.place(CursorValue(self.log.next_seq, self.log.durable))

    def _copy(self) -> None:
        reader = self.reader(lambda _damage: None)
        reader.seek(self._cursor.value.position, self._cursor.value.seq)
        while (read := reader.step()) is not None:
            if read.dead_letters:
                self.dead.write(read.at.segment, read.at.offset, read.dead_letters)
        reader.close()
        self.dead.sync()

    def strike(self) -> int:
        """Strike the letters out that the last durable replay was of, and that a crash may have left; how many.

        :raises DiskFull: some are not in their files yet; the same call can be made again. :raises SpoolFailed: so too.
        """
        last = self._replayed()
        if last.letters and self._delayed:
            self._copy_dead_letters()
            if self._delayed:
                raise DiskFull("dead letters wait for room on the disk; free some space")
        if last.letters:
            replayed.strike(self._disk, last)
        return len(last.letters)

    def drop_letters(self, files: Mapping[str, int]) -> int:
        """Remove files of dead letters that were replayed, each with its size when that was found out; how many.

        The state's ``floor`` covers them. :raises SpoolFailed: the disk refused.
        """
        self.dead.drop(files, self._replayed().floor)
        return len(files)

    def _replayed(self) -> replayed.Replayed:
        return replayed.decode(self.log.state.get(replayed.KEY))

    def close(self) -> None:
        """Seal the log, write the cursors, give everything back. :raises SpoolFailed: the disk refused."""
        self.log.close()
        self.dead.close()

    def abandon(self) -> None:
        """Give the descriptors back without writing anything."""
        self.log.abandon()
        self.dead.close()


def open_store(make: Callable[[], Store], refused: Callable[[SpoolFailed], None]) -> Store:
    """Open a store; where the disk refuses begin again as the next process would, three times in a row at most.

    ``refused`` is told what the disk said.

    :raises DiskFull: there is not even room for the few KiB that an opening needs.
    :raises SpoolFailed: the third time.
    """
    attempt = 1
    while True:
        try:
            return make()
        except DiskFull as error:
            text = f"{error}: not even the few KiB that a start needs are free; free some space and start again"
            raise DiskFull(f"{text} (systemd and Kubernetes do by themselves)") from error
        except SpoolFailed as error:
            if attempt == TRIES:
                raise
            refused(error)
        attempt += 1
