"""What ``shipper spool cat`` says where frames are missing, and where bytes can never be read."""

from typing import Final

from shipper.errors import SpoolError
from shipper.sinks.base import Frame, Gap, Item
from shipper.spool.body import GapNote, decode_body
from shipper.spool.browse import Step, start_of
from shipper.spool.disk import Disk
from shipper.spool.files import segment_name
from shipper.spool.inspect import View
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, NUMBERED, Entry
from shipper.spool.tail import walk

_FROM_SENDER: Final = "upstream: "
"""The spool's reader puts this before the reason of a gap that came from a sender."""


class Notes:
    """The gaps that senders told of. Each has one number here, in place of all those that are missing there."""

    def __init__(self, disk: Disk, view: View) -> None:
        self._disk = disk
        self._view = view
        self._number = 0
        self._found: dict[int, GapNote] = {}
        """Those of one segment, by their numbers here: gaps that follow each other are read at once."""

    def of(self, seq: int) -> GapNote | None:
        """What stands at this number; None: no such note, or it is gone."""
        number = start_of(self._view, seq)[0].segment
        if number != self._number:
            self._number, self._found = number, self._read(number)
        return self._found.get(seq)

    def _read(self, number: int) -> dict[int, GapNote]:
        found: dict[int, GapNote] = {}
        segment = self._view.segments.get(number)
        if segment is None:  # none can be read
            return found
        try:
            file = self._disk.open(segment_name(number))
        except FileNotFoundError:  # delivered and removed meanwhile
            return found
        try:
            for part in walk(SegmentReader(file, segment.header), segment.end, HEADER_SIZE):
                if isinstance(part, Entry) and part.envelope.flags & NUMBERED:
                    note = decode_body(part.body).gap
                    if note is not None:
                        found[part.envelope.seq] = note
        except SpoolError:  # what can be told without it is told
            pass
        finally:
            file.close()
        return found


def gap_words(step: Step, notes: Notes) -> str:
    """What a step says that is no frame: a gap, or damage in which there was none."""
    damage = step.damage
    place = f" ({damage.segment:020d}.seg, bytes {damage.start} to {damage.end}: {damage.reason})" if damage else ""
    item = step.item
    if item is None or not isinstance(item.body, Gap):
        return f"damaged, and no frame is missing{place}"
    gap = item.body
    if step.passed:
        return f"{_are(gap.first, gap.last)} delivered and removed meanwhile"
    note = notes.of(item.seq) if gap.reason.startswith(_FROM_SENDER) else None
    if note is not None:
        what = f"{_are(note.first, note.last)} missing, of the stream {note.stream.hex()}: {note.reason}"
        return f"frame {item.seq} is a gap: {what}"
    return f"{_are(gap.first, gap.last)} missing: {gap.reason}{place}"


def lost_words(item: Item, frame: Frame) -> list[str]:
    """What a frame says of bytes that its source lost."""
    return [
        f"frame {item.seq}: bytes {span.start} to {span.end} of {frame.labels.get('file', span.source)} "
        f"can never be read: {span.lost}"
        for span in frame.meta.ranges
        if span.lost
    ]


def _are(first: int, last: int) -> str:
    return f"frame {first} is" if first == last else f"frames {first} to {last} are"
