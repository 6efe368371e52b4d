"""What makes records of lines, and holds those that are open between two reads. Sans-IO."""

import math
from collections import Counter
from typing import Protocol

from shipper.batch import Format, Payload
from shipper.sources.file.marks import Closed, Mark, Marks, Place, Starts
from shipper.sources.file.multiline import Multiline


class Stage(Protocol):
    """What makes records of the lines of one file after the other."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its streams; an open record belongs to one."""
        ...

    @property
    def format(self) -> Format:
        """Of the records."""
        ...

    def feed(self, data: bytes, starts: Starts, place: Place, now: float) -> Closed:
        """Whole lines, each with its newline. Returns the records that they close."""
        ...

    def close(self, *, since: float = -math.inf, until: float = math.inf) -> Closed:
        """Close the records to which something was added between these times, and nothing later."""
        ...

    def open(self) -> dict[str, Marks]:
        """Where the open record of each stream that has one begins, and goes on in other places: earlier ones first."""
        ...

    def touched(self) -> list[float]:
        """When something was added last to each open record."""
        ...


class PlainLines:
    """The stage for plain lines; ``streams.Streams`` is the one for containers."""

    names = ("",)
    format = Format.SIZED

    def __init__(self, multiline: Multiline) -> None:
        self._multiline = multiline
        self._marks: Marks = []
        self._touched = 0.0

    def feed(self, data: bytes, starts: Starts, place: Place, now: float) -> Closed:
        """See ``Stage``."""
        self._touched = now
        multiline, marks = self._multiline, self._marks
        records = multiline.feed(data)
        if not multiline.lines:
            self._marks = []
        elif multiline.began:
            self._marks = [Mark(place, starts.last(multiline.lines, multiline.size))]
        elif marks[-1].place is not place:
            self._marks = [*marks, Mark(place, starts.first())]
        return self._closed(records, marks[0].place if marks else place, place)

    def close(self, *, since: float = -math.inf, until: float = math.inf) -> Closed:
        """See ``Stage``."""
        if not self._marks or not since <= self._touched <= until:
            return Closed(b"", 0, Counter())
        marks, self._marks = self._marks, []
        record = self._multiline.close()
        return self._closed([] if record is None else [record], marks[0].place, marks[0].place)

    def open(self) -> dict[str, Marks]:
        """See ``Stage``."""
        return {"": self._marks} if self._marks else {}

    def touched(self) -> list[float]:
        """See ``Stage``."""
        return [self._touched] if self._marks else []

    def _closed(self, records: list[bytes], first: Place, others: Place) -> Closed:
        if not records:
            return Closed(b"", 0, Counter())
        counts = Counter({first: 1})
        counts[others] += len(records) - 1
        return Closed(Payload.sized(records).data, len(records), counts)
