"""Two-slot files: a small value that is replaced in place and survives a torn write.

A file of 1,024 bytes holds two slots of 512; each write goes to the older one, so that the newer is whole whatever
happens. The value with the highest generation whose checksum holds is the one in force. The room is allocated once:
writing needs no free disk. A slot's frame (magic, version, checksum at its end) is the same in every version.

    offset size  (of a slot; little-endian)
     0      4    magic ``SHPC``
     4      2    version of this format: 1
     6      2    length of the value
     8      8    generation, +1 a write
    16      n    the value, msgpack
    508     4    CRC32C of bytes 0..507
"""

import struct
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import msgspec

from shipper.errors import UNREADABLE, DiskFull, FutureFormat, SpoolFailed
from shipper.spool.disk import TRIES, Disk, File, read_again
from shipper.spool.frame import crc32c

_MAGIC: Final = b"SHPC"
_VERSION: Final = 1
SLOT: Final = 512
"""Bytes of a slot."""
_HEAD: Final = struct.Struct("<4sHHQ")
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(slots=True)
class SlotsRead(Generic[T]):
    """What the bytes of a two-slot file say."""

    value: T | None = None
    generation: int = 0
    damaged: list[int] = field(default_factory=list)
    """Where the slots begin that were written and cannot be read."""


def read_slots(data: bytes, kind: type[T], name: str) -> SlotsRead[T]:
    """Read a two-slot file's bytes; ``name`` is for the message.

    :raises FutureFormat: a newer shipper wrote it.
    """
    found: SlotsRead[T] = SlotsRead()
    decode = msgspec.msgpack.Decoder(kind).decode
    for at in (0, SLOT):
        slot = data[at : at + SLOT]
        if len(slot) < SLOT or slot[:4] != _MAGIC or crc32c(slot[:-4]) != int.from_bytes(slot[-4:], "little"):
            if any(slot):
                found.damaged.append(at)
            continue
        _, version, length, generation = _HEAD.unpack_from(slot)
        if version > _VERSION:
            raise FutureFormat(f"{name} has format {version}; this shipper reads up to {_VERSION}: upgrade it")
        if generation > found.generation:
            try:
                value = decode(slot[_HEAD.size : _HEAD.size + length])
            except UNREADABLE:
                found.damaged.append(at)
                continue
            found.generation, found.value = generation, value
    return found


class Slots(Generic[T]):
    """One two-slot file. Not thread-safe: it belongs to the spool's writer."""

    def __init__(self, disk: Disk, name: str, kind: type[T]) -> None:
        """Read what is there.

        A killed process may have left a value that only the page cache holds. Who relies on it writes it again: that
        syncs the whole file, and until then a crash leaves the value before it.

        :raises FutureFormat: a newer shipper wrote it.
        :raises SpoolFailed: the disk refused.
        """
        self._disk = disk
        self._name = name
        self._encode = msgspec.msgpack.Encoder().encode
        self._file: File | None = None
        self.exists = False
        """The file is there (its value may be None all the same: both slots are damaged)."""
        self.damaged = False
        """A slot that was written cannot be read: the value may be older than the last one written."""
        self.value: T | None = None
        self._generation = 0
        try:
            self._file = disk.open(name, write=True)
        except FileNotFoundError:
            return
        self.exists = True
        try:
            data = read_again(self._file, 2 * SLOT, 0)
        except SpoolFailed:
            self.damaged = True
            self.close()
            return
        found = read_slots(data, kind, name)
        self.value, self._generation, self.damaged = found.value, found.generation, bool(found.damaged)

    def write(self, value: T) -> None:
        """Replace the value, durably.

        :raises DiskFull: there is no room; the old value is still in force.
        :raises SpoolFailed: the disk refused three times; one of the two is in force.
        """
        data = self._encode(value)
        generation = self._generation + 1
        slot = _HEAD.pack(_MAGIC, _VERSION, len(data), generation) + data
        slot = slot.ljust(SLOT - 4, b"\0")
        slot += crc32c(slot).to_bytes(4, "little")
        for attempt in range(1, TRIES + 1):
            try:
                self._put(slot, generation % 2 * SLOT)
                break
            except DiskFull:
                raise
            except SpoolFailed:
                self.close()
                if attempt == TRIES:
                    raise
        self._generation, self.value = generation, value

    def _put(self, slot: bytes, at: int) -> None:
        """Write a slot, in place; where the disk refused that before, into a new file that takes the old one's name."""
        folder, _, base = self._name.rpartition("/")
        draft = f"{folder}/.{base}.new" if folder else f".{base}.new"
        file = self._file
        beside = file is None and self.exists
        if beside:
            self._disk.unlink(draft)
        made = file is None
        if file is None:
            file = self._disk.create(draft if beside else self._name, 2 * SLOT)
            self.exists = True
        try:
            file.write([slot], at)
            file.sync()
            if beside:
                self._disk.rename(draft, self._name)
            if made:
                self._disk.sync_folder(folder)
        except SpoolFailed:
            if file is not self._file:  # it may not have the name yet
                file.close()
            raise
        self._file = file

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
            self._file = None
