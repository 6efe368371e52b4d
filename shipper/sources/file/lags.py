"""How far behind each file is: the sum over the generations that are read under one path."""

from collections.abc import Callable

from shipper.sources.file.tail import Tail


class Lags:
    """Adds up unread bytes by file and reports what changed."""

    def __init__(self, report: Callable[[str, int | None], None]) -> None:
        self._report = report
        self._tails: dict[Tail, tuple[str, int]] = {}
        self._files: dict[str, tuple[int, int]] = {}  # tails and bytes

    @property
    def unread(self) -> int:
        """Bytes unread in all files."""
        return sum(size for _, size in self._tails.values())

    def set(self, tail: Tail, unread: int | None) -> None:
        """A tail has so many unread bytes; None: it is not followed any more."""
        before = self._tails.pop(tail, None)
        after = None if unread is None else (tail.label, unread)
        if after is not None:
            self._tails[tail] = after
        if before == after:
            return
        changed = dict.fromkeys(entry[0] for entry in (before, after) if entry is not None)
        if before is not None:
            self._add(before[0], -1, -before[1])
        if after is not None:
            self._add(after[0], 1, after[1])
        for file in changed:
            tails, size = self._files[file]
            if not tails:
                del self._files[file]
            self._report(file, size if tails else None)

    def _add(self, file: str, tails: int, size: int) -> None:
        count, total = self._files.get(file, (0, 0))
        self._files[file] = (count + tails, total + size)
