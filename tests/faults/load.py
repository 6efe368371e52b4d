"""Programs that write logs: several files at once, in the middle of a line now and then, and rotated."""

import random
import threading
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Final

from faults.oracle import Judge, line, messages
from faults.row import Outcome

_TICK: Final = 0.02


class Load(threading.Thread):
    """Writes lines of the campaign to ``FOLDER/NAME.log`` for every name, until ``finish``."""

    def __init__(
        self, folder: Path, dice: random.Random, names: Sequence[str], *, rate: int, size: int = 60, rotate: float = 0
    ) -> None:
        """``rate``: lines a second in all. ``size``: as of ``oracle.line``. ``rotate``: seconds between rotations, once
        the files are ``known``.
        """
        super().__init__(daemon=True)
        folder.mkdir(exist_ok=True)
        self._logs = {name: folder / f"{name}.log" for name in names}
        self._dice, self._size = random.Random(dice.random()), size
        self._each = max(1, round(rate * _TICK / len(names)))
        self._pause = self._each * len(names) / rate
        self._rotate = rotate
        self._rotated = 0
        self._going, self._resting, self._done = threading.Event(), threading.Event(), threading.Event()
        self._going.set()
        self.known = threading.Event()
        """The agent has seen the files: nobody can find one that was gone before."""
        self.written: dict[str, int] = dict.fromkeys(names, 0)
        """Lines of each file that are complete; read it while the load rests."""

    @property
    def total(self) -> int:
        """Complete lines of all files."""
        return sum(self.written.values())

    def rest(self) -> None:
        """Write nothing more for now; what was begun is complete when this returns."""
        self._going.clear()
        assert self._resting.wait(60), "the load rests"

    def go_on(self) -> None:
        """Write again."""
        self._resting.clear()
        self._going.set()

    def counted(self) -> int:
        """Complete lines of all files, with all that may have arrived already: none is half written or uncounted."""
        self.rest()
        total = self.total
        self.go_on()
        return total

    def finish(self) -> None:
        """Write no more, and end; every line is complete then."""
        self._done.set()
        self._going.set()
        self.join()

    def tidy(self) -> None:
        """Delete the rotated files; only where all was delivered."""
        for log in self._logs.values():
            for old in log.parent.glob(f"{log.name}.*"):
                old.unlink()

    def judge(self, outcome: Outcome, out: Path) -> Outcome:
        """Every line that is in the file of a sink so far, while the load rests."""
        heard = Judge()
        heard.hear(messages(out) if out.exists() else [])
        return heard.give(outcome, self.written)

    def run(self) -> None:
        handles = {name: log.open("ab", buffering=0) for name, log in self._logs.items()}
        rotated = time.monotonic()
        while not self._done.is_set():
            if not self._going.is_set():
                self._resting.set()
                self._going.wait()
                continue
            for name, handle in handles.items():
                self._write(name, handle)
            if self._rotate and self.known.is_set() and time.monotonic() >= rotated + self._rotate:
                handles = {name: self._turn(name, handle) for name, handle in handles.items()}
                rotated = time.monotonic()
            time.sleep(self._pause)
        for handle in handles.values():
            handle.close()

    def _write(self, name: str, handle: FileIO) -> None:
        begin = self.written[name]
        data = "".join(line(name, number, self._size) + "\n" for number in range(begin, begin + self._each)).encode()
        cut = self._dice.randrange(len(data))
        handle.write(data[:cut])
        handle.write(data[cut:])
        self.written[name] = begin + self._each

    def _turn(self, name: str, handle: FileIO) -> FileIO:
        """As logrotate does with ``create``."""
        log = self._logs[name]
        self._rotated += 1
        log.rename(f"{log}.{self._rotated}")
        handle.close()
        return log.open("ab", buffering=0)
