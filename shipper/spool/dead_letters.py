"""The dead letters: records that could not be processed or delivered, kept for people to look at and to replay.

They become durable in the entry of their batch, and are copied from there, exactly once, into files
``dead_letters/%020d.dlq`` that outlive the segments. All numbers are little-endian.

    file    28 bytes  magic ``SHPD``, u16 version: 1, u16 reserved, 16 bytes stream id of the spool, CRC32C of these;
                      then letters
    letter  12 bytes  magic ``SHPL``, u32 length of the value, CRC32C of the length and the value; then the value:
                      msgpack [segment, offset, index, DeadLetter] (the place of its entry, its index there)

A letter that was replayed is struck out: its magic is ``SHPR`` then (replayed.py). Versions before that took such a
letter for damage and left it out, which comes to the same.

Files are appended to by the spool's writer and synced before its cursor passes their entries. What a crash left behind
the last letter that the cursor has passed is written again where it is not whole; damage before that is skipped. The
whole is bounded; when it is full nothing is written here, and who would write keeps the record elsewhere. A file whose
letters are all struck out is removed.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from shipper.batch import DeadLetter
from shipper.errors import UNREADABLE, FutureFormat, SpoolFailed
from shipper.spool.body import Position
from shipper.spool.disk import Disk, File, read_again
from shipper.spool.files import quarantine
from shipper.spool.frame import crc32c, extend_crc32c

FOLDER: Final = "dead_letters"
_MAGIC: Final = b"SHPD"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHH16s")
HEADER_SIZE: Final = _HEAD.size + 4
_LETTER_MAGIC: Final = b"SHPL"
STRUCK: Final = b"SHPR"
"""It differs from the other magic in its last byte only, in several bits."""
_EITHER: Final = b"SHP"
LETTER: Final = struct.Struct("<4sII")
_NOBODY: Final = bytes(16)
_FILE_SIZE: Final = 8 * 1024 * 1024

Place: TypeAlias = tuple[int, int, int]
"""Where a letter came from: segment and offset of its entry, its index there. Letters are copied in this order."""


class StoredLetter(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter and the place of the entry that brought it."""

    segment: int
    offset: int
    index: int
    letter: DeadLetter

    @property
    def place(self) -> Place:
        """Where it came from."""
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
        self._last: Place = (0, 0, -1)
        """The place of the last letter written: what stands at or before it is here already."""
        self._safe = (0, self._last)
        """Where the synced part of the file ends, and the last letter that is durable."""
        self._floor = self._last
        """Up to there letters may stand in no file any more, as they were replayed."""
        self._names = [name for name in disk.names(FOLDER) if is_file(name)]
        self._number = max((int(name[:20]) for name in self._names), default=0)
        self._used = sum(disk.size(f"{FOLDER}/{name}") for name in self._names)
        self._streams = {name: stream_of(disk, f"{FOLDER}/{name}") for name in self._names}

    def begin(self, stream: bytes, passed: Position, floor: Place = (0, 0, -1)) -> None:
        """Find the last letter of this spool. ``passed``: everything from entries before it was copied and synced.
        ``floor``: nothing up to there is copied again.

        :raises SpoolFailed: the disk refused.
        """
        self._stream, self._floor = stream, floor
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
        try:
            data = file.read(size, 0)
        except SpoolFailed:  # letters that the cursor has not passed are written again, into another file
            file.close()
            return False
        unsure = 0
        for stored, start, after in letters(data):
            whole = whole and start == end
            if not whole and (stored.segment, stored.offset) >= (passed.segment, passed.offset):
                break  # behind a torn one: the cursor has not passed it, so both are written again
            if not unsure and (stored.segment, stored.offset) >= (passed.segment, passed.offset):
                unsure = start
            self._last, end, found, whole = stored.place, after, True, True
        if not last:
            file.close()
            self._safe = (self._safe[0], self._last)
            return found
        if end < size:
            quarantine(self._disk, path, end, size)
            file.truncate(end)  # not synced: until the next sync what is written here again is what stood here
        if unsure:  # a sync that failed may have left them in the page cache only, and marked them as written
            file.write([data[unsure:end]], unsure)
        self._file, self._end = file, end
        self._safe = (unsure or end, (passed.segment, passed.offset, -1) if unsure else self._last)
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

        :raises DiskFull: there is no room; the same call can be made again.
        :raises SpoolFailed: the disk refused: ``abandon`` the file.
        """
        values = [
            _encode(StoredLetter(segment, offset, index, letter))
            for index, letter in enumerate(dead)
            if (segment, offset, index) > max(self._last, self._floor)
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
        path = f"{FOLDER}/{self._number:020d}.dlq"
        file = self._disk.create(path, HEADER_SIZE)
        try:
            file.write([_file_header(self._stream)], 0)
            file.sync()  # a letter that outlived the header would be nobody's: written again, it would be there twice
            self._disk.sync_folder(FOLDER)
        except SpoolFailed:
            file.close()
            with contextlib.suppress(SpoolFailed):  # one without letters does no harm
                self._disk.unlink(path)
            raise
        self._file, self._end = file, HEADER_SIZE
        self._used += HEADER_SIZE
        self._safe = (HEADER_SIZE, self._last)
        return file

    def sync(self) -> None:
        """Make what was written, or taken over, durable. :raises SpoolFailed: the disk refused: ``abandon`` it."""
        if self._file is not None and self._unsynced:
            self._file.sync()
            self._safe = (self._end, self._last)
        self._unsynced = False

    def drop(self, files: Mapping[str, int], floor: Place) -> None:
        """Remove files of which nothing is needed any more, given with the sizes that they had when that was found
        out; one that has grown since stays. The floor is durable.

        :raises SpoolFailed: the disk refused; the same call can be made again.
        """
        self._floor = max(self._floor, floor)
        for name, size in files.items():
            if self._file is not None and int(name[:20]) == self._number:
                if self._end != size:
                    continue
                self.close()
            self._disk.unlink(f"{FOLDER}/{name}")  # not synced: one that a crash brings back holds nothing to replay
            self._used -= size

    def abandon(self) -> None:
        """Leave the file as it was synced last: the letters since then are to be written again, into another one."""
        if self._file is not None:
            end, self._last = self._safe
            with contextlib.suppress(SpoolFailed):  # else they may be there twice, with the same places
                self._file.truncate(end)
            self._used -= self._end - end
            self._end = end
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_file(name: str) -> bool:
    """Whether a file name is one of dead letters."""
    return name.endswith(".dlq") and name[:20].isdigit()


def stream_of(disk: Disk, path: str) -> bytes | None:
    """Whose letters a file holds; None when its header is damaged.

    :raises FutureFormat: a newer shipper wrote it.
    """
    try:
        file = disk.open(path)
        head = read_again(file, HEADER_SIZE, 0)
        file.close()
    except SpoolFailed:
        return None
    if len(head) < HEADER_SIZE or crc32c(head[: _HEAD.size]) != int.from_bytes(head[_HEAD.size :], "little"):
        return None
    magic, version, _, stream = _HEAD.unpack_from(head)
    if magic == _MAGIC and version > _VERSION:
        raise FutureFormat(f"{path} has format {version}; this shipper reads up to {_VERSION}: upgrade it")
    return bytes(stream) if magic == _MAGIC else None


def _file_header(stream: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, _VERSION, 0, stream)
    return head + crc32c(head).to_bytes(4, "little")


def without_damage(data: bytes, stream: bytes | None) -> bytes:
    """A file's bytes without what cannot be read. ``stream`` None: its header is damaged, nobody knows whose it was."""
    return _file_header(stream or _NOBODY) + b"".join(data[start:end] for _, start, end in letters(data))


