"""Files that patterns mean and that are no logs: directories, FIFOs, devices; and what is compressed in a way that is
not known, or not by the name it has. Without this ``app.log.1.xz`` would go out as lines of rubbish. No I/O.

What a file is its first bytes say. Its name only makes an empty one wait for them.
"""

import os
import stat
from collections.abc import Iterable
from typing import Final, NamedTuple

from shipper.sources.file.globs import Sighting
from shipper.sources.file.identity import kind
from shipper.sources.file.packed import UNFINISHED

_EXCLUDE: Final = "exclude it, or compress with gzip or zstd"


class _Form(NamedTuple):
    what: str
    magic: bytes
    suffixes: tuple[str, ...] = ()
    at: int = 0
    advice: str = _EXCLUDE


_FORMS: Final = [
    _Form("compressed with xz", b"\xfd7zXZ\0", (".xz", ".txz")),
    *(_Form("compressed with bzip2", b"BZh%d1AY&SY" % level, (".bz2", ".tbz2")) for level in range(1, 10)),
    *(_Form("compressed with bzip2", b"BZh%d\x17\x72\x45\x38\x50\x90" % level, (".bz2",)) for level in range(1, 10)),
    *(_Form("compressed with compress", b"\x1f\x9d" + bytes([0x80 + bits]), (".Z",)) for bits in range(9, 17)),
    _Form("compressed with lz4", b"\x04\x22\x4d\x18", (".lz4",)),
    _Form("compressed with lzip", b"LZIP\x01", (".lz",)),
    *(
        _Form("compressed with lzma", b"\x5d" + (1 << bits).to_bytes(4, "little") + b"\xff" * 8, (".lzma",))
        for bits in range(12, 31)
    ),
    _Form("compressed with lzop", b"\x89LZO\0\r\n\x1a\n", (".lzo",)),
    _Form("compressed with snappy", b"\xff\x06\0\0sNaPpY", (".sz", ".snappy")),
    _Form("a zip archive", b"PK\x03\x04", (".zip",)),
    _Form("a zip archive", b"PK\x05\x06\0\0\0\0", (".zip",)),
    _Form("a 7z archive", b"7z\xbc\xaf\x27\x1c", (".7z",)),
    _Form("a rar archive", b"Rar!\x1a\x07", (".rar",)),
    _Form("a tar archive", b"ustar\x0000", (".tar",), 257),
    _Form("a tar archive", b"ustar  \0", (".tar",), 257),
    _Form("compressed with gzip", b"\x1f\x8b\x08", advice="it is read when its name ends with .gz"),
    _Form("compressed with zstd", b"\x28\xb5\x2f\xfd", advice="it is read when its name ends with .zst"),
]
"""The magic numbers that ``file`` looks for too; short ones are no text in any encoding."""
_BY_PLACE: Final[dict[tuple[int, int], dict[bytes, _Form]]] = {}
"""By where their magic numbers begin and end: one look for all that stand there."""
for _form in _FORMS:
    _BY_PLACE.setdefault((_form.at, _form.at + len(_form.magic)), {})[_form.magic] = _form
_SUFFIXES: Final = frozenset(suffix for form in _FORMS for suffix in form.suffixes)


class Foreign(OSError):
    """A file is compressed, and not in a way that is read; the message says how and what to do."""


def foreign(path: str, head: bytes) -> Foreign | None:
    """What to say of a file that begins so, with ``PREFIX_SIZE`` bytes or all it has; None: it may be a log."""
    for (start, end), forms in _BY_PLACE.items():
        if (form := forms.get(head[start:end])) is not None:
            return Foreign(f"{path} is {form.what}: left alone; {form.advice}")
    return None


def unfinished(path: str, head: bytes) -> bool:
    """Whether a file that is called like a compressed one is only begun, so that nobody can say what it will be."""
    front, suffix = os.path.splitext(path)
    if suffix == UNFINISHED:
        suffix = os.path.splitext(front)[1]
    return suffix in _SUFFIXES and any(
        suffix in form.suffixes and len(head) < len(form.magic) and form.magic.startswith(head) for form in _FORMS
    )


class Refused:
    """What was refused, so that nobody has to open it again until it changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[tuple[int, int], str]] = {}

    def note(self, sighting: Sighting, error: Foreign) -> None:
        """A file was opened, and is none to read."""
        self._known[sighting.file] = _version(sighting), str(error)

    def keep(self, sightings: Iterable[Sighting]) -> None:
        """Only these are still there."""
        if self._known:
            files = {sighting.file for sighting in sightings}
            self._known = {file: known for file, known in self._known.items() if file in files}

    def problem(self, sighting: Sighting) -> str | None:
        """Why a file that was sighted is left alone; None: it is not, as far as this is known."""
        mode = sighting.info.st_mode
        if not stat.S_ISREG(mode):
            return f"{sighting.path} is {kind(mode)}, not a file: left alone"
        known = self._known.get(sighting.file)
        return known[1] if known is not None and known[0] == _version(sighting) else None


def _version(sighting: Sighting) -> tuple[int, int]:
    return sighting.info.st_size, sighting.info.st_mtime_ns
