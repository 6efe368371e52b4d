"""Reading compressed files: ``pread`` in decompressed bytes, of gzip (any number of members) and zstd (any frames).

Decompression is a stream: forwards is cheap, backwards beyond what is kept starts over. Memory is bounded whatever the
file holds: a step gives at most ``_STEP`` bytes, and a zstd frame that needs a window of more than ``WINDOW`` is
refused. The two decoders do no I/O.
"""

import os
import zlib
from typing import Final, Literal, Protocol

import zstandard

Kind = Literal["gzip", "zstd"]
End = Literal["complete", "growing", "damaged"]
"""Where reading came to an end: at the end of a member or frame; in the middle of one (the rest may not be written
yet); or at bytes that no decoder understands."""

SUFFIXES: Final[dict[str, Kind]] = {".gz": "gzip", ".zst": "zstd"}
"""What compressed files are called."""
UNFINISHED: Final = ".tmp"
"""What they may be called while they are written: kubelet makes ``0.log.DATE.tmp``, and renames it."""
WINDOW: Final = 8 * 1024 * 1024
"""The largest zstd window: what RFC 8878 asks of every decoder, and more than levels up to 19 use."""
KEEP: Final = 2 * 1024 * 1024
"""So many decompressed bytes before the last ``pread`` can be read again without starting over."""

