"""The application of the demo: it writes its logs at a steady rate and never waits for anybody."""

import asyncio
import time
from pathlib import Path
from typing import BinaryIO, Final

from shipper.demo.lines import KINDS, Kind

_TICK: Final = 0.02
_MOST: Final = 2000
"""Lines written at one go, after a pause of the machine."""


class Writer:
    """Writes one file a kind in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self.written = dict.fromkeys((kind.name for kind in KINDS), 0)
        """Whole lines in the files, by kind."""
        self.share = 1.0
        """Of the kinds' rates: 1 is full speed."""

    @property
    def total(self) -> int:
        """Lines of all kinds."""
        return sum(self.written.values())

    async def run(self) -> None:
        """Write until cancelled; what was begun is whole then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            self._open(kind.name)
        due = dict.fromkeys(self.written, 0.0)
        last = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                for kind in KINDS:
                    due[kind.name] = min(due[kind.name] + (now - last) * kind.rate * self.share, _MOST)
                    count = int(due[kind.name])
                    due[kind.name] -= count
                    self._write(kind, count)
                last = now
                await asyncio.sleep(_TICK)
        finally:
            for file in self._files.values():
                file.close()

    def rotate(self, name: str) -> str:
        """Rename the file and go on in a new one, as logrotate does; returns the old one's new name."""
        path = self._path(name)
        older = path.with_name(f"{path.name}.1")
        path.rename(older)
        self._files[name].close()
        self._open(name)
        return older.name

    def _write(self, kind: Kind, count: int) -> None:
        first, now = self.written[kind.name], time.time()
        self._files[kind.name].write(b"".join(kind.make(first + i, now) for i in range(count)))
        self.written[kind.name] += count

    def _open(self, name: str) -> None:
        self._files[name] = self._path(name).open("ab", buffering=0)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.log"
