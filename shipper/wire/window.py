"""The sender's side of the window, and how items are put together into messages. Sans-IO.

At most ``limit`` bytes are on their way and not acknowledged; one frame may always be, unless the limit is 0.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from shipper.sinks.base import Gap, Item
from shipper.v1 import ingest_pb2 as pb

MESSAGE_BYTES: Final = 1024 * 1024
"""Small frames that wait together go out as one message of up to this size: at 256 KiB and above, gRPC's cost a
message no longer shows."""

_GAP_BYTES: Final = 64
"""A gap counts in the window as so many bytes, so that a window of 0 holds it back too."""


class Window:
    """What is on its way."""

    __slots__ = ("_messages", "limit", "next", "unacked")

    def __init__(self, limit: int, start: int) -> None:
        self.limit = limit
        self.next = start
        """The number after the last one sent."""
        self.unacked = 0
        """Bytes on their way."""
        self._messages: deque[tuple[int, int]] = deque()

    def fits(self, size: int) -> bool:
        """Whether ``size`` bytes may be sent now."""
        return self.unacked + size <= self.limit or (not self._messages and self.limit > 0)

    def sent(self, after: int, size: int) -> None:
        """A message whose last number is ``after - 1`` goes out."""
        self._messages.append((after, size))
        self.unacked += size
        self.next = after

    def acked(self, before: int) -> bool:
        """Everything before this number is safe; returns whether a message was done with by it."""
        messages = self._messages
        had = len(messages)
        while messages and messages[0][0] <= before:
            self.unacked -= messages.popleft()[1]
        return len(messages) < had


def size_of(item: Item) -> int:
    """What an item counts in the window, in bytes."""
    return _GAP_BYTES if isinstance(item.body, Gap) else len(item.body.raw)


def cut(items: Sequence[Item], at: int, size: int) -> int:
    """Where the message that begins with ``items[at]`` ends: a gap alone, or consecutive frames of up to ``size`` bytes
    and at least one.
    """
    end = at + 1
    if isinstance(items[at].body, Gap):
        return end
    size -= size_of(items[at])
    while end < len(items):
        item = items[end]
        size -= size_of(item)
        if size < 0 or isinstance(item.body, Gap) or item.seq != items[end - 1].next:
            break
        end += 1
    return end


def request(items: Sequence[Item]) -> bytes:
    """The ShipRequest, encoded, for what ``cut`` put together."""
    first = items[0]
    if isinstance(first.body, Gap):
        gap = first.body
        records = None if gap.records < 0 else gap.records
        message = pb.Gap(first=gap.first, last=gap.last, records=records, reason=gap.reason)
        return pb.ShipRequest(gap=message).SerializeToString()
    return encode_frames(first.seq, [item.body.raw for item in items if not isinstance(item.body, Gap)])


def encode_frames(first: int, frames: Sequence[bytes]) -> bytes:
    """``ShipRequest(frames=Frames(first=..., frames=...))`` encoded with one copy of the frames.

    The protobuf library copies them three times: sending 250 KB costs 640 us of CPU with it and 360 us without.
    """
    parts = [b"\x08", _varint(first)] if first else []  # field 1, varint; 0 is not written
    for raw in frames:
        parts += (b"\x12", _varint(len(raw)), raw)  # field 2, bytes
    return b"".join((b"\x12", _varint(sum(map(len, parts))), *parts))  # field 2 of ShipRequest


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
