"""Talks to the service manager that started this process: systemd's notify protocol, and its watchdog.

    READY=1                  sources and sinks run
    STATUS=...               one line for people: ``systemctl status`` shows it
    WATCHDOG=1               data moves, or nobody here is to blame that it does not (``Readiness.alive``)
    STOPPING=1               the drain begins
    EXTEND_TIMEOUT_USEC=...  it goes on, and still moves: do not kill this process yet

A message is one datagram to the unix socket that ``$NOTIFY_SOCKET`` names (a path, or ``@`` and an abstract name).
Without it nobody asked, and nothing happens. A socket that does not answer is no reason to stop shipping: the log says
so. The messages are sent on the event loop, so that a loop that stands still feeds nobody.
"""

import asyncio
import faulthandler
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from shipper.log import get_logger

TICK: Final = 5.0
"""Seconds between two messages, where the watchdog does not ask for more."""
TICKS: Final = 4
"""Messages at least in the time that the watchdog allows."""
_EXTENSION: Final = 3 * TICK
_MICROSECONDS: Final = 1_000_000
log = get_logger("notify")


class ServiceManager:
    """Whoever started this process and listens at ``$NOTIFY_SOCKET``. All methods are called on the event loop."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address: Final = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog: Final = _watchdog(environment) if address else None
        """Seconds that the watchdog allows between two feedings; None: there is no watchdog."""
        self.interval: Final = TICK if self.watchdog is None else min(TICK, self.watchdog / TICKS)
        """Seconds between two messages."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._stopping = False

    def ready(self) -> None:
        """Sources and sinks run: units that are ordered after this one may start."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The drain begins; ``run`` asks for time as long as it lasts."""
        self._stopping = True
        self._send("STOPPING=1", *self._more_time())

    async def run(self, alive: Callable[[float], bool], status: Callable[[], str]) -> None:
        """Tell how it goes until cancelled; returns at once when nobody listens.

        ``alive`` is asked whether nothing here stood still for so many seconds, ``status`` for the line for people.
        """
        if self._socket is None:
            return
        if self.watchdog is not None:
            faulthandler.enable()  # the watchdog kills with SIGABRT: then the log says where every thread stood
        while True:
            # Half of the time: systemd counts the whole of it from the last feeding, which came before the stall.
            if self.watchdog is None or _fine(alive, self.watchdog / 2):
                fed = [] if self.watchdog is None else ["WATCHDOG=1"]
                self._send(f"STATUS={_line(status)}", *fed, *self._more_time())
            await asyncio.sleep(self.interval)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def _more_time(self) -> list[str]:
        return [f"EXTEND_TIMEOUT_USEC={int(_EXTENSION * _MICROSECONDS)}"] if self._stopping else []

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning("the service manager cannot be told how it goes", socket=self._address, why=why, every=60.0)


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Seconds; None when there is none, or it is meant for another process (that of a wrapper script)."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / _MICROSECONDS if microseconds.isdecimal() and int(microseconds) else None


def _fine(alive: Callable[[float], bool], allowed: float) -> bool:
    try:
        return alive(allowed)
    except Exception as error:  # noqa: BLE001 - it asks sinks, which may be anybody's code; a bug there is no stall
        log.warning("it cannot be judged whether data moves", exc=error, every=60.0)
        return True


def _line(status: Callable[[], str]) -> str:
    """One line: a line break would begin another message."""
    try:
        return " ".join(status().split())
    except Exception as error:  # noqa: BLE001 - what is only shown must not end what feeds the watchdog
        log.warning("the status line failed", exc=error, every=60.0)
        return "running; the status line failed, the log says why"
