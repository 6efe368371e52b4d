"""Where open records begin, in the files that they stand in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from shipper.sources.file.framing import Chunk, line_starts

if TYPE_CHECKING:
    from shipper.sources.file.tail import Tail


class Starts:
    """Where the lines of a chunk begin in the file; found out only if somebody asks."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._all: list[int] | None = None

    def all(self) -> list[int]:
        """Of each line."""
        if self._all is None:
            self._all = line_starts(self._chunk)
        return self._all

    def first(self) -> int:
        """Of the first line."""
        return self._chunk.start if self._as_it_is else self.all()[0]

    def last(self, lines: int, size: int) -> int:
        """Of the last ``lines`` lines, which have ``size`` bytes with their newlines."""
        return self._chunk.end - size if self._as_it_is else self.all()[-lines]

    @property
    def _as_it_is(self) -> bool:
        chunk = self._chunk
        return not chunk.raw and not chunk.partial and len(chunk.data) == chunk.end - chunk.start


@dataclass(slots=True, eq=False)
class Place:
    """One generation of a file, as far as it was handed to a joiner."""

    tail: "Tail"
    generation: bytes
    done: int
    """Before it everything was shipped, or is in ``ahead``: where the next range begins."""
    read: int
    """Up to here it was read."""
    tail_hash: bytes
    """The hash of the bytes before ``read``, as a position keeps it."""
    ahead: dict[str, int] = field(default_factory=dict)
    """Of each stream the lines that begin before it were shipped: see ``Position.ahead``."""
    lead: bytes = b""
    """The last bytes before ``read``, as far as they are known."""


@dataclass(slots=True, eq=False)
class Mark:
    """Where an open record begins in a place, or goes on there."""

    place: Place
    start: int
    tail_hash: bytes = b""
    """The hash of the bytes before ``start``; empty until it is needed."""


Marks: TypeAlias = list[Mark]


def together(marks: Iterable[Mark]) -> Marks:
    """The first mark of each place."""
    found: dict[Place, Mark] = {}
    for mark in marks:
        found.setdefault(mark.place, mark)
    return list(found.values())


@dataclass(slots=True)
class Closed:
    """Records that were closed."""

    data: bytes
    """As they stand in a payload of the stage's format."""
    count: int
    counts: Counter[Place]
    """How many of them begin in which place."""
    replaced: int = 0
    """Lines that were read and in which U+FFFD stands for invalid UTF-8 from here on."""
