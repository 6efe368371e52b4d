"""How many lines a growing file has, however often that is asked."""

from pathlib import Path


class Growing:
    """One file, which may be cut off."""

    def __init__(self) -> None:
        self._at = self._lines = 0

    def lines(self, path: Path) -> int:
        """Those that end; 0 while the file is not there. Only what is new is read."""
        if not path.exists():
            return 0
        with path.open("rb") as file:
            if path.stat().st_size < self._at:  # a start cut off what it did not know to be durable
                self._at = self._lines = 0
            file.seek(self._at)
            while block := file.read(1 << 20):
                self._at, self._lines = self._at + len(block), self._lines + block.count(b"\n")
        return self._lines
