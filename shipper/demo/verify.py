"""Counts, record by record, what arrived at the collector."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from shipper.demo.lines import Kind


@dataclass(slots=True)
class Tally:
    """What became of the lines of one kind."""

    kind: str
    written: int
    delivered: int = 0
    """Records in the collector's file, whatever they are."""
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    """Records that are not what was written, or were never written."""
    in_order: bool = True

    @property
    def well(self) -> bool:
        """Every line once, unaltered, in order."""
        return self.in_order and not (self.lost or self.doubled or self.altered)


def verify(path: Path, kind: Kind, written: int) -> Tally:
    """Compare the collector's file with the lines 0 to ``written - 1``. A file that is not there is an empty one."""
    tally = Tally(kind.name, written)
    seen = bytearray(written)
    last = -1
    for line in _lines(path):
        tally.delivered += 1
        number, unaltered = _identify(kind, line)
        if not unaltered or not 0 <= number < written:
            tally.altered += 1
            continue
        if seen[number]:
            tally.doubled += 1
            continue
        seen[number] = 1
        tally.in_order = tally.in_order and number > last
        last = number
    tally.lost = written - sum(seen)
    return tally


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return


def _identify(kind: Kind, line: bytes) -> tuple[int, bool]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return -1, False
    return kind.identify(record) if isinstance(record, dict) else (-1, False)


class Counter:
    """How many lines a growing file holds; reads only what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.lines = 0

    def look(self) -> int:
        """Read on, and return the number of lines. A file that was cut back is read from its start."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._at:
                    self.again()
                file.seek(self._at)
                while chunk := file.read(1 << 18):
                    self._at += len(chunk)
                    self.lines += chunk.count(b"\n")
        except FileNotFoundError:
            self.again()
        return self.lines

    def again(self) -> None:
        """Count from the start at the next look."""
        self._at = self.lines = 0
