"""Programs whose logs are on a disk that loses its power: what they did not sync is gone, and they go on from there."""

import os
import random
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Final

from faults.held import arrivals, compare, lines_of
from faults.oracle import line
from faults.row import Outcome

_TICK: Final = 0.02


class Programs:
    """Each writes lines of the campaign to ``FOLDER/NAME.log``, and rotates that by renaming it.

    What has to arrive is what the files hold in the end, and nothing else.
    """

    def __init__(
        self, folder: Path, dice: random.Random, syncs: Mapping[str, float], *, rate: int, rotate: float
    ) -> None:
        """``syncs``: how likely each program is to sync its file after a write; 0: it never does. ``rate``: lines a
        second in all. ``rotate``: seconds between two rotations of a file, on average, once the files are ``known``.
        """
        folder.mkdir()
        self._folder = folder
        self._dice, self._syncs = random.Random(dice.random()), syncs
        self._each = max(1, round(rate * _TICK / len(syncs)))
        self._pause = self._each * len(syncs) / rate
        self._turns = self._pause / rotate
        self._next = dict.fromkeys(syncs, 0)
        """The number of the line that each writes next: what is gone is not written again."""
        self._files: dict[str, FileIO] = {}
        self.known = threading.Event()
        """The agent has seen the files: nobody can find one that was renamed before."""
        self._off = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """They look at what their files are, and go on there: some after a newline, where the last line has none."""
        for name in self._syncs:
            with self._log(name).open("a+b") as file:
                file.seek(0)
                data = file.read()
                if data and not data.endswith(b"\n") and self._dice.random() < 0.5:
                    file.write(b"\n")
            self._files[name] = self._log(name).open("ab", buffering=0)
        self._off.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """They stop where they are, in the middle of a line perhaps, and have no file open any more."""
        self._off.set()
        if self._thread is not None:
            self._thread.join()
        for file in self._files.values():
            file.close()

    def finish(self) -> None:
        """They stop, and what each writes to ends with a whole line then."""
        self.halt()
        for name in self._syncs:
            with self._log(name).open("ab") as file:
                file.write(self._lines(name))

    @property
    def total(self) -> int:
        """Lines that the files hold; to be read when the programs have finished."""
        return sum(len(lines_of(file)) for files in self._held().values() for file in files)

    def judge(self, outcome: Outcome, out: Path) -> Outcome:
        """Compare what the files hold with what a sink wrote."""
        return compare(outcome, self._held(), arrivals(out) if out.exists() else ())

    def files(self) -> dict[int, tuple[str, int]]:
        """The name of each file by its inode number, and its bytes without NULs that a cut left at its end."""
        return {
            path.stat().st_ino: (path.name, len(path.read_bytes().rstrip(b"\0"))) for path in self._folder.iterdir()
        }

    def _held(self) -> dict[str, list[bytes]]:
        """What is in the files of each log, the oldest first."""
        return {
            self._log(name).name: [path.read_bytes() for path in [*self._rotated(name), self._log(name)]]
            for name in self._syncs
        }

    def _run(self) -> None:
        while not self._off.is_set():
            for name in self._syncs:
                self._write(name)
                if self.known.is_set() and self._dice.random() < self._turns and not self._off.is_set():
                    self._turn(name)
            self._off.wait(self._pause)

    def _write(self, name: str) -> None:
        data = self._lines(name)
        cut = self._dice.randrange(len(data))
        for part in (data[:cut], data[cut:]):
            self._files[name].write(part)
            if self._dice.random() < self._syncs[name]:
                os.fsync(self._files[name].fileno())
            if self._off.is_set():
                return

    def _lines(self, name: str) -> bytes:
        begin = self._next[name]
        self._next[name] += self._each
        return "".join(f"{line(name, number)}\n" for number in range(begin, begin + self._each)).encode()

    def _turn(self, name: str) -> None:
        """Every other time the new names are made durable."""
        log, rotated = self._log(name), self._rotated(name)
        log.rename(f"{log}.{_number(rotated[-1]) + 1 if rotated else 1}")
        self._files[name].close()
        self._files[name] = log.open("ab", buffering=0)
        if self._dice.random() < 0.5:
            folder = os.open(self._folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _rotated(self, name: str) -> list[Path]:
        """The oldest first."""
        return sorted(self._folder.glob(f"{name}.log.*"), key=_number)


def _number(rotated: Path) -> int:
    return int(rotated.suffix[1:])