def _letter_head(value: bytes) -> bytes:
    size = len(value)
    return LETTER.pack(_LETTER_MAGIC, size, extend_crc32c(crc32c(size.to_bytes(4, "little")), value))


def letters(data: bytes) -> Iterator[tuple[StoredLetter, int, int]]:
    """The whole letters of a file's bytes, each with its start and its end; damaged ones are skipped."""
    at = HEADER_SIZE
    while (at := data.find(_EITHER, at)) >= 0:
        if at + LETTER.size > len(data):
            return
        end = at + LETTER.size + int.from_bytes(data[at + 4 : at + 8], "little")
        stored = letter_of(data[at : at + LETTER.size], data[at + LETTER.size : end])
        if stored is None:
            at += 1
            continue
        yield stored, at, end
        at = end


def letter_of(head: bytes, value: bytes) -> StoredLetter | None:
    """The letter of a head and a value, struck out or not; None: they are none."""
    if len(head) < LETTER.size:
        return None
    magic, size, check = LETTER.unpack(head)
    if magic not in (_LETTER_MAGIC, STRUCK) or len(value) != size:
        return None
    if extend_crc32c(crc32c(size.to_bytes(4, "little")), value) != check:
        return None
    try:
        return _decode(value)
    except UNREADABLE:
        return None
