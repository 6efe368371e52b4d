"""What an entry tells the ledger: made from a draft when it is written, and from its bytes when it is replayed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from shipper.errors import FrameError
from shipper.ledger.book import Book, Forgone, Refused, Told
from shipper.spool.body import Body, GapNote, Mark
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, decode
from shipper.spool.segment import NUMBERED, Entry

CORRUPT: Final = "corrupt"
OWN: Final = b""
"""In place of an upstream stream: the frame was made here."""


class News(msgspec.Struct):
    """That of one entry, or of one draft."""

    told: Sequence[Told]
    forgone: Sequence[Forgone]
    stream: bytes = OWN
    jump: int = 0
    """A number of ``stream`` before which others are missing."""
    gap: int = 0
    """The last number of ``stream`` in whose place a gap came; ``reason``: why."""
    reason: str = ""
    refused: Sequence[Refused] = ()

    def enter(self, book: Book, changed: dict[bytes, None] | None = None) -> None:
        """The entry is durable: have the ledger know. ``changed`` gets the keys of the accounts that it is about."""
        if self.jump or self.gap:
            book.broken(self.stream, jump=self.jump, gap=self.gap, reason=self.reason)
        for told in self.told:
            book.enter(told, changed)
        if self.forgone:
            book.forgo(self.forgone)
            if changed is not None:
                changed.update((lost.key, None) for lost in self.forgone)
        if self.refused:
            book.refuse(self.refused)
            if changed is not None:
                changed.update((one.key, None) for one in self.refused)


def of_draft(draft: EntryDraft, seq: int, mark: Mark | None) -> News:
    """That of a draft whose first frame gets the number ``seq``. ``mark``: how much of its stream was held before."""
    upstream, frames, gap = draft.upstream, draft.frames, draft.gap
    last = seq + len(frames) - 1 if frames else seq
    if upstream is None:  # what is lost has frames of its own, before those of what was read: their last tells of it
        for at, own in enumerate(draft.told):
            own.seq = own.own = last if own is draft.told[-1] else seq + at
        return News(draft.told, draft.forgone, refused=draft.refused)
    stream, number = upstream.stream, upstream.seq
    told = []
    if (came := draft.came) is not None:
        here = [span for own in draft.told for span in own.ranges]
        told.append(Told(came.labels, came.ranges, stream, number, here, last))
    else:
        for frame in frames:
            if isinstance(frame, Frame):
                meta = frame.meta
                told.append(Told(meta.labels, meta.ranges, stream, number, (), last))
    news = News(told, draft.forgone, refused=draft.refused)
    if gap is not None or mark is None or number > mark.next:  # else it is the one that was due
        _broken(news, stream, number if gap is None else gap.last, mark, gap)
    return news


def of_entry(entry: Entry, body: Body, marks: Mapping[bytes, Mark]) -> News:
    """That of an entry that is replayed, before its mark is applied to ``marks``."""
    numbered = bool(entry.envelope.flags & NUMBERED)
    stream, mark = body.upstream or (OWN, None)
    told = []
    if numbered and entry.envelope.frame_size:
        meta = None
        with suppress(FrameError):  # of a frame whose payload is damaged the metadata still tells
            meta = decode(entry.frame).meta
        if meta is not None and body.came is not None and mark is not None:
            told.append(Told(*body.came, stream, mark.next - 1, meta.ranges, entry.envelope.seq))
        elif meta is not None:
            seq = entry.envelope.seq if mark is None else mark.next - 1
            told.append(Told(meta.labels, meta.ranges, stream, seq, own=entry.envelope.seq))
    news = News(told, body.forgone, refused=body.refused)
    if numbered and mark is not None:
        _broken(news, stream, mark.next - 1, marks.get(stream), body.gap)
    elif numbered and not told:
        news.gap, news.reason = entry.envelope.seq, CORRUPT
    return news


def _broken(news: News, stream: bytes, last: int, before: Mark | None, gap: GapNote | None) -> None:
    """Note where an upstream stream, which goes up to number ``last`` now, did not go on with the one that was due."""
    if gap is not None:
        news.stream, news.gap, news.reason = stream, last, gap.reason
    elif last > (before.next if before is not None else 1):
        news.stream, news.jump = stream, last
