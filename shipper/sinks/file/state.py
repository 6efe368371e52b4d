"""What the file sink is about to write: the promise that makes it exactly once.

Before a group of frames is appended, its *plan* is made durable: which numbers it holds, and for each file the length
before and after, and a checksum of what comes between. Two files, ``group.0`` and ``group.1``, are overwritten in turn,
so that the plan before stays whole while one is written; the plan with the highest generation whose checksum holds is
in force. One write and one ``fdatasync`` a group.

    offset size  (of a slot file; little-endian)
     0      4    magic ``SHPG``
     4      2    version of this format: 1
     6      2    0
     8      8    generation, +1 a plan
    16      4    length of the plan
    20      4    CRC32C of bytes 0..19 and the plan
    24      n    the plan, msgpack of ``Plan``
           ...   what an earlier, longer plan left; without meaning
"""

import os
import struct
from pathlib import Path
from typing import Final

import msgspec

from shipper.errors import UNREADABLE, FutureFormat, SinkUnavailable
from shipper.sinks.file.disk import Disk
from shipper.spool.frame import crc32c, extend_crc32c

_MAGIC: Final = b"SHPG"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHHQII")


class PlannedFile(msgspec.Struct, frozen=True, array_like=True):
    """A file of a group. On disk: only append fields, with defaults."""

    path: tuple[str, ...]
    """Components below the root."""
    inode: int
    generation: int
    start: int
    """Its length before the group: 0 for a new one, which is made, empty, before the plan is written."""
    end: int
    """Its length after the group."""
    crc: int
    """CRC32C of what the group adds."""


class LeftAlone(msgspec.Struct, frozen=True, array_like=True):
    """A file that somebody else changed: never written again."""

    root: str
    path: tuple[str, ...]
    inode: int
    generation: int


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """A group. On disk: only append fields, with defaults."""

    stream: bytes
    first: int
    """Sequence number of its first item."""
    next: int
    """The one that follows its last item."""
    root: str
    files: list[PlannedFile]
    left_alone: list[LeftAlone] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Plan).decode


class PlanStore:
    """The two slot files. ``plan`` is the one in force; None: nothing was ever written."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        """Read what is there, and make what is missing, durably.

        :raises FutureFormat: a newer shipper wrote a plan.
        :raises SinkUnavailable: the directory cannot be used.
        """
        self._disk = disk
        self._paths = [str(directory / f"group.{slot}") for slot in (0, 1)]
        self._generation = 0
        self._slot = 0
        self.plan: Plan | None = None
        self.damaged = 0
        """Slots with something in them that is no whole plan: one may be a write that a power cut tore."""
        disk.make_root(str(directory))
        for slot, path in enumerate(self._paths):
            self._read(slot, path)
        if self.plan is not None:
            self._sync(self._paths[1 - self._slot])

    def _read(self, slot: int, path: str) -> None:
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._disk.close(self._disk.create_file(os.path.basename(path), folder))
                self._disk.sync_directory(folder, path)
            finally:
                os.close(folder)
            return
        except OSError as error:
            raise SinkUnavailable(f"cannot read {path}: {error.strerror}") from error
        if not data.strip(b"\0"):
            return
        if len(data) < _HEAD.size or data[:4] != _MAGIC:
            self.damaged += 1
            return
        _, version, _, generation, length, check = _HEAD.unpack_from(data)
        if version > _VERSION:
            raise FutureFormat(f"{path} has format {version}; this shipper reads up to {_VERSION}: upgrade it")
        body = data[_HEAD.size : _HEAD.size + length]
        if len(body) != length or extend_crc32c(crc32c(data[: _HEAD.size - 4]), body) != check:
            self.damaged += 1
        elif generation > self._generation:
            try:
                plan = _decode(body)
            except UNREADABLE:
                self.damaged += 1
            else:
                self._generation, self._slot, self.plan = generation, 1 - slot, plan

    def write(self, plan: Plan) -> None:
        """Put a plan in force, durably.

        :raises SinkUnavailable: the plan before is still in force, and the next one goes where this one went.
        """
        body = _encode(plan)
        self._generation += 1  # also after a failure: what it left must never be the newer of two
        head = _HEAD.pack(_MAGIC, _VERSION, 0, self._generation, len(body), 0)[:-4]
        check = extend_crc32c(crc32c(head), body)
        self._sync(self._paths[self._slot], head + check.to_bytes(4, "little") + body)
        self._slot, self.plan = 1 - self._slot, plan

    def _sync(self, path: str, data: bytes = b"") -> None:
        """Write to a slot file, and sync it.

        Without data: make durable what is read there. A killed process may have left it in the page cache alone, and
        the other slot, which is overwritten next, is then the only one that a power cut would spare.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # anew: one whose sync failed must not be synced again
        except OSError as error:
            raise SinkUnavailable(f"cannot write {path}: {error.strerror}") from error
        try:
            self._disk.overwrite(descriptor, data, path)
            self._disk.sync(descriptor, path)
        finally:
            self._disk.close(descriptor)
