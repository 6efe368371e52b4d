"""Records that a sink will never take: to the dead letters, and into the ledger, exactly once, in the same spool."""

import asyncio
import struct
from typing import TYPE_CHECKING, Final

from shipper.batch import DEAD_LETTER_RAW, DeadLetter, Format
from shipper.ledger.book import DEAD_LETTERED, DEAD_LETTERS_FULL, Refused, key_of
from shipper.sinks.base import Frame, Item
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import HEADER_SIZE

if TYPE_CHECKING:
    from shipper.log import Logger
    from shipper.sinks.feed import Home
    from shipper.sinks.meter import Meter

_PLACE: Final = struct.Struct("<16sQI")
"""State ``refused/SINK``: the spool's first stream id, sequence number and index of the last record refused."""
_OVERHEAD: Final = 256
"""What a dead letter takes beside its bytes and its reason, about."""


class Refusals:
    """The dead letters of one sink.

    The letter, the place of its record and what the ledger is told become durable in one entry; where the dead letters
    are full, the place and what is lost. A sink refuses in the order of the stream, so a place at or before the
    recorded one is a repetition after a restart or a reconnect.
    """

    def __init__(self, sink: str, spool: "Home", meter: "Meter", log: "Logger") -> None:
        self._sink = sink
        self._name = f"sink/{sink}"
        self._key = f"refused/{sink}"
        self._spool = spool
        self._meter = meter
        self._log = log
        self._last = (-1, -1)
        self._pending: asyncio.Future[int] | None = None
        self._queued = 0
        """Bytes on their way into the dead letters, which ``dead_letter_room`` does not know of yet."""
        known = spool.state.get(self._key)
        if known is not None and len(known) == _PLACE.size:
            stream, seq, index = _PLACE.unpack(known)
            if stream == spool.home:
                self._last = (seq, index)

    async def refuse(self, item: Item, index: int, raw: bytes, reason: str) -> None:
        """Returns when that is durable. When the dead letters are full the record is lost: counted and said.

        :raises SpoolError: it could not be written.
        """
        if (item.seq, index) > self._last:
            frame = item.body
            if not isinstance(frame, Frame):
                raise TypeError("a gap holds no record to refuse")
            whole = is_whole(frame, raw)
            letter = self._letter(frame, index, raw, reason, whole=whole)
            size = len(letter.raw) + len(letter.error) + _OVERHEAD
            full = size > self._spool.dead_letter_room - self._queued
            self._last = (item.seq, index)
            entry = EntryDraft(
                state={self._key: _PLACE.pack(self._spool.home, item.seq, index)},
                dead_letters=[] if full else [letter],
                refused=[
                    Refused(self._sink, DEAD_LETTERS_FULL if full else DEAD_LETTERED, key, records)
                    for key, records in self._records(frame, index, whole=whole).items()
                ],
            )
            self._pending = self._spool.append(entry)
            if full:
                self._meter.lost(len(raw))
                self._log.error(
                    "a record is lost: the sink refuses it and the dead letters are full; "
                    "empty them or raise dead_letters.max_bytes",
                    reason=reason,
                    every=60.0,
                )
            else:
                self._queued += size
                self._pending.add_done_callback(lambda _: self._written(size))
                self._meter.refused()
                self._log.warning("a record goes to the dead letters", reason=reason, every=60.0, key=reason)
        if self._pending is not None:  # entries become durable in order: the latest speaks for those before it
            await asyncio.shield(self._pending)

    def _written(self, size: int) -> None:
        self._queued -= size

    def _records(self, frame: Frame, index: int, *, whole: bool) -> dict[bytes, int]:
        """By account, the records of a frame that are refused: the one at ``index``, or all."""
        meta = frame.meta
        stream = b"" if frame.stream == self._spool.stream else frame.stream
        if meta.origin is not None:
            stream = meta.origin.stream
        first, left = (0, frame.records) if whole else (index, 1)
        counts: dict[bytes, int] = {}
        key = b""
        for span in meta.ranges:
            key = key_of(span, stream)
            if here := min(left, max(0, span.kept - first)):
                counts[key] = counts.get(key, 0) + here
                left -= here
            first = max(0, first - span.kept)
        if left:  # a processor made others of them than the ranges tell
            counts[key] = counts.get(key, 0) + left
        return counts

    def _letter(self, frame: Frame, index: int, raw: bytes, reason: str, *, whole: bool) -> DeadLetter:
        meta = frame.meta
        source, generation, start = "", b"", 0
        for source_range in meta.ranges:
            source, generation, start = source_range.source, source_range.generation, source_range.start
            if index < source_range.kept:
                break
            index -= source_range.kept
        return DeadLetter(
            raw=raw[:DEAD_LETTER_RAW],
            size=len(raw),
            processor=self._name,
            error=reason,
            labels=meta.labels,
            source=source,
            generation=generation,
            start=start,
            index=index,
            read_at=frame.read_at,
            format=0 if whole else _format(frame),
            processed=True,
        )


def is_whole(frame: Frame, raw: bytes) -> bool:
    """Whether what a sink refuses is a frame's whole payload as it is stored (``flat.damaged``), and not one record."""
    return len(raw) == len(frame.raw) - HEADER_SIZE - frame.meta_size and frame.raw.endswith(raw)


def _format(frame: Frame) -> int:
    return Format.NDJSON if frame.format == Format.NDJSON else Format.LINES
