"""Memory that connections leave behind, given back to the system.

The C library keeps what was freed, and Python what refers to itself in circles, for later. After thousands of
connections that is most of the process's memory.
"""

import asyncio
import gc
import os
import time
from typing import Final

from shipper import lean
from shipper.process import resident

_EVERY: Final = 10.0
_ABOVE: Final = 16 * 1024 * 1024
"""So much more than the least is worth an attempt, which takes some milliseconds."""
_WENT: Final = 64
"""Descriptors fewer than before: connections went. Only then Python's circles are looked for, which holds everybody
up."""


class Leftovers:
    """Looks now and then; one for the process."""

    def __init__(self) -> None:
        self._least = resident()
        self._most_open = 0
        self._looked = time.monotonic()

    async def tick(self) -> None:
        """Called about once a second."""
        now = time.monotonic()
        if now - self._looked < _EVERY:
            return
        self._looked = now
        used = resident()
        self._least = min(self._least, used)
        if used < self._least + _ABOVE:
            return
        is_open = len(os.listdir("/proc/self/fd"))
        if self._most_open - is_open >= _WENT:
            self._most_open = is_open
            gc.collect()
        self._most_open = max(self._most_open, is_open)
        await asyncio.to_thread(lean.trim)