_STEP: Final = 128 * 1024
_READ: Final = 64 * 1024
_PIECE: Final = 512
"""gzip is fed in pieces of so many bytes: what a damaged one would have given is lost."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC: Final = b"\x2a\x4d\x18"
"""After a byte from 0x50 to 0x5f."""


class Damaged(Exception):
    """The decoder cannot go on; the message says why."""


class _Decoder(Protocol):
    input: bytes
    """What was fed and is not used up."""
    between: bool
    """At the end of a member or frame."""

    def step(self) -> bytes | None:
        """Up to ``_STEP`` more bytes; None when more input is needed.

        :raises Damaged: there are none.
        """


class _Gzip:
    """Members, one after the other; zero bytes may pad the end, as on tapes."""

    def __init__(self) -> None:
        self.input = b""
        self.between = False
        self._member: zlib._Decompress | None = None
        self._full = False
        """The last step gave all that it may: there may be more without input."""
        self._padding = False

    def step(self) -> bytes | None:
        """See ``_Decoder``."""
        member = self._member = self._member or self._begin()
        if member is None:
            return None
        piece = self.input[:_PIECE]
        if not piece and not self._full:
            return None
        try:
            data = member.decompress(piece, _STEP)
        except zlib.error as error:
            raise Damaged(f"gzip: {error}") from error
        left = len(member.unconsumed_tail) + len(member.unused_data)
        self.input = self.input[len(piece) - left :]
        self._full = len(data) == _STEP
        if member.eof:
            self._member, self._full, self.between = None, False, True
        return data

    def _begin(self) -> "zlib._Decompress | None":
        if self.between and (self._padding or self.input[:1] == b"\0"):
            self._padding = True
            if self.input.strip(b"\0"):
                raise Damaged("gzip: something follows the padding after its end")
            self.input = b""
            return None
        if not _GZIP_MAGIC.startswith(self.input[:2]):
            raise Damaged("gzip: something follows its end" if self.between else "gzip: it does not begin like one")
        if len(self.input) < 2:
            self.between = self.between and not self.input
            return None
        self.between = False
        return zlib.decompressobj(16 + zlib.MAX_WBITS)


class _Zstd:
    """Frames, one after the other, some of them skippable; fed block by block, as a block has at most 128 KiB."""

    def __init__(self) -> None:
        self.input = b""
        self.between = False
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._checksum = False
        self._last = False
        self._skip = 0

    def step(self) -> bytes | None:
        """See ``_Decoder``."""
        if self._skip:
            skipped = min(self._skip, len(self.input))
            self.input, self._skip = self.input[skipped:], self._skip - skipped
            self.between = not self._skip
            return b"" if skipped else None
        size = self._header() if self._frame is None else 4 if self._last else self._block()
        if size is None or len(self.input) < size:
            return None
        if self._frame is None:  # a skippable frame
            self._skip = int.from_bytes(self.input[4:8], "little")
            self.input = self.input[8:]
            self.between = not self._skip
            return b""
        piece, self.input = self.input[:size], self.input[size:]
        try:
            data = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise Damaged(str(error)) from error
        if self._frame.eof:
            self._frame, self._last, self.between = None, False, True
        return data

    def _header(self) -> int | None:
        """How long the header of the frame that begins here is, which is allowed; None: not all of it is there."""
        magic = self.input[:4]
        if magic[:1] and 0x50 <= magic[0] <= 0x5F and _SKIPPABLE_MAGIC.startswith(magic[1:]):
            self.between = self.between and not magic
            return 8
        if not _ZSTD_MAGIC.startswith(magic):
            raise Damaged("zstd: something follows its end" if self.between else "zstd: it does not begin like one")
        self.between = self.between and not magic
        if len(self.input) < 6:
            return None
        flags = self.input[4]
        single, sizes = flags & 0x20, flags >> 6
        content = (1 if single else 0, 2, 4, 8)[sizes]
        at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
        if len(self.input) < at + content:
            return None
        if single:
            window = int.from_bytes(self.input[at : at + content], "little") + (256 if sizes == 1 else 0)
        else:
            base = 1 << (10 + (self.input[5] >> 3))
            window = base + base // 8 * (self.input[5] & 7)
        if window > WINDOW:
            raise Damaged(f"zstd: it needs a window of {window} bytes, at most {WINDOW} are allowed; unpack it")
        self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj(write_size=_STEP)
        self._checksum = bool(flags & 4)
        return at + content

    def _block(self) -> int | None:
        """How long the block that begins here is, with its header."""
        if len(self.input) < 3:
            return None
        header = int.from_bytes(self.input[:3], "little")
        kind, size = header >> 1 & 3, header >> 3
        if kind == 3 or size > _STEP:
            raise Damaged("zstd: a block that cannot be")
        size = 3 + (1 if kind == 1 else size)
        if len(self.input) >= size:
            self._last = bool(header & 1) and self._checksum
        return size


class Packed:
    """A compressed file that is open. The descriptor stays the caller's."""

    def __init__(self, descriptor: int, kind: Kind) -> None:
        self._descriptor = descriptor
        self._kind = kind
        self.end: End | None = None
        """What was met when the last call could not read further; None while it could."""
        self.reason = ""
        """Where it is damaged: how."""
        self._start_over()

    def _start_over(self) -> None:
        self._decoder: _Decoder = _Gzip() if self._kind == "gzip" else _Zstd()
        self._used = 0  # compressed bytes given to the decoder
        self._base = 0
        self._kept = bytearray()
        self.end = None

    @property
    def length(self) -> int:
        """Decompressed bytes found so far; all there are once ``end`` is ``complete`` or ``damaged``."""
        return self._base + len(self._kept)

    def rest(self, size: int) -> int:
        """Of the ``size`` compressed bytes in the file, those behind what could be decompressed."""
        return size - self._used + len(self._decoder.input)

    def pread(self, size: int, at: int) -> bytes:
        """``size`` decompressed bytes from ``at`` on; fewer where the file ends, see ``end``.

        :raises OSError: the file cannot be read.
        """
        if at < self._base:
            self._start_over()
        while self.length < at + size or self.length < at:
            piece = self._step()
            if piece is None:
                break
            self._kept += piece
            self._trim(at)
        self._trim(at)
        begin = at - self._base
        return bytes(self._kept[begin : begin + size])

    def _trim(self, at: int) -> None:
        surplus = min(at, self.length) - KEEP - self._base
        if surplus > 0:
            del self._kept[:surplus]
            self._base += surplus

    def _step(self) -> bytes | None:
        if self.end == "damaged":
            return None
        try:
            while (data := self._decoder.step()) is None:
                piece = os.pread(self._descriptor, _READ, self._used)
                if not piece:
                    self.end = "complete" if self._decoder.between else "growing"
                    return None
                self._decoder.input += piece
                self._used += len(piece)
        except Damaged as damage:
            self.end, self.reason = "damaged", str(damage)
            return None
        self.end = None
        return data


def kind_of(name: str, descriptor: int) -> Kind | None:
    """How a file is compressed: its name says so, and its first bytes do not contradict (an empty one does not)."""
    suffix = os.path.splitext(name)[1]
    kinds = [kind for of, kind in SUFFIXES.items() if suffix in (of, UNFINISHED)]
    head = os.pread(descriptor, 4, 0) if kinds else b""
    return next((kind for kind in kinds if _may_begin(kind, head)), None)


def _may_begin(kind: Kind, head: bytes) -> bool:
    if kind == "gzip":
        return _GZIP_MAGIC.startswith(head[:2])
    skippable = head[:1] != b"" and 0x50 <= head[0] <= 0x5F and _SKIPPABLE_MAGIC.startswith(head[1:])
    return skippable or _ZSTD_MAGIC.startswith(head)
