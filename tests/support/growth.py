"""How the time that something takes grows with its input."""

import time
from collections.abc import Callable

_TIMES = 8
_MOST = 3 * _TIMES
"""Linear work takes eight times as long for eight times the text, quadratic work 64 times."""
_LEAST = 0.004
"""Seconds: what takes less says nothing about how it grows."""
_TRIES = 4


def grows_linearly(do: Callable[[int], object], size: int) -> bool:
    """Whether ``do(size)`` takes not much more than eight times the CPU time of ``do(size // 8)``, at least once."""
    for _ in range(_TRIES):
        small = max(_LEAST, _seconds(do, size // _TIMES))
        if _seconds(do, size) < _MOST * small:
            return True
    return False


def _seconds(do: Callable[[int], object], size: int) -> float:
    began = time.thread_time()
    do(size)
    return time.thread_time() - began
