"""The data between the stages: record, source range, dead letter, batch.

A batch is what one source read at one go. It travels source -> chain -> frame -> spool, and its payload has one of
three shapes: *encoded* (a ``Payload``: whole buffers, as read from a file), *decoded* (a list of records), or *framed*
(a ``Frame`` as it came from another shipper, which passes on verbatim when no processor wants its records).
Stages that need no records never decode.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from shipper.spool.frame import Frame, FrameMeta

Record: TypeAlias = dict[str, Any]
"""One log event. A raw line is ``{"message": line}``; ``timestamp`` (RFC 3339) is the reserved event time."""

Labels: TypeAlias = dict[str, Any]
"""What is the same for every record of a batch; JSON scalars by name."""


class Format(IntEnum):
    """How the records of a payload stand in its bytes. The numbers are on disk: never reuse one."""

    LINES = 1
    """Raw records without newlines in them, bytes verbatim, each followed by one newline."""
    NDJSON = 2
    """One JSON object a record, each followed by one newline."""
    SIZED = 3
    """Raw records that may hold newlines: a little-endian u32 length before each."""


@dataclass(slots=True, frozen=True)
class Payload:
    """``count`` records encoded in ``data``, not compressed."""

    format: Format
    data: bytes
    count: int

    @classmethod
    def lines(cls, data: bytes) -> "Payload":
        """Whole lines, each with its newline. Counts without a Python object a line (replace is memchr + memcpy)."""
        return cls(Format.LINES, data, len(data) - len(data.replace(b"\n", b"")))

    @classmethod
    def sized(cls, records: list[bytes]) -> "Payload":
        """Raw records that may hold newlines."""
        parts = [part for record in records for part in (len(record).to_bytes(4, "little"), record)]
        return cls(Format.SIZED, b"".join(parts), len(records))

    def raw(self) -> list[bytes]:
        """The bytes of each record: a raw line without its newline, or a JSON object."""
        if self.format is Format.SIZED:
            return list(_unsized(self.data))
        return self.data.split(b"\n")[:-1]


def _unsized(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : end]
        at = end


class SourceRange(msgspec.Struct, frozen=True, array_like=True):
    """Which bytes of a source a batch covers and what became of its records. Stored in frames: only append fields.

    ``read == kept + sum(dropped.values()) + failed`` unless a processor splits or joins records.
    """

    source: str
    """The source's name in the config."""
    generation: bytes
    """16 random bytes given to a file generation at first sight; for a stream its id; empty where there is none."""
    start: int
    """First byte covered (files), or first sequence number (streams)."""
    end: int
    """First byte after those covered."""
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    """Records dropped, by ``processor/reason``."""
    failed: int = 0
    """Records that went to the dead letters."""
    partial: bool = False
    """``end`` stands inside a line (the last line had no newline yet)."""
    lost: str = ""
    """Why nobody can read these bytes any more (``Loss.reason``); empty for a range that was read.

    ``ELSEWHERE``: nothing is lost, another node reads them.
    """


ELSEWHERE: Final = "elsewhere"


@dataclass(slots=True, frozen=True)
class Loss:
    """Bytes of a file that can never be read: overwritten, or gone, before they were. It goes in the batch whose state
    forgets them, so that they are counted exactly once.
    """

    file: str
    """The file's path, as it was last known."""
    generation: bytes
    """The file generation that held the bytes, as in ``SourceRange``."""
    start: int
    """First byte lost."""
    end: int
    """First byte after those lost."""
    reason: str
    """One of ``metric_table.LOSSES``: ``truncated``, ``vanished`` ..."""


class DeadLetter(msgspec.Struct, array_like=True):
    """A record that could not be processed or that a sink refused, with all that is needed to replay it."""

    raw: bytes
    """The record's bytes as they were read; at most 64 KiB of them (then ``size`` is larger than their length)."""
    size: int
    """Length in bytes of the whole record."""
    processor: str
    """Who failed: a processor's name, ``sink/NAME``, or a stage (``frame``, ``source``)."""
    error: str
    labels: Labels
    source: str
    generation: bytes
    start: int
    """Start of the source range that held the record."""
    index: int
    """The record's index in that range."""
    read_at: int
    """Wall clock in microseconds since 1970, for people only."""
    format: int = 0
    """A ``Format``: ``NDJSON`` where ``raw`` is a JSON object, ``LINES`` where it is a raw record; 0: it is no single
    record, or the letter is of an earlier version, which did not say so.
    """
    processed: bool = False
    """The record had been through its chain: ``raw`` is what came out."""


DEAD_LETTER_RAW: Final = 64 * 1024
"""At most so many raw bytes of a record are kept in a dead letter."""


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where records came from when they are framed anew: they keep the identity of their first frame."""

    stream: bytes
    seq: int


@dataclass(slots=True, frozen=True)
class Upstream:
    """A frame's place in the stream that sent it; the writer judges duplicates by it, in the same write as the data."""

    stream: bytes
    seq: int
    epoch: int
    incarnation: bytes
    crc: int
    floor: int = 0
    """The sender's floor: what it has acknowledged elsewhere is not expected here any more."""
    original_crc: int = 0
    """``Frame.original_check`` of the frame; ``crc`` is its check as it came."""
    kept: bool = False
    """The sender keeps it until all sinks have it: it may come again, here and elsewhere."""


@dataclass(slots=True)
class Batch:
    """Records of one source read together, with labels and the source ranges that they cover."""

    source: str
    labels: Labels
    payload: "Payload | list[Record] | Frame"
    ranges: list[SourceRange]
    read_at: int
    """Wall clock in microseconds since 1970: information, never used for order or retention."""
    state: dict[str, bytes | None] = field(default_factory=dict)
    """State changes that become durable in the same entry; ``None`` forgets a key."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    upstream: Upstream | None = None
    came: "FrameMeta | None" = None
    """What the frame of ``upstream`` says of itself: the ledger wants it also when the chain takes the frame apart."""
    origin: Origin | None = None
    """Set with ``indices`` where records keep an identity that is not the new frame's own."""
    indices: list[int] | None = None
    """Each record's index in its origin frame; ``None``: 0, 1, 2 ..."""
    subs: list[int] | None = None
    """Each record's sub-index, where one record became several; ``None``: all 0."""
    replayed: bytes | None = None
    """The batch is a replay of dead letters: what the spool is to keep about that in the same entry (see replay.py)."""
    letters: list[DeadLetter] | None = None
    """With ``replayed``: each record's dead letter. One that fails again keeps the place that it was read at."""
    losses: list[Loss] = field(default_factory=list)
    """Bytes of the source's files that ``state`` forgets and that nobody will read."""
