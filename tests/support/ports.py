"""Ports on loopback for servers that are killed and come back."""

import random
import socket


def lasting_port() -> int:
    """A free port on loopback that stays free while nobody listens on it.

    Connections to elsewhere take their ports from the range above 32767, so one of those could be gone while a server
    is down.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    """Somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
