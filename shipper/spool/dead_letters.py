"""The dead letters: records that could not be processed or delivered, kept for people to look at and to replay.

They become durable in the entry of their batch, and are copied from there, exactly once, into files
``dead_letters/%020d.dlq`` that outlive the segments. All numbers are little-endian.

    file    8 bytes  magic ``SHPD``, u16 version: 1, u16 reserved; then letters
    letter  8 bytes  u32 length of the value, u32 CRC32C of the value; then the value:
                     msgpack [segment, offset, index, DeadLetter] (the place of its entry, its index there)

Files are appended to by the spool's writer and synced before its cursor ``dead_letters`` moves. A torn letter at the
end of the last file is cut off at the start: its entry is still there and writes it again. The whole is bounded; when
it is full nothing is written here, and who would write keeps the record elsewhere.
"""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from shipper.batch import DeadLetter
from shipper.errors import FutureFormat
from shipper.spool.disk import Disk, File
from shipper.spool.frame import crc32c

FOLDER: Final = "dead_letters"
CURSOR: Final = "dead_letters"
_MAGIC: Final = b"SHPD"
_VERSION: Final = 1
_FILE_HEADER: Final = _MAGIC + struct.pack("<HH", _VERSION, 0)
_LETTER: Final = struct.Struct("<II")
_FILE_SIZE: Final = 8 * 1024 * 1024


class StoredLetter(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter and the place of the entry that brought it."""

    segment: int
    offset: int
    index: int
    letter: DeadLetter


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredLetter).decode


class DeadLetters:
    """The files of dead letters. Owned by the spool's writer; others read ``room`` and ``count``."""

    def __init__(self, disk: Disk, max_bytes: int) -> None:
        """Find the end. :raises FutureFormat: a newer shipper wrote the files."""
        self._disk = disk
        self._max_bytes = max_bytes
        self._file: File | None = None
        self._end = 0
        self._last = (0, 0, -1)
        """The place of the last letter written: what stands at or before it is here already."""
        disk.make_folder(FOLDER)
        names = [name for name in disk.names(FOLDER) if name.endswith(".dlq") and name[:20].isdigit()]
        sizes = {name: disk.size(f"{FOLDER}/{name}") for name in names}
        self._number = int(names[-1][:20]) if names else 0
        self._used = sum(sizes.values())
        for name in reversed(names):  # the last file may hold no whole letter yet
            if self._find_end(name, sizes[name], last=name == names[-1]):
                break

    def _find_end(self, name: str, size: int, *, last: bool) -> bool:
        file = self._disk.open(f"{FOLDER}/{name}", write=last)
        data = file.read(size, 0)
        if data[:4] == _MAGIC and int.from_bytes(data[4:6], "little") > _VERSION:
            raise FutureFormat(f"{FOLDER}/{name} has a format of a newer shipper: upgrade this one")
        end = len(_FILE_HEADER) if data[:4] == _MAGIC else 0
        found = False
        for stored, after in letters(data):
            self._last, end, found = (stored.segment, stored.offset, stored.index), after, True
        if last and data[:4] == _MAGIC:
            file.truncate(end)
            self._file, self._end = file, end
            self._used -= size - end
        else:
            file.close()
        return found

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return max(0, self._max_bytes - self._used)

    @property
    def used(self) -> int:
        """Bytes that the files take."""
        return self._used

    def write(self, segment: int, offset: int, dead: list[DeadLetter]) -> None:
        """Append an entry's dead letters, without a sync; those that are here already are left out.

        :raises SpoolFailed: the disk refused.
        """
        values = [
            _encode(StoredLetter(segment, offset, index, letter))
            for index, letter in enumerate(dead)
            if (segment, offset, index) > self._last
        ]
        if not values:
            return
        if self._file is None or self._end > _FILE_SIZE:
            self._next_file()
        assert self._file is not None  # noqa: S101 - for the type checker: _next_file made it
        parts = [part for value in values for part in (_LETTER.pack(len(value), crc32c(value)), value)]
        self._file.write(parts, self._end)
        size = sum(map(len, parts))
        self._end += size
        self._used += size
        self._last = (segment, offset, len(dead) - 1)

    def _next_file(self) -> None:
        self.sync()
        if self._file is not None:
            self._file.close()
        self._number += 1
        self._file = self._disk.create(f"{FOLDER}/{self._number:020d}.dlq", len(_FILE_HEADER))
        self._file.write([_FILE_HEADER], 0)
        self._end = len(_FILE_HEADER)
        self._used += self._end
        self._disk.sync_folder(FOLDER)

    def sync(self) -> None:
        """Make what was written durable. :raises SpoolFailed: the disk refused."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()


def letters(data: bytes) -> Iterator[tuple[StoredLetter, int]]:
    """The whole letters of a file, each with the offset after it; ends at the first that is not whole."""
    at = len(_FILE_HEADER)
    if data[:4] != _MAGIC:
        return
    while at + _LETTER.size <= len(data):
        size, check = _LETTER.unpack_from(data, at)
        value = data[at + _LETTER.size : at + _LETTER.size + size]
        if len(value) < size or crc32c(value) != check:
            return
        at += _LETTER.size + size
        yield _decode(value), at
