"""Imported first by a long-running process: what keeps its memory small.

Measured on CPython 3.11, x86-64: ``asyncio`` imports ``ssl``, and with it OpenSSL, 4 MiB that a process which ships
over gRPC never uses (gRPC brings its own). ``asyncio`` works without ``ssl``; here it is loaded that way, and
``import ssl`` works as ever afterwards. See docs/decisions/005-lean-process.md.
"""

import ctypes
import gc
import importlib
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MADV_DONTNEED: Final = 4
_KIB: Final = 1024


def import_asyncio_without_ssl() -> None:
    """Import asyncio without OpenSSL, unless somebody imported either before; and pathlib without ``ipaddress``."""
    with postponed("ipaddress"):  # by way of urllib.parse
        import pathlib  # noqa: F401
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # what Python documents for "this import fails"
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


def give_asyncio_ssl() -> None:
    """Let asyncio's own TLS work after ``import_asyncio_without_ssl``: for a component that cannot do without it.

    It costs what was saved, 4 MiB, in the processes that ask for it.
    """
    import asyncio.base_events
    import asyncio.selector_events
    import asyncio.sslproto
    import ssl

    if getattr(asyncio.sslproto, "ssl", None) is ssl:
        return
    for module in (asyncio.base_events, asyncio.selector_events):
        vars(module)["ssl"] = ssl
    importlib.reload(asyncio.sslproto)  # what it defines depends on ``ssl``


@contextmanager
def postponed(name: str) -> Iterator[None]:
    """What is imported meanwhile gets a stand-in for a module, which imports it when something of it is asked for.

    Afterwards ``import`` of it works as ever. For modules that others import for the rare case, with ``import x`` or
    ``from package import x``; ``importlib.util.LazyLoader`` would load them when a second one imports them.
    """
    if name in sys.modules:
        yield
        return
    stand_in = ModuleType(name)

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system looks for some: that is no use of the module
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__getattr__ = load  # type: ignore[method-assign]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


def tune_allocator() -> None:
    """Tell glibc to give freed memory back: one arena for all threads, and no ever-growing threshold for mmap.

    Does nothing where the C library knows no ``mallopt``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 1024 * _KIB)
        mallopt(_M_TRIM_THRESHOLD, 2048 * _KIB)  # less: what four frames take comes and goes, at 5 % of all CPU


def trim() -> None:
    """Give memory back that is free but scattered: what thousands of connections left behind. It takes milliseconds.

    Does nothing where the C library knows no ``malloc_trim``.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def forget_start() -> None:
    """Give back what only the start needed: garbage, free memory, and the code that ran once, of gRPC above all.

    The pages of code leave the process, not the page cache: what is still needed comes back with the next call, without
    a look at the disk, and for the rest the kernel need not ask this process any more. Takes about 30 ms. Does nothing
    about the code where there is no ``/proc``.
    """
    gc.collect()
    trim()
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with suppress(OSError):
        for start, end in _unwritten_code():
            madvise(start, end - start, _MADV_DONTNEED)


def _unwritten_code() -> list[tuple[int, int]]:
    """Where files are mapped read-only and no page differs from its file: one with relocations must stay.

    :raises OSError: this system does not tell.
    """
    found: list[tuple[int, int]] = []
    mapped: tuple[int, int] | None = None
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if not words[0].endswith(":"):  # "7f31c0000000-7f31c0021000 r-xp 00000000 08:01 1234   /usr/lib/libm.so"
                start, _, end = words[0].partition("-")
                wanted = words[1] in {"r-xp", "r--p"} and len(words) > 5 and words[5].startswith("/")
                mapped = (int(start, 16), int(end, 16)) if wanted else None
            elif words[0] == "Anonymous:" and mapped is not None and words[1] == "0":
                found.append(mapped)
    return found


def raise_file_limit() -> int:
    """Allow as many open files as the system permits this process; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft
