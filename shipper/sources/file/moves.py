"""Files that the globs mean and that were renamed, until a scan has dealt with them. No I/O.

In a burst of rotations a file may have come and gone between two scans. Where it went is under no pattern; but the
system told both halves of each rename, so this is how it is found.
"""

from dataclasses import dataclass
from typing import Final

_HALVES: Final = 64
"""Halves of renames that wait for the other half, which comes at once or never."""


@dataclass(slots=True, eq=False)
class Moved:
    """A file that was renamed. Each renaming makes a new object: while an object is kept, its file is at its place."""

    origin: str
    """The path under which it would have been followed."""
    left: int
    """When it left that path: a number that grows with each such event."""


class Moves:
    """By the path where each file stands now."""

    def __init__(self) -> None:
        self._places: dict[str, Moved] = {}
        self._halves: dict[int, Moved] = {}
        self._count = 0
        self.gone: set[str] = set()
        """The paths that files left which were deleted before a scan has dealt with them."""

    def leaves(self, path: str, cookie: int, *, followed: bool) -> None:
        """A file was renamed away from a path; ``followed``: the globs mean that path."""
        moved = self._places.pop(path, None)
        if moved is None and followed:
            self._count += 1
            moved = Moved(path, self._count)
        if moved is None:
            return
        self._halves[cookie] = moved
        while len(self._halves) > _HALVES:  # renamed to where nobody watches
            del self._halves[next(iter(self._halves))]

    def arrives(self, path: str, cookie: int) -> None:
        """A file was renamed to a path, over whatever was there."""
        self.deleted(path)
        moved = self._halves.pop(cookie, None)
        if moved is not None:
            self._places[path] = Moved(moved.origin, moved.left)

    def deleted(self, path: str) -> None:
        """A file was deleted, or another one was renamed over it."""
        moved = self._places.pop(path, None)
        if moved is not None:
            self.gone.add(moved.origin)

    def waiting(self) -> list[tuple[str, Moved]]:
        """What no scan has dealt with, in the order in which the files left their paths."""
        return sorted(self._places.items(), key=lambda item: item[1].left)

    def still(self, place: str, moved: Moved) -> bool:
        """Whether a file was not renamed again, nor deleted."""
        return self._places.get(place) is moved

    def done(self, place: str, moved: Moved) -> None:
        """The file at a place was dealt with; if it was renamed again meanwhile it stays."""
        if self.still(place, moved):
            del self._places[place]

    def pending(self, origin: str) -> bool:
        """Whether there are files that left this path and that no scan has dealt with."""
        return any(moved.origin == origin for moved in self._places.values())
