"""Which file is read before which: what stood under a path earlier comes first, so order holds across rotations."""

from shipper.sources.file.tail import Tail


class Order:
    """The files that stood under each path, the earliest first, until they are read to their ends."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Tail]] = {}
        self._paths: dict[Tail, str] = {}
        self._left: dict[Tail, int] = {}
        self._ends: dict[Tail, int] = {}

    def add(self, tail: Tail, path: str, left: int = 0) -> None:
        """A tail was found under its path, after all that were found there before; or it was there and ``left``: then
        its place is among those that left too.
        """
        line = self._lines.setdefault(path, [])
        at = len(line)
        while (
            left
            and at
            and ((line[at - 1].linked and line[at - 1].path == path) or self._left.get(line[at - 1], 0) > left)
        ):
            at -= 1
        line.insert(at, tail)
        self._paths[tail] = path
        if left:
            self._left[tail] = left

    def leaves(self, tail: Tail, left: int) -> None:
        """A tail was renamed away; ``left`` counts such events."""
        if tail in self._paths:
            self._left[tail] = left

    def older(self, tail: Tail) -> Tail | None:
        """What has to be read before a tail: the first that stood under its path."""
        line = self._lines.get(self._paths.get(tail, ""))
        return None if line is None or line[0] is tail else line[0]

    def end(self, older: Tail) -> int:
        """How much of an older file comes first: what it held when this was asked for the first time. The newer one has
        bytes by then, so whoever writes has left the older one.
        """
        return self._ends.setdefault(older, older.size)

    def done(self, tail: Tail) -> None:
        """Nothing has to wait for this tail any more."""
        path = self._paths.pop(tail, None)
        if path is not None:
            self._lines[path].remove(tail)
            if not self._lines[path]:
                del self._lines[path]
        self._left.pop(tail, None)
        self._ends.pop(tail, None)
