"""The dead letters: records that could not be processed or delivered, kept for people to look at and to replay.

They become durable in the entry of their batch, and are copied from there, exactly once, into files
``dead_letters/%020d.dlq`` that outlive the segments. All numbers are little-endian.

    file    28 bytes  magic ``SHPD``, u16 version: 1, u16 reserved, 16 bytes stream id of the spool, CRC32C of these;
                      then letters
    letter  12 bytes  magic ``SHPL``, u32 length of the value, CRC32C of the length and the value; then the value:
                      msgpack [segment, offset, index, DeadLetter] (the place of its entry, its index there)

Files are appended to by the spool's writer and synced before its cursor passes their entries. What a crash left behind
the last letter that the cursor has passed is written again where it is not whole; damage before that is skipped. The
whole is bounded; when it is full nothing is written here, and who would write keeps the record elsewhere.
"""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from shipper.batch import DeadLetter
from shipper.errors import FutureFormat
from shipper.spool.body import Position
from shipper.spool.disk import Disk, File
from shipper.spool.files import quarantine
from shipper.spool.frame import crc32c, extend_crc32c

FOLDER: Final = "dead_letters"
_MAGIC: Final = b"SHPD"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHH16s")
HEADER_SIZE: Final = _HEAD.size + 4
_LETTER_MAGIC: Final = b"SHPL"
_LETTER: Final = struct.Struct("<4sII")
_FILE_SIZE: Final = 8 * 1024 * 1024


class StoredLetter(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter and the place of the entry that brought it."""

    segment: int
    offset: int
    index: int
    letter: DeadLetter

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it came from; letters are copied in this order."""
        return self.segment, self.offset, self.index


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredLetter).decode


class DeadLetters:
    """The files of dead letters. Owned by the spool's writer; others read ``room`` and ``used``."""

    def __init__(self, disk: Disk, max_bytes: int) -> None:
        """Look at the files' headers. Nothing is changed before ``begin``.

        :raises FutureFormat: a newer shipper wrote one.
        """
        self._disk = disk
        self._max_bytes = max_bytes
        self._stream = b""
        self._file: File | None = None
        self._end = 0
        self._unsynced = True
        self._last = (0, 0, -1)
        """The place of the last letter written: what stands at or before it is here already."""
        self._names = [name for name in disk.names(FOLDER) if name.endswith(".dlq") and name[:20].isdigit()]
        self._number = max((int(name[:20]) for name in self._names), default=0)
        self._used = sum(disk.size(f"{FOLDER}/{name}") for name in self._names)
        self._streams = {name: _stream_of(disk, f"{FOLDER}/{name}") for name in self._names}

    def begin(self, stream: bytes, passed: Position) -> None:
        """Find the last letter of this spool. ``passed``: everything from entries before it was copied and synced.

        :raises SpoolFailed: the disk refused.
        """
        self._stream = stream
        self._disk.make_folder(FOLDER)
        for name in reversed(self._names):  # the last file may hold no whole letter yet
            if self._streams[name] == stream and self._find_end(name, passed, last=name == self._names[-1]):
                break
        self._disk.sync_folder(FOLDER)  # a killed process may have made a file and not synced its name

    def _find_end(self, name: str, passed: Position, *, last: bool) -> bool:
        """Take over where a file ends; whether it holds letters. What stands behind the end is cut off."""
        path = f"{FOLDER}/{name}"
        file = self._disk.open(path, write=last)
        size = self._disk.size(path)
        end = HEADER_SIZE
        found = False
        whole = True
        for stored, start, after in letters(file.read(size, 0)):
            whole = whole and start == end
            if not whole and (stored.segment, stored.offset) >= (passed.segment, passed.offset):
                break  # behind a torn one: the cursor has not passed it, so both are written again
            self._last, end, found, whole = stored.place, after, True, True
        if not last:
            file.close()
            return found
        if end < size:
            quarantine(self._disk, path, end, size)
            file.truncate(end)  # not synced: until the next sync what is written here again is what stood here
        self._file, self._end = file, end
        self._used -= size - end
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
        file = self._file if self._file is not None and self._end <= _FILE_SIZE else self._next_file()
        parts = [part for value in values for part in (_letter_head(value), value)]
        file.write(parts, self._end)
        size = sum(map(len, parts))
        self._end += size
        self._used += size
        self._last = (segment, offset, len(dead) - 1)
        self._unsynced = True

    def _next_file(self) -> File:
        self.sync()
        self.close()
        self._number += 1
        head = _HEAD.pack(_MAGIC, _VERSION, 0, self._stream)
        file = self._file = self._disk.create(f"{FOLDER}/{self._number:020d}.dlq", HEADER_SIZE)
        file.write([head, crc32c(head).to_bytes(4, "little")], 0)
        self._end = HEADER_SIZE
        self._used += self._end
        self._disk.sync_folder(FOLDER)
        return file

    def sync(self) -> None:
        """Make what was written, or taken over, durable. :raises SpoolFailed: the disk refused."""
        if self._file is not None and self._unsynced:
            self._file.sync()
        self._unsynced = False

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _stream_of(disk: Disk, path: str) -> bytes | None:
    """Whose letters a file holds; None when its header is damaged.

    :raises FutureFormat: a newer shipper wrote it.
    """
    file = disk.open(path)
    head = file.read(HEADER_SIZE, 0)
    file.close()
    if len(head) < HEADER_SIZE or crc32c(head[: _HEAD.size]) != int.from_bytes(head[_HEAD.size :], "little"):
        return None
    magic, version, _, stream = _HEAD.unpack_from(head)
    if magic == _MAGIC and version > _VERSION:
        raise FutureFormat(f"{path} has format {version}; this shipper reads up to {_VERSION}: upgrade it")
    return bytes(stream) if magic == _MAGIC else None


def _letter_head(value: bytes) -> bytes:
    size = len(value)
    return _LETTER.pack(_LETTER_MAGIC, size, extend_crc32c(crc32c(size.to_bytes(4, "little")), value))


def letters(data: bytes) -> Iterator[tuple[StoredLetter, int, int]]:
    """The whole letters of a file's bytes, each with its start and its end; damaged ones are skipped."""
    at = HEADER_SIZE
    while (at := data.find(_LETTER_MAGIC, at)) >= 0:
        if at + _LETTER.size > len(data):
            return
        _, size, check = _LETTER.unpack_from(data, at)
        end = at + _LETTER.size + size
        value = data[at + _LETTER.size : end]
        stored = None
        if len(value) == size and extend_crc32c(crc32c(size.to_bytes(4, "little")), value) == check:
            try:
                stored = _decode(value)
            except msgspec.MsgspecError:
                stored = None
        if stored is None:
            at += 1
            continue
        yield stored, at, end
        at = end
