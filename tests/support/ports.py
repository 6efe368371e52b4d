"""Ports on loopback for servers that are killed and come back."""

import os
import random
import socket
from collections import deque
from typing import Final

_FIRST: Final = 20_000
_END: Final = 32_000
_dice: Final = random.SystemRandom()  # nobody seeds it: two processes that did would choose the same ports
_given: Final[deque[int]] = deque(maxlen=256)
"""Ports of late, which may wait for their servers or may have lost them for a moment."""


def lasting_port() -> int:
    """A free port on loopback that stays free while nobody listens on it.

    Connections to elsewhere, and servers that take any port, get theirs from the range above 32767, so one of those
    could be gone before a server starts or while it is down. Test processes side by side divide the rest among them.
    """
    number, processes = _place()
    while True:
        port = _dice.randrange(_FIRST + number, _END, processes)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.append(port)
        return port


def answers(port: int) -> bool:
    """Somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _place() -> tuple[int, int]:
    """Which test process this is, from 0 on, and of how many."""
    name, count = os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return (int(name.removeprefix("gw")) % int(count), int(count)) if name.startswith("gw") else (0, 1)
