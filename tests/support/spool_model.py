"""What a spool must hold: an oracle for its tests, and the drafts that they append."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.simdisk import SimDisk

from shipper.batch import DeadLetter, Payload, Upstream
from shipper.errors import ProtocolError
from shipper.sinks.base import Gap, Item
from shipper.spool.body import GapNote, Mark
from shipper.spool.dead_letters import FOLDER, StoredLetter, letters
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameDraft, FrameMeta, decode, draft
from shipper.spool.heads import restamp


def frame_of(number: int, size: int) -> FrameDraft:
    """A frame of about ``size`` bytes, the same for the same number."""
    data = random.Random(number).randbytes(max(1, size))
    return draft(Payload.sized([data]), FrameMeta({"n": number}, []), number)


def upstream_frame(stream: bytes, seq: int, number: int, size: int) -> Frame:
    """A frame as another shipper wrote it."""
    return decode(frame_of(number, size).stamp(stream, seq)[0])


def letter_of(number: int, size: int = 10) -> DeadLetter:
    """A dead letter with a number in it."""
    return DeadLetter(bytes(size), size, "test", str(number), {}, "src", b"", 0, 0, 0)


@dataclass
class Oracle:
    """What was appended, and so must be there."""

    stream: bytes
    next_seq: int = 1
    entries: dict[int, bytes | int] = field(default_factory=dict)
    """By sequence number: the frame's bytes, or the records of an upstream gap."""
    state: dict[str, bytes] = field(default_factory=dict)
    marks: dict[bytes, Mark] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    """The numbers of the dead letters."""

    def append(self, entry: EntryDraft) -> int | None:
        """Apply a draft; its outcome: the first number, 0 for a duplicate, None for a protocol error."""
        upstream, gap = entry.upstream, entry.gap
        if upstream is not None:
            mark = self.marks.get(upstream.stream)
            expected = max(mark.next if mark else 0, upstream.floor)
            last = gap.last if gap else upstream.seq
            if last < expected:
                return 0
            if upstream.seq > expected:
                return None
            if gap is not None and gap.first < expected:  # some of it is no loss: who knows how many records are
                gap = GapNote(gap.stream, expected, gap.last, -1, gap.reason)
            self.marks[upstream.stream] = Mark(last + 1, upstream.epoch, upstream.incarnation, upstream.crc)
        first = self.next_seq
        for frame in entry.frames:
            raw = frame.raw if isinstance(frame, Frame) else frame.stamp(self.stream, self.next_seq)[0]
            self.entries[self.next_seq] = raw
            self.next_seq += 1
        if gap is not None and upstream is not None:
            self.entries[self.next_seq] = gap.records
            self.next_seq += 1
        for key, value in entry.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.letters += [letter.error for letter in entry.dead_letters]
        return first

    def copy(self) -> "Oracle":
        """Another one that knows the same."""
        return Oracle(
            self.stream, self.next_seq, dict(self.entries), dict(self.state), dict(self.marks), list(self.letters)
        )

    def rename(self, stream: bytes) -> None:
        """The spool goes on under another id: what it wrote itself is stamped anew."""
        for seq, wanted in self.entries.items():
            if isinstance(wanted, bytes) and (frame := decode(wanted)).stream == self.stream:
                self.entries[seq] = restamp(frame, stream).raw
        self.stream = stream

    def check_lost(self, item: Item, expected: int) -> None:
        """A gap in place of what a sink had to give up: all of it, its records counted exactly."""
        gap = item.body
        assert isinstance(gap, Gap)
        assert item.seq == gap.first == expected
        gone = [self.entries[seq] for seq in range(gap.first, gap.last + 1)]
        records = [decode(one).records if isinstance(one, bytes) else one for one in gone]
        assert gap.records == (-1 if -1 in records else sum(records))

    def check_item(self, item: Item, expected: int) -> None:
        """An item that a sink was given: the right number with the right bytes."""
        assert item.seq == expected, f"number {item.seq} came where {expected} was expected"
        wanted = self.entries[item.seq]
        if isinstance(item.body, Gap):
            assert isinstance(wanted, int), f"frame {item.seq} is gone: {item.body}"
            assert (item.body.first, item.body.last, item.body.records) == (item.seq, item.seq, wanted)
        else:
            assert item.body.raw == wanted, f"frame {item.seq} is not the one that was appended"


def check_outcomes(outcomes: Sequence[object], expected: Sequence[int | None]) -> None:
    """What ``commit`` said about the drafts that it took."""
    for got, wanted in zip(outcomes, expected, strict=True):
        if wanted is None:
            assert isinstance(got, ProtocolError)
        else:
            assert got == wanted


def letters_on(disk: SimDisk) -> list[str]:
    """The numbers of the dead letters in the files."""
    stored: list[StoredLetter] = []
    for name in disk.names(FOLDER):
        stored += [letter for letter, _, _ in letters(disk.contents(f"{FOLDER}/{name}"))]
    return [letter.letter.error for letter in stored]


def gap_of(upstream: Upstream, last: int, records: int) -> GapNote:
    """What an upstream lost."""
    return GapNote(upstream.stream, upstream.seq, last, records, "test")
