"""What sinks will not get, as byte ranges for the ledger: what was dropped before they had it, and what was damaged.

Of a drop the entries that go are read. Of damage nothing can be read; but every segment begins with the ledger as it
stood then. So what the ledger learned from one segment to the next one that is left, less what the readable entries
between them say, is what the destroyed ones held.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from shipper.errors import SpoolError
from shipper.ledger.account import WITHIN
from shipper.ledger.book import UNKNOWN, Book, Forgone, key_of
from shipper.ledger.extent import Span, merged, without
from shipper.spool.body import CursorValue, decode_body
from shipper.spool.disk import Disk
from shipper.spool.dropping import Drop
from shipper.spool.files import Damage, Segment, read_snapshot, segment_name
from shipper.spool.ledger_news import CORRUPT, of_entry
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, NUMBERED, Entry
from shipper.spool.tail import is_torn, walk

if TYPE_CHECKING:
    from shipper.spool.log import Log

Spans = dict[bytes, list[Span]]
"""Sorted, disjoint ranges by the key of the account."""


def ranges_in(
    disk: Disk, segment: Segment, offset: int = HEADER_SIZE
) -> Iterator[tuple[int, list[tuple[bytes, Span]]]]:
    """The numbers that stand in a segment from ``offset`` on, with the ranges that were read for each.

    What is damaged is left out. :raises SpoolError: the disk cannot read it, or it is gone.
    """
    try:
        file = disk.open(segment_name(segment.header.id))
    except FileNotFoundError as error:
        raise SpoolError(f"segment {segment.header.id} is gone: every sink has passed it") from error
    try:
        for part in walk(SegmentReader(file, segment.header), segment.end, offset):
            if isinstance(part, Entry) and part.envelope.flags & NUMBERED and not _is_damaged(part):
                news = of_entry(part, decode_body(part.body), {})
                spans = [
                    (key_of(span, told.stream), (span.start, span.end))
                    for told in news.told
                    for span in told.ranges
                    if not span.lost
                ]
                yield part.envelope.seq, spans
    finally:
        file.close()


def _is_damaged(entry: Entry) -> bool:
    """Its envelope is whole, and its frame is not: what a sink gets is a gap."""
    return entry.envelope.frame_size > 0 and is_torn(entry)


def of_drop(disk: Disk, log: "Log", drop: Drop) -> list[Forgone]:
    """What a sink's drop takes from it: by the drop, or by damage that nobody has met."""
    value = log.cursors[drop.sink].value
    due = first_due(value)
    spans: Spans = {}
    gone: list[int] = []
    for number in sorted(log.segments):
        if not value.position.segment <= number < drop.position.segment:
            continue
        offset = value.position.offset if number == value.position.segment else HEADER_SIZE
        with suppress(SpoolError):
            for seq, ranges in ranges_in(disk, log.segments[number], offset):
                if seq > due:
                    gone.append(due)
                due = max(due, seq + 1)
                if first_due(value) <= seq < drop.next:
                    _add(spans, ranges)
    if due < drop.next:
        gone.append(due)
    lost = [one for number in gone for one in _lost_with(disk, log, number, drop.next, [drop.sink])]
    return [*_forgone(drop.sink, drop.reason, spans), *dict.fromkeys(lost)]


def of_damage(disk: Disk, log: "Log", damage: Damage, sinks: list[str]) -> list[Forgone]:
    """What these sinks lose by damage, and by all that is damaged in that segment."""
    return _lost_with(disk, log, damage.first, damage.last + 1, sinks) if sinks and damage.last >= damage.first else []


def _lost_with(disk: Disk, log: "Log", first: int, end: int, sinks: list[str]) -> list[Forgone]:
    spans = destroyed(disk, log.segments, first, log.facts.ledger)
    if spans is None:
        return [Forgone(sink, CORRUPT, UNKNOWN, first, end) for sink in sinks]
    return [one for sink in sinks for one in _forgone(sink, CORRUPT, spans)]


def stretch(segments: Mapping[int, Segment], number: int) -> int:
    """The segment in which a number stands, or behind which it stood: damage there is found out together; 0: none."""
    return max((at for at, segment in segments.items() if segment.header.first <= number), default=0)


def destroyed(disk: Disk, segments: Mapping[int, Segment], number: int, now: Book) -> Spans | None:
    """What cannot be read any more, in the segment in which a number stood or between two that are left: also what was
    acknowledged there before it was destroyed, as the ledger is known segment by segment.

    ``now``: the ledger behind the last segment. None: no segment is left from before that, so nobody knows.
    """
    earlier = [segment for _, segment in sorted(segments.items()) if segment.header.first <= number]
    later = [segment for _, segment in sorted(segments.items()) if segment.header.first > number]
    before, then = None, now
    readable: Spans = {}
    while before is None and earlier:
        segment = earlier.pop()
        _add_readable(disk, segment, readable)
        before = read_snapshot(disk, segment)
    for segment in later:
        if (after := read_snapshot(disk, segment)) is not None:
            then = after.ledger
            break
        _add_readable(disk, segment, readable)
    if before is None:
        return None
    grown = _grown(before.ledger, then)
    return {key: left for key, added in grown.items() if (left := without(added, readable.get(key, [])))}


def _add_readable(disk: Disk, segment: Segment, readable: Spans) -> None:
    with suppress(SpoolError):  # what cannot be read is just not readable
        for _seq, ranges in ranges_in(disk, segment):
            _add(readable, ranges)


def waiting_for(damage: Damage, log: "Log") -> list[str]:
    """The sinks that damage takes something from."""
    if damage.last < damage.first:
        return []
    return [name for name, cursor in log.cursors.items() if first_due(cursor.value) <= damage.last and name[0] != "_"]


def first_due(value: CursorValue) -> int:
    """The first number that a sink still gets."""
    return value.seq if value.lost is None else max(value.seq, value.lost.next)


def _grown(before: Book, after: Book) -> Spans:
    """What was read, by account: less what was lost at its source, or with another hop, and counts as that."""
    grown = {}
    for key, account in after.accounts.items():
        extents = [extent for reason, extent in account.lost.items() if reason not in WITHIN]
        extents += account.missing.values()
        others = sorted(span for extent in extents for span in extent.spans)
        grown[key] = without(account.added(before.accounts.get(key)), others)
    return grown


def _add(spans: Spans, ranges: list[tuple[bytes, Span]]) -> None:
    for key, (start, end) in ranges:
        merged(spans.setdefault(key, []), start, end)


def _forgone(sink: str, reason: str, spans: Spans) -> list[Forgone]:
    return [Forgone(sink, reason, key, *span) for key, some in spans.items() for span in some]
