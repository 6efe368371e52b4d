"""Judging what another shipper sent: new, a duplicate, or out of order. Sans-IO.

Only the spool's writer judges, against marks that move in the same write as the data.
"""

from itertools import islice
from typing import Final

from shipper.batch import Upstream
from shipper.errors import ProtocolError
from shipper.spool.body import GapNote, Mark

DUPLICATE: Final = 0
"""The outcome of a frame that is there already."""
STREAMS_KEPT: Final = 100_000
"""So many streams have a mark: 48 bytes each in every segment's snapshot, 4.8 MB and 40 ms at this limit. What goes is
the stream that has sent nothing for longest, in the order of the spool and not of a clock; it goes on at its sender's
floor, so that only frames whose acknowledgement it never got can come twice."""


def expected_number(mark: Mark | None, upstream: Upstream) -> int:
    """The number that the stream must send next: what its sender has acknowledged elsewhere does not come any more."""
    return max(mark.next if mark else 0, upstream.floor)


def judge(mark: Mark | None, upstream: Upstream, gap: GapNote | None) -> int | ProtocolError | None:
    """What a frame, or a gap in place of frames, is to a spool that holds the stream up to ``mark``; None: new."""
    expected = expected_number(mark, upstream)
    last = upstream.seq if gap is None else gap.last
    if last < expected:
        return DUPLICATE
    if upstream.seq > expected:
        return ProtocolError(f"stream {upstream.stream.hex()} sent number {upstream.seq} where {expected} was expected")
    return None


def mark_after(upstream: Upstream, gap: GapNote | None) -> Mark:
    """The mark once it is written."""
    last = upstream.seq if gap is None else gap.last
    return Mark(last + 1, upstream.epoch, upstream.incarnation, upstream.crc, upstream.original_crc)


def renew(marks: dict[bytes, Mark], stream: bytes, mark: Mark) -> None:
    """Move a mark; the one that moved last stands last."""
    marks.pop(stream, None)
    marks[stream] = mark


def outdated(marks: dict[bytes, Mark]) -> list[bytes]:
    """The streams that are too many: those whose marks moved before all others."""
    return list(islice(marks, max(0, len(marks) - STREAMS_KEPT)))


def without_known(mark: Mark | None, upstream: Upstream, gap: GapNote) -> GapNote:
    """The gap without the numbers that are held here: those are not lost."""
    expected = expected_number(mark, upstream)
    if gap.first >= expected:
        return gap
    return GapNote(gap.stream, expected, gap.last, -1, gap.reason)
