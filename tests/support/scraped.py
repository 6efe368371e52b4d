"""What a real process says of itself on its admin port."""

import time
import urllib.request
from typing import Final

_LOOKS: Final = 10
_APART: Final = 0.2
"""Seconds."""


def metric(port: int, name: str) -> float:
    """The value of a metric, named with its labels; 0 if it is not there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)


def settled(port: int, name: str) -> float:
    """The value of a counter once it counts on no more: the last lines make room after other sinks have them.

    Each look is answered by the event loop that counts, so on a machine that is slow it gets its turns as well.
    """
    now, same = metric(port, name), 0
    while same < _LOOKS:
        time.sleep(_APART)
        before, now = now, metric(port, name)
        same = same + 1 if now == before else 0
    return now
