"""A sink's cursor: what it has acknowledged, kept in a two-slot file (slots.py).

It moves in memory with every acknowledgement and is written about once a second, and always before a segment behind it
is unlinked. A cursor that is older than the truth costs duplicates, which the next hop drops.
"""

import re

import msgspec

from shipper.errors import SpoolError
from shipper.spool.body import CursorValue, Position
from shipper.spool.disk import Disk
from shipper.spool.dropping import Drop, after_ack, after_drop
from shipper.spool.slots import Slots

FOLDER = "cursors"
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


def is_name(name: str) -> bool:
    """Whether a sink can have this name, and so a cursor's file."""
    return _SAFE.fullmatch(name) is not None


class Cursor:
    """One sink's cursor. ``value`` is replaced by the delivery, written to disk by the spool's writer."""

    def __init__(self, disk: Disk, name: str) -> None:
        """:raises SpoolError: the name cannot be a file's. :raises FutureFormat: a newer shipper wrote it."""
        if not is_name(name):
            raise SpoolError(f"a sink cannot be called {name!r}; use letters, digits, '_', '-' and '.', at most 100")
        disk.make_folder(FOLDER)
        self.name = name
        self._slots = Slots(disk, f"{FOLDER}/{name}", CursorValue)
        self.value = self._slots.value or CursorValue(0, Position(0, 0))
        self.forgotten = self.value.forgotten
        """The sink was given up: what the file says does not count."""
        self.exists = self._slots.exists and not self.forgotten
        self.known = self._slots.value is not None and not self.forgotten
        self.suspect = self._slots.damaged
        """A slot is damaged: the value may be older than the last one written."""

    def place(self, value: CursorValue) -> None:
        """Move in memory."""
        self.value = value
        self.known = True

    def ack(self, seq: int, position: Position, crc: int, records: int) -> None:
        """Move in memory behind what was acknowledged: see ``dropping.after_ack``."""
        self.place(after_ack(self.value, seq, position, crc, records))

    def drop(self, drop: Drop) -> bool:
        """Give way in memory; False when it stands behind that already."""
        value = after_drop(self.value, drop)
        if value is not None:
            self.place(value)
        return value is not None

    def forget(self) -> None:
        """Say for good that the sink is given up. The file goes at the next start, when no snapshot names it.

        Called by the writer only. :raises SpoolFailed: the old value is still in force.
        """
        self._slots.write(msgspec.structs.replace(self.value, forgotten=True))

    def persist(self, durable: Position, *, moved_only: bool = True) -> None:
        """Write the value, and how far the spool is durable now. Called by the writer only.

        :raises SpoolFailed: the old value is still in force.
        """
        value, written = self.value, self._slots.value
        moved = written is None or (written.seq, written.position) != (value.seq, value.position)
        if moved or not moved_only:
            self._slots.write(msgspec.structs.replace(value, durable=durable))

    def close(self) -> None:
        """Give the descriptor back."""
        self._slots.close()
