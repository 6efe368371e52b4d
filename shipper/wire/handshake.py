"""The collector's judgement of a Hello. Sans-IO.

A stream has one history. What tells a second one: an epoch that is older than one seen (FENCED), the same epoch opened
twice (CLONED), the same number with another check (DIVERGED).
"""

from typing import Final, Protocol

from shipper.v1.ingest_pb2 import FramePosition, Hello, Limits, Refused, Welcome
from shipper.version import VERSION
from shipper.wire.channel import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, PROTOCOL
from shipper.wire.checked import LARGEST
from shipper.wire.refusal import Refusal

_ID_SIZE: Final = 16


class Opening(Protocol):
    """One opening of a sender's spool: what a mark and a connection both tell."""

    @property
    def epoch(self) -> int:
        """Raised at every opening."""
        ...

    @property
    def incarnation(self) -> bytes:
        """16 random bytes drawn at the opening."""
        ...


class Mark(Opening, Protocol):
    """How far the spool has a stream of an upstream, durably."""

    @property
    def next(self) -> int:
        """The first number that it does not have."""
        ...

    @property
    def crc(self) -> int:
        """``Frame.check`` of frame ``next - 1``; 0 where a gap stands there."""
        ...

    @property
    def original_crc(self) -> int:
        """``Frame.original_check`` of it; 0 where that is not known."""
        ...


def check_hello(hello: Hello) -> None:
    """:raises Refusal: the Hello is not one that version 1 or a later one sends."""
    if len(hello.stream) != _ID_SIZE or len(hello.incarnation) != _ID_SIZE:
        raise Refusal(Refused.PROTOCOL, f"Hello: stream and incarnation are {_ID_SIZE} bytes each")
    if hello.protocol < 1:
        raise Refusal(Refused.PROTOCOL, "Hello: it names no protocol version")
    if hello.floor > LARGEST or hello.epoch > LARGEST:
        raise Refusal(Refused.PROTOCOL, "Hello: floor or epoch is out of range")


def check_opening(hello: Hello, seen: Opening) -> None:
    """Compare with another opening of the stream: that of the mark, or of the connection which is still there.

    :raises Refusal: it is not the same one, and not a newer one.
    """
    if hello.epoch < seen.epoch:
        raise Refusal(
            Refused.FENCED,
            f"epoch {hello.epoch} of stream {hello.stream.hex()} is older than epoch {seen.epoch}, seen here before: "
            "an old copy of the sender's data directory is running",
        )
    if hello.epoch == seen.epoch and hello.incarnation != seen.incarnation:
        raise Refusal(
            Refused.CLONED,
            f"epoch {hello.epoch} of stream {hello.stream.hex()} was opened twice: "
            "a copy of the sender's data directory is running",
        )


def check_history(hello: Hello, mark: Mark) -> None:
    """Compare the frame before the sender's floor with the collector's last, where that is the same number.

    :raises Refusal: they are two frames.
    """
    known = (mark.crc, mark.original_crc)
    if hello.floor == mark.next and hello.floor_check and mark.crc and hello.floor_check not in known:
        raise Refusal(
            Refused.DIVERGED,
            f"frame {hello.floor - 1} of stream {hello.stream.hex()} is not the one received here: "
            "the sender's data directory was restored from a backup, or copied",
        )


def welcome(hello: Hello, mark: Mark | None, expected: int, window_bytes: int) -> Welcome:
    """The answer to a Hello that passed."""
    last = None
    if mark is not None and mark.next > 0:
        last = FramePosition(epoch=mark.epoch, number=mark.next - 1, check=mark.crc, original_check=mark.original_crc)
    return Welcome(
        next=expected,
        last=last,
        window_bytes=window_bytes,
        limits=Limits(max_frame_bytes=MAX_FRAME_BYTES, max_message_bytes=MAX_MESSAGE_BYTES),
        protocol=min(hello.protocol, PROTOCOL),
        collector_version=VERSION,
    )
