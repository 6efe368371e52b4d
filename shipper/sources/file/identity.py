"""Which file is this? What a file generation is recognised by, and the format in which its position is kept.

A *generation* is one life of a file: from its first byte until it is truncated, replaced or deleted. It gets 16 random
bytes at first sight. A path or an inode number alone says little: paths are given to new files by rotation, inode
numbers by the filesystem. So a generation is recognised again by three things together:

- its inode number (the device number is a hint that settles ties: it may change over a reboot), with the number that
  tells its uses apart where the file system keeps one,
- a hash of its first bytes, up to 1 KiB, as many as there were when they were last looked at,
- a hash of the last bytes before the position up to which it was read, up to 256.

The second and third are compared whenever a file is opened, the third at every read. That is how a file is noticed
which shrank and grew past the position again between two looks.

State of one generation in the spool: key = the generation in hex, value = msgpack of ``Position``.
"""

import fcntl
import os
import stat
import sys
from _blake2 import blake2b  # not by way of hashlib: that loads OpenSSL, megabytes for an agent
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from shipper.errors import UNREADABLE, SourceError

PREFIX_SIZE: Final = 1024
"""At most so many first bytes are hashed."""
TAIL_SIZE: Final = 256
"""At most so many bytes before the position are hashed."""

# O_NONBLOCK: a FIFO that took the place of a file between two calls must not block; files do not care.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FS_IOC_GETVERSION: Final = 0x80087601
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegular(OSError):
    """What stands at a path is not a regular file; the message says what it is."""


def digest(data: bytes) -> bytes:
    """The hash of a prefix or a tail: 8 bytes."""
    return blake2b(data, digest_size=8).digest()


NOTHING: Final = digest(b"")


class Position(msgspec.Struct, array_like=True, frozen=True):
    """How far a generation was read and what it is recognised by. On disk: only append fields, with defaults."""

    path: bytes
    """The path under which it was followed (file system encoding)."""
    where: bytes
    """Where it was seen last, where that is another path: renamed, or behind a symbolic link. Else empty."""
    inode: int
    device: int
    offset: int
    """The first byte that was not read."""
    size: int
    """The size of the file when it was last looked at."""
    prefix_size: int
    prefix: bytes
    tail: bytes
    """The hash of the last ``min(TAIL_SIZE, offset)`` bytes before ``offset``."""
    line: bytes = b""
    """The path whose order it belongs to; empty: ``path``."""
    born: int = 0
    """Its place in that order: what has a smaller number was written earlier. 0: nobody noted it."""
    packed: Literal["gzip", "zstd", ""] = ""
    """``gzip`` or ``zstd``: a compressed copy is read, and ``offset`` counts its decompressed bytes."""
    ahead: dict[str, int] = {}
    """Container streams of which more was shipped than up to ``offset``: stream to raw offset."""
    modified: int = 0
    """When the file was written to last, as of the last look (nanoseconds, as the file system has it). 0: nobody noted
    it."""
    version: int = 0
    """Which file of that inode number it is, where the file system counts them. 0: it does not."""
    seal: bytes = b""
    """Of a compressed copy: see ``seal_of``."""


encode_position = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Position).decode


def decode_position(key: str, value: bytes) -> tuple[bytes, Position]:
    """A generation and its position from the spool's state.

    :raises SourceError: they are not what this version writes.
    """
    try:
        generation = bytes.fromhex(key)
        position = _decode(value)
    except UNREADABLE as error:
        raise SourceError(f"the file position {key!r} kept in the spool cannot be read: {error}") from error
    return generation, position


def kind(mode: int) -> str:
    """What a thing that is not a regular file is called."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def explain(path: str, error: OSError) -> str:
    """Why a path cannot be read, for people. Looks at the disk."""
    if isinstance(error, PermissionError):
        from shipper.sources.file.rights import advice  # what few sources need

        return f"permission denied: {path}: {advice(path)}"
    return f"cannot read {path}: {error.strerror or error}"


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; never blocks on what is not one.

    :raises NotRegular: something else stands there; it was not opened, or closed again at once.
    :raises OSError: it cannot be opened.
    """
    # Looking first: opening a FIFO or a device for reading has effects of its own.
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise NotRegular(f"{path} is {kind(info.st_mode)}")
    descriptor = os.open(path, _OPEN_FLAGS)
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise NotRegular(f"{path} is {kind(info.st_mode)}")
    return descriptor, info


def version_of(descriptor: int) -> int:
    """A number that differs between two files that have the same inode number, one after the other; 0 where the file
    system has none (tmpfs, NFS).
    """
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, _FS_IOC_GETVERSION, bytes(8))[:4], sys.byteorder)
    except OSError:
        return 0


def seal_of(descriptor: int, size: int) -> bytes:
    """What a compressed file of ``size`` bytes is known again by: its first and its last bytes (a checksum)."""
    last = max(0, size - TAIL_SIZE)
    return digest(b"%d" % size + os.pread(descriptor, TAIL_SIZE, 0) + os.pread(descriptor, size - last, last))


def same(descriptor: int, size: int, position: Position) -> bool:
    """Whether the open file is the generation of ``position``. The inode numbers are the caller's business."""
    if position.packed:
        return seal_of(descriptor, size) == position.seal
    if position.version and version_of(descriptor) not in (0, position.version):
        return False
    return same_content(descriptor, size, position)


def same_content(descriptor: int, size: int, position: Position) -> bool:
    """Whether the open file begins with what was read of the generation of ``position``: it, or a copy."""
    if size < position.offset or size < position.prefix_size:
        return False
    if digest(os.pread(descriptor, position.prefix_size, 0)) != position.prefix:
        return False
    lead = min(TAIL_SIZE, position.offset)
    return digest(os.pread(descriptor, lead, position.offset - lead)) == position.tail


def reopen(position: Position) -> tuple[int, os.stat_result, str] | None:
    """Find a generation again, at its last place or under another name in the same directory, and open it.

    None when it is not there, or when it is the first time that nothing of it can be compared (it was empty).

    :raises PermissionError: it may be there, but cannot be opened.
    """
    where = os.fsdecode(position.where or position.path)
    for path in _places(where, position):
        try:
            descriptor, info = open_regular(path)
        except PermissionError:
            raise
        except OSError:
            continue
        if info.st_ino == position.inode and same(descriptor, info.st_size, position):
            return descriptor, info, path
        os.close(descriptor)
    return None


def _places(where: str, position: Position) -> Iterator[str]:
    yield where
    if position.prefix_size == 0:
        return  # an inode number alone must not lead to a file that nobody asked for
    try:
        with os.scandir(os.path.dirname(where)) as entries:
            names = [entry.path for entry in entries if entry.inode() == position.inode and entry.path != where]
    except OSError:
        return
    yield from names
