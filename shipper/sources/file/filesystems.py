"""File systems where a write gives no event to those who watch: another machine, or another process below, makes it."""

import ctypes
import functools
import os
import sys
from typing import Any, Final

_KNOWN: Final = {
    0x01021997: "9p",
    0x01161970: "GFS2",
    0x0BD00BD0: "Lustre",
    0x19830326: "BeeGFS",
    0x47504653: "GPFS",
    0x517B: "SMB",
    0x5346414F: "AFS",
    0x564C: "NCP",
    0x65735546: "FUSE",
    0x6969: "NFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0x786F4256: "vboxsf",
    0x7C7C6673: "prl_fs",
    0x00C36400: "Ceph",
    0xA501FCF5: "VxFS",
    0xAAD7AAEA: "PanFS",
    0xBACBACBC: "vmhgfs",
    0xBEEFDEAD: "SNFS",
    0xFE534D42: "SMB",
    0xFF534D42: "SMB",
}
"""By the number that ``statfs(2)`` gives them."""
_ROOM: Final = 512
_NUMBER: Final = ctypes.sizeof(ctypes.c_long)


@functools.cache
def _libc() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.statfs.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    return library


def silent(path: str) -> str | None:
    """The name of a directory's file system where not all changes give events; None where they do, or it is not there.

    A local disk behind FUSE counts too: from here it looks like any other.
    """
    if not sys.platform.startswith("linux"):
        return None  # ``statfs`` says other things elsewhere
    found = ctypes.create_string_buffer(_ROOM)
    if _libc().statfs(os.fsencode(path), found) != 0:
        return None
    return _KNOWN.get(int.from_bytes(found.raw[:_NUMBER], sys.byteorder) & 0xFFFFFFFF)
