"""The segment that is being written: a group of entries gathers, and becomes durable in one write and one sync."""

import contextlib
from dataclasses import dataclass
from typing import Final

from shipper.errors import SpoolFailed
from shipper.spool.disk import File
from shipper.spool.files import Segment
from shipper.spool.frame import crc32c
from shipper.spool.segment import ENVELOPE_SIZE, Entry, EntryType, Envelope


@dataclass(slots=True)
class Group:
    """What the next flush makes true."""

    next_seq: int
    """The number that its first frame gets."""
    safe: int = 0
    """Outcomes of this commit that are true already."""


class Active:
    """Owned by the spool's writer. After a SpoolFailed it takes nothing more: ``abandon`` it."""

    def __init__(self, segment: Segment, file: File, *, notes: bool) -> None:
        self.segment: Final = segment
        self.notes: Final = notes
        """It was begun where there was no room for data."""
        self._file = file
        self.end = segment.end
        """Where the next entry goes."""
        self._synced = segment.end
        self.entries = 1
        self.group: list[Entry] = []
        """What the next ``flush`` writes."""

    @property
    def room(self) -> int:
        """Bytes that entries may still take; the last envelope's room is kept for the SEAL."""
        return self.segment.header.size - ENVELOPE_SIZE - self.end

    def add(self, kind: EntryType, flags: int, seq: int, frame: bytes, check: int, body: bytes) -> None:
        """Put an entry into the group."""
        envelope = Envelope(kind, flags, seq, self._synced, len(frame), len(body), check, crc32c(body))
        self.group.append(Entry(envelope, self.end, frame, body))
        self.end += envelope.size
        self.entries += 1

    def flush(self) -> list[Entry]:
        """Write and sync the group, and empty it; the entries that are durable now.

        :raises SpoolFailed: the disk refused; nothing of the group may be relied on.
        """
        group = self.group
        if not group:
            return group
        header = self.segment.header
        parts: list[bytes] = []
        for entry in group:
            parts += (entry.envelope.encode(header.seed(entry.offset)), entry.frame, entry.body)
        self._file.write(parts, group[0].offset)
        self._file.sync()
        self._synced = self.segment.end = self.end
        self.group = []
        return group

    def seal(self, seq: int) -> list[Entry]:
        """Say that nothing follows; a crash may keep the room that is given back here.

        :raises SpoolFailed: the disk refused.
        """
        self.add(EntryType.SEAL, 0, seq, b"", 0, b"")
        entries = self.flush()
        self._cut()
        return entries

    def _cut(self) -> None:
        self._file.truncate(self._synced)
        self.segment.size -= self.segment.header.size - self._synced

    def abandon(self) -> None:
        """Leave it as it was synced last. What follows may be on the disk all the same, now or after a crash."""
        with contextlib.suppress(SpoolFailed):
            self._cut()
        self._file.close()

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()
