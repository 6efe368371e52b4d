"""Imported first by a long-running process: what keeps its memory small.

Measured on CPython 3.11, x86-64: ``asyncio`` imports ``ssl``, and with it OpenSSL, 4 MiB that a process which ships
over gRPC never uses (gRPC brings its own). ``asyncio`` works without ``ssl``; here it is loaded that way, and
``import ssl`` works as ever afterwards. See docs/decisions/005-lean-process.md.
"""

import ctypes
import resource
import sys
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_KIB: Final = 1024


def import_asyncio_without_ssl() -> None:
    """Import asyncio without OpenSSL, unless somebody imported either before."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # what Python documents for "this import fails"
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


def tune_allocator() -> None:
    """Tell glibc to give freed memory back: one arena for all threads, and no ever-growing threshold for mmap.

    Does nothing where the C library knows no ``mallopt``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 1024 * _KIB)
        mallopt(_M_TRIM_THRESHOLD, 512 * _KIB)


def trim() -> None:
    """Give memory back that is free but scattered: what thousands of connections left behind. It takes milliseconds.

    Does nothing where the C library knows no ``malloc_trim``.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def raise_file_limit() -> int:
    """Allow as many open files as the system permits this process; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft
