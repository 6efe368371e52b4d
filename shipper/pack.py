"""A batch's records as frames: usually one, several where they do not fit; what fits into none is a dead letter."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from shipper.batch import DEAD_LETTER_RAW, Batch, DeadLetter, Format, Labels, Loss, Payload, SourceRange
from shipper.errors import FrameTooLarge
from shipper.ledger.book import Told
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameDraft, FrameMeta, draft

_STAGE: Final = "frame"
"""Who is named in the dead letter of a record that is too large."""
_GAPS: Final = 64
"""At most so many ranges stand in one frame of ``gaps``, so that its metadata stays small."""


def entry_of(batch: Batch, labels: Labels, max_frame: int) -> EntryDraft:
    """What a batch that has passed its chain becomes in the spool; its ranges then count what no frame could hold.

    ``labels`` are those of its source.
    """
    if isinstance(batch.payload, Frame):
        batch.ranges = counted(batch)
        return EntryDraft([batch.payload], batch.state, batch.dead_letters, batch.upstream)
    metas = gaps(batch.source, labels, batch.losses)
    frames = [draft(None, meta, batch.read_at) for meta in metas]
    if not frames or batch.ranges or batch.dead_letters:  # else it says nothing else
        frames += pack(batch, max_frame)
    batch.ranges = counted(batch)
    told = told_by(batch, metas)
    return EntryDraft(frames, batch.state, batch.dead_letters, batch.upstream, told=told, came=batch.came)


def told_by(batch: Batch, gaps: Sequence[FrameMeta]) -> list[Told]:
    """What the frames of a batch, and those of its losses, say to the ledger."""
    return [*(Told(meta.labels, meta.ranges) for meta in gaps), Told(batch.labels, batch.ranges)]


def pack(batch: Batch, max_frame: int) -> list[FrameDraft]:
    """The batch's records as frames of at most ``max_frame`` bytes, in order."""
    payload = batch.payload
    if not isinstance(payload, Payload):
        raise TypeError(f"the chain returned {type(payload).__name__} instead of encoded records")
    meta = FrameMeta(batch.labels, counted(batch), batch.origin, batch.indices, batch.subs)
    try:
        made = draft(payload, meta, batch.read_at)
    except FrameTooLarge:
        made = None
    if made is not None and made.size <= max_frame:
        return [made]
    if payload.count == 1:
        _too_large(batch, payload.raw()[0], max_frame, json=payload.format is Format.NDJSON)
        return pack(batch, max_frame)
    return [frame for part in _halves(batch, payload) for frame in pack(part, max_frame)]


def gaps(source: str, labels: Labels, losses: Sequence[Loss]) -> list[FrameMeta]:
    """What empty frames say: which bytes of which files are lost for good, the GAP of a file.

    They stand beside the batch's own frames, because an empty frame passes every hop and every ``where`` as it is.
    ``labels`` are those of the source; ``file`` names the file.
    """
    metas = []
    for file, some in groupby(sorted(losses, key=lambda loss: loss.file), key=lambda loss: loss.file):
        spans = [SourceRange(source, loss.generation, loss.start, loss.end, lost=loss.reason) for loss in some]
        metas += [FrameMeta({**labels, "file": file}, spans[at : at + _GAPS]) for at in range(0, len(spans), _GAPS)]
    return metas


def _too_large(batch: Batch, record: bytes, max_frame: int, *, json: bool) -> None:
    """A record that no frame can hold goes to the dead letters."""
    span = batch.ranges[-1] if batch.ranges else SourceRange(batch.source, b"", 0, 0)
    index = batch.indices[0] if batch.indices else 0
    batch.dead_letters.append(
        DeadLetter(
            record[:DEAD_LETTER_RAW],
            len(record),
            _STAGE,
            f"the record of {len(record)} bytes does not fit into a frame of {max_frame}",
            batch.labels,
            batch.source,
            span.generation,
            span.start,
            index,
            batch.read_at,
            Format.NDJSON if json else Format.LINES,
            processed=True,
        )
    )
    batch.payload, batch.indices, batch.subs = Payload.lines(b""), None, None


def counted(batch: Batch) -> list[SourceRange]:
    """The batch's ranges, with the records that no frame could hold counted as failed."""
    too_large = sum(letter.processor == _STAGE for letter in batch.dead_letters)
    if not (too_large and batch.ranges):
        return batch.ranges
    *others, last = batch.ranges
    return [*others, msgspec.structs.replace(last, kept=last.kept - too_large, failed=last.failed + too_large)]


def _halves(batch: Batch, payload: Payload) -> list[Batch]:
    """Two batches with half of the records each. The ranges stay with the second: they are counted once."""
    records = payload.raw()
    middle = len(records) // 2
    indices = batch.indices or (list(range(len(records))) if batch.origin else None)
    halves = []
    for at, part in ((slice(None, middle), records[:middle]), (slice(middle, None), records[middle:])):
        data = b"".join(len(r).to_bytes(4, "little") + r for r in part)
        if payload.format != payload.format.SIZED:
            data = b"".join(r + b"\n" for r in part)
        halves.append(
            Batch(
                batch.source,
                batch.labels,
                Payload(payload.format, data, len(part)),
                batch.ranges if at.stop is None else [],
                batch.read_at,
                dead_letters=batch.dead_letters,
                origin=batch.origin,
                indices=indices[at] if indices else None,
                subs=batch.subs[at] if batch.subs else None,
            )
        )
    return halves
