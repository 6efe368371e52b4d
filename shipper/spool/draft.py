"""A batch on its way into the spool."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shipper.batch import DeadLetter, Labels, Upstream
from shipper.ledger.book import Forgone, Refused, Told
from shipper.spool.body import Body, GapNote, Mark, encode_body
from shipper.spool.frame import Frame, FrameDraft, FrameMeta
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
    told: Sequence[Told] = ()
    """What the frames that were made here say in their metadata. Those that came say it themselves."""
    came: FrameMeta | None = None
    """Of a frame that was taken apart here: what it said."""
    forgone: Sequence[Forgone] = ()
    """What sinks will not get."""
    refused: Sequence[Refused] = ()
    """What sinks will never take."""
    lowered: tuple[bytes, Mark] | None = None
    """On its own: the stream comes again from this mark on, which is lower than what is held of it."""

    @property
    def moved(self) -> tuple[bytes, Mark] | None:
        """The stream whose mark it moves, and the mark."""
        if self.upstream is None:
            return self.lowered
        return (self.upstream.stream, mark_after(self.upstream, self.gap))


def _named(labels: Labels) -> Labels:
    """What the ledger calls an account by."""
    return {name: labels[name] for name in ("host", "file") if name in labels}


def encode_draft(draft: EntryDraft, mark: Mark | None) -> tuple[list[bytes], int]:
    """The bodies of the draft's entries, one a frame, and the bytes that all of it will take in a segment.

    What the batch changed stands in the last one. ``mark``: how much of the upstream stream is held.
    """
    upstream, gap = draft.upstream, draft.gap
    parts = max(1, len(draft.frames))
    kept: list[tuple[bytes, int, int] | None] = [None] * parts
    if upstream is not None:
        gap = gap and without_known(mark, upstream, gap)
        if upstream.kept:
            kept = [(upstream.stream, gap.first if gap else upstream.seq, part) for part in range(parts)]
    came = None if draft.came is None else (_named(draft.came.labels), draft.came.ranges)
    forgone, refused = list(draft.forgone), list(draft.refused)
    last = encode_body(Body(draft.state, draft.dead_letters, draft.moved, gap, kept[-1], came, forgone, refused))
    bodies = [encode_body(Body(kept=part)) if part else b"" for part in kept[:-1]] + [last]
    frames = sum(len(frame.raw) if isinstance(frame, Frame) else frame.size for frame in draft.frames)
    return bodies, frames + sum(map(len, bodies)) + ENVELOPE_SIZE * len(bodies)
