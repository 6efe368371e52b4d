"""A batch on its way into the spool."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shipper.batch import DeadLetter, Upstream
from shipper.spool.body import GapNote
from shipper.spool.frame import Frame, FrameDraft


@dataclass(slots=True)
class EntryDraft:
    """One batch on its way into the spool: all of it becomes durable, or none."""

    frames: Sequence[FrameDraft | Frame] = ()
    """Usually one; several when one frame could not hold the batch."""
    state: dict[str, bytes | None] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    upstream: Upstream | None = None
    gap: GapNote | None = None
    """In place of frames: what is gone. With ``upstream`` it takes a sequence number, else it is a note."""
