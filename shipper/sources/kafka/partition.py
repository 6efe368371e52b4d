"""One partition that is ours now, and how far it is."""

from dataclasses import dataclass

import msgspec

from shipper.errors import UNREADABLE, SourceError
from shipper.sources.kafka.client import Place
from shipper.sources.kafka.position import Position, metadata


@dataclass(slots=True, eq=False)
class Partition:
    """A partition from its assignment until it is given back."""

    place: Place
    generation: bytes
    taken: int
    """The first offset that no batch has covered."""
    passed: int
    """All before it was taken or has no record."""
    durable: int
    """All before it that has a record is in the spool and synced."""
    time: int
    """The latest time of a record before ``taken``, in milliseconds since 1970; -1: not known."""
    committed: int | None = None
    """What the group holds, by our word; None: not told yet."""
    since: int | None = None
    """Where we had stopped when it was ours before: what others read up to ``taken`` is no hole in our ledger."""

    @classmethod
    def at(cls, place: Place, position: Position) -> "Partition":
        """A partition of which nothing was read since it is ours."""
        offset = position.offset
        return cls(place, position.generation, offset, offset, offset, position.time)

    @property
    def key(self) -> str:
        """The key of its state in the spool."""
        return f"{self.place[0]}/{self.place[1]}"

    @property
    def metadata(self) -> str:
        """What is committed beside an offset."""
        return metadata(self.generation)


def place_of(key: str) -> Place:
    """The partition of a key of the state. Topics hold no slash."""
    topic, _, number = key.rpartition("/")
    return topic, int(number)


def encode(position: Position) -> bytes:
    """A position as it is kept in the spool."""
    return msgspec.msgpack.encode(position)


def decode(key: str, value: bytes) -> Position:
    """A position from the spool.

    :raises SourceError: it is none.
    """
    try:
        return msgspec.msgpack.decode(value, type=Position)
    except UNREADABLE as error:
        raise SourceError(f"the position in {key}, kept in the spool, cannot be read: {error}") from error
