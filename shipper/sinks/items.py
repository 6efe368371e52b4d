"""What a sink is handed: the steps of this hop's stream, and where they come from."""

from dataclasses import dataclass

from shipper.spool.body import Mark
from shipper.spool.frame import Frame


@dataclass(slots=True, frozen=True)
class Gap:
    """Frames that are gone: it travels in their place."""

    first: int
    last: int
    """The last number that is gone, inclusive."""
    records: int
    """How many records they held; -1: nobody knows."""
    reason: str


@dataclass(slots=True, frozen=True)
class Sent:
    """Which number of its sender's stream an item is, or is a part of (processors may make one frame into several)."""

    stream: bytes
    """16 bytes."""
    first: int
    """The number; a gap's first."""
    mark: Mark | None
    """How much of the stream there is with this item; None: another part of the same number follows."""
    part: int = 0
    """Which part of the number it is."""

    @property
    def next(self) -> int:
        """The number that follows."""
        return self.first + 1 if self.mark is None else self.mark.next


@dataclass(slots=True, frozen=True)
class Item:
    """One step of this hop's stream: a frame, or the gap in place of lost ones."""

    seq: int
    """This hop's own sequence number (a gap's first)."""
    body: Frame | Gap
    upstream: Sent | None = None
    """Given where the sender keeps it until this shipper's sinks have it (``ack: delivered``): it may come again,
    through another collector too. The parts of one number stand side by side."""

    @property
    def next(self) -> int:
        """The sequence number that follows this item."""
        return self.body.last + 1 if isinstance(self.body, Gap) else self.seq + 1


@dataclass(slots=True, frozen=True)
class Claimed:
    """What a sink that shares streams answers to ``Sink.claim``."""

    mark: Mark
    """How much of the stream the far side has, whoever brought it; the checks are 0 where they are not known."""
    fresh: bool
    """What this hop holds of the stream after that was, or will be, passed over: its sender must send it again."""
