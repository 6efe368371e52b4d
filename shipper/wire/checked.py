"""What came from a sender, judged by itself: whole, and within the limits.

A sender may have any bytes sealed: that a checksum holds says nothing about what stands in a frame. What passes here
goes into the spool for good, and whoever reads it there relies on it.
"""

from typing import Any, Final

from msgspec.msgpack import Ext

from shipper.batch import SourceRange
from shipper.errors import FrameError, FutureFormat
from shipper.spool.frame import MAX_DECODED, MAX_FRAME, MAX_RECORDS, Frame, decode
from shipper.v1.ingest_pb2 import Gap, Refused
from shipper.wire.channel import MAX_FRAME_BYTES
from shipper.wire.refusal import Refusal

LARGEST: Final = 2**62
"""No number of a sender is larger. What is counted on from there still has 63 bits, as in SQLite."""
_DEEPEST: Final = 64
"""Labels are nested no deeper: whoever reads them later may have less room on its stack than there was here."""
_LONGEST_REASON: Final = 1024


def checked(number: int, raw: bytes) -> Frame:
    """:raises Refusal: it cannot be taken; the reason names ``number``."""
    if len(raw) > MAX_FRAME_BYTES:
        raise Refusal(Refused.TOO_LARGE, f"frame {number} is {len(raw)} bytes long; the limit is {MAX_FRAME_BYTES}")
    try:
        frame = decode(raw)
        if frame.decoded_size > MAX_DECODED or frame.meta_size > MAX_FRAME:
            size = max(frame.decoded_size, frame.meta_size)
            raise Refusal(Refused.TOO_LARGE, f"frame {number} is {size} bytes long when it is decoded")
        if frame.records > MAX_RECORDS:
            raise Refusal(
                Refused.TOO_LARGE, f"frame {number} holds {frame.records} records; the limit is {MAX_RECORDS}"
            )
        frame.verify()
        frame.check_claim()
        problem = _problem(frame)
    except FutureFormat as error:
        raise Refusal(Refused.UNSUPPORTED, f"frame {number}: {error}") from error
    except FrameError as error:
        raise Refusal(Refused.DAMAGED, f"frame {number}: {error}") from error
    if problem:
        raise Refusal(Refused.PROTOCOL, f"frame {number}: {problem}")
    return frame


def check_gap(gap: Gap) -> None:
    """:raises Refusal: it cannot be taken."""
    if gap.last > LARGEST or gap.records > LARGEST:
        raise Refusal(Refused.PROTOCOL, f"a gap {gap.first}..{gap.last} of {gap.records} records is out of range")
    if len(gap.reason) > _LONGEST_REASON:
        raise Refusal(Refused.PROTOCOL, f"a gap whose reason has {len(gap.reason)} characters")


def _problem(frame: Frame) -> str:
    """What stands in the frame that no shipper writes and nobody could keep; empty: nothing. What merely makes no sense
    is the business of who reads the records (docs/decisions/026).
    """
    if frame.seq > LARGEST:
        return "its number is out of range"
    for value in frame.labels.values():
        if type(value) is not str and not _is_label(value, _DEEPEST):  # few are no text: it is asked of every frame
            return f"a label that is no JSON, or is nested deeper than {_DEEPEST}"
    if not all(map(_is_range, frame.meta.ranges)):
        return "a source range with numbers out of range"
    return ""


def _is_label(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_label(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_label(each, depth - 1) for each in value)
    return not isinstance(value, Ext)


def _is_range(span: SourceRange) -> bool:
    return (
        0 <= span.start <= span.end <= LARGEST
        and 0 <= span.read <= LARGEST
        and 0 <= span.kept <= LARGEST
        and 0 <= span.failed <= LARGEST
        and (not span.dropped or all(0 <= count <= LARGEST for count in span.dropped.values()))
    )
