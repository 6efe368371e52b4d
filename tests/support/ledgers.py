"""Drafts that tell the ledger of byte ranges, and what of them stands where."""

import random

from shipper.batch import Payload, SourceRange, Upstream
from shipper.ledger.book import Told
from shipper.ledger.extent import Span
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameMeta, decode, draft

FILE = b"generation-of-a."
OTHER = b"generation-of-b."
STREAM = b"upstream-stream1"
LABELS = {"host": "edge-1", "file": "/var/log/a.log"}


def span(start: int, end: int, key: bytes = FILE, *, lost: str = "", read: int = 1) -> SourceRange:
    """A range of which every record was kept."""
    count = 0 if lost else read
    return SourceRange("app", key, start, end, count, count, lost=lost)


def read_draft(*spans: SourceRange, size: int = 100) -> EntryDraft:
    """What a source read, in a frame of about ``size`` bytes."""
    payload = Payload.sized([random.Random(spans[0].start).randbytes(size)])
    made = draft(payload, FrameMeta(LABELS, list(spans)), 0)
    return EntryDraft([made], told=[Told(LABELS, list(spans))])


def sent(seq: int, *spans: SourceRange, stream: bytes = STREAM) -> Frame:
    """A frame as another shipper wrote it."""
    return decode(read_draft(*spans).frames[0].stamp(stream, seq)[0])  # type: ignore[union-attr]


def received(seq: int, *spans: SourceRange, floor: int = 1, stream: bytes = STREAM) -> EntryDraft:
    """The frame of an upstream that goes on as it came."""
    frame = sent(seq, *spans, stream=stream)
    return EntryDraft([frame], upstream=Upstream(stream, seq, 1, b"i" * 16, frame.check, floor))


def as_set(spans: list[Span]) -> set[int]:
    """Every byte of them."""
    return {at for start, end in spans for at in range(start, end)}
