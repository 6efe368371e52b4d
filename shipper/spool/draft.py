"""A batch on its way into the spool."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shipper.batch import DeadLetter, Upstream
from shipper.spool.body import Body, GapNote, Mark, encode_body
from shipper.spool.frame import Frame, FrameDraft
from shipper.spool.segment import ENVELOPE_SIZE
from shipper.spool.upstream import mark_after, without_known


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


def encode_draft(draft: EntryDraft, mark: Mark | None) -> tuple[list[bytes], int]:
    """The bodies of the draft's entries, one a frame, and the bytes that all of it will take in a segment.

    What the batch changed stands in the last one. ``mark``: how much of the upstream stream is held.
    """
    upstream, gap = draft.upstream, draft.gap
    moved = None
    if upstream is not None:
        moved = (upstream.stream, mark_after(upstream, gap))
        gap = gap and without_known(mark, upstream, gap)
    last = encode_body(Body(draft.state, draft.dead_letters, moved, gap))
    bodies = [b""] * (len(draft.frames) - 1) + [last]
    frames = sum(len(frame.raw) if isinstance(frame, Frame) else frame.size for frame in draft.frames)
    return bodies, frames + sum(map(len, bodies)) + ENVELOPE_SIZE * len(bodies)
