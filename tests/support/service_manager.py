"""The other end of $NOTIFY_SOCKET: what systemd would hear from a process."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self


class ServiceManager:
    """A unix datagram socket, and everything that came over it; ``close`` or ``with`` closes it."""

    def __init__(self, path: Path | str) -> None:
        """``path`` may be an abstract name: ``@name``."""
        self.address = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        self.said: list[str] = []
        """Lines, in the order in which they came."""

        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def hear(self) -> list[str]:
        """What has come since the last call."""
        self._receive()
        new, self._at = self.said[self._at :], len(self.said)
        return new

    def wait_for(self, heard: Callable[[str], bool], what: str, seconds: float = 60) -> str:
        """The next line that fits; the lines before it are heard as well."""
        deadline = time.monotonic() + seconds
        while True:
            self._receive()
            while self._at < len(self.said):
                self._at += 1
                if heard(self.said[self._at - 1]):
                    return self.said[self._at - 1]
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}; heard {self.said[-5:]}"
            time.sleep(0.01)

    def wait_for_silence(self, line: str, seconds: float, within: float = 60) -> None:
        """Wait until ``line`` did not come for so many seconds."""
        deadline = time.monotonic() + within
        last = time.monotonic()
        while time.monotonic() - last < seconds:
            if line in self.hear():
                last = time.monotonic()
            assert last < deadline, f"{line} still comes after {within} s"
            time.sleep(0.01)

    def _receive(self) -> None:
        try:
            while True:
                self.said += self.socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            pass
