"""What rotated files are called: which names can belong to one log. No I/O.

Names only narrow the search; what a file is, its content decides. So these rules are generous.
"""

import functools
import os
import re
from typing import Final

from shipper.sources.file.packed import SUFFIXES, UNFINISHED

_ENDING: Final = re.compile(r"[-._~](?:\d[-\d_.:TZ+]*|old|bak|copy|orig|prev|save)$")
"""``app.log.1``, ``app.log-20240101``, ``app.log.2024-01-01T10:00``, ``app.log.old``."""
_MIDDLE: Final = re.compile(r"[-._]\d[-\d_.:TZ+]*(?=\.[A-Za-z]+$)")
"""``app-20240101.log``, ``app.2024-01-01.3.log``."""


def stem(path: str) -> str:
    """The path without the suffix of compressed files, whole or not: that of the file it was made of."""
    front, suffix = os.path.splitext(path)
    if suffix == UNFINISHED:
        return stem(front)
    return front if suffix in SUFFIXES else path


@functools.lru_cache(maxsize=8192)
def root(path: str) -> str:
    """The name that a log had before it was rotated, as far as a name can tell."""
    name = os.path.basename(stem(path))
    while (shorter := _ENDING.sub("", name)) and shorter != name:
        name = shorter
    return _MIDDLE.sub("", name)


def derived(path: str, original: str) -> bool:
    """Whether a file may be a rotated copy of ``original``."""
    return root(path) == root(original) and len(os.path.basename(path)) > len(os.path.basename(original))
