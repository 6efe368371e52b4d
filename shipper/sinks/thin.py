"""A sink's ``where``: frames lose the records that do not meet it, at the delivery. Sans-IO, CPU-bound.

A thinned frame keeps its stream, its number and the identity of the records left in it (their indices stand in its
metadata), their bytes, its labels and its source ranges; its header keeps the CRC of the whole payload, and its
metadata the check of the frame that it was, which the handshake compares. A frame that loses all its records goes on as
an empty one, so that the far side can tell "nothing for you" from "lost".
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from shipper.batch import Format, Labels, Payload, Record
from shipper.chain.decode import records_of
from shipper.chain.expression import Condition
from shipper.errors import FrameError, FrameTooLarge, PatternTimeout
from shipper.sinks.base import Frame, Item
from shipper.sinks.flat import Refusal, damaged
from shipper.spool.frame import FrameMeta, decode, draft


class Thinner:
    """One compiled ``where``."""

    def __init__(self, where: str) -> None:
        """:raises ValueError: the expression cannot be read; the message says what is wrong."""
        self._condition = Condition.parse(where)

    def thin(self, items: Sequence[Item]) -> tuple[list[Item], list[Refusal]]:
        """The items to send, one for each given; and the frames whose payload cannot be read, which go on empty."""
        kept: list[Item] = []
        refusals: list[Refusal] = []
        for item in items:
            if not isinstance(item.body, Frame) or not item.body.records:
                kept.append(item)
                continue
            try:
                kept.append(replace(item, body=self.thin_frame(item.body)))
            except FrameError as error:
                refusals.append(damaged(item, item.body, error))
                kept.append(replace(item, body=_rebuilt(item.body, None, None, None)))
        return kept, refusals

    def thin_frame(self, frame: Frame) -> Frame:
        """The frame with the records that meet the condition; the frame itself when all do.

        :raises FrameError: the payload cannot be read.
        """
        payload = frame.payload()
        if payload is None:
            return frame
        records = records_of(payload)
        try:
            mask = self._condition.mask(records, frame.labels)
        except PatternTimeout:
            mask = [self._may_meet(record, frame.labels) for record in records]
        if all(mask):
            return frame
        if not any(mask):
            return _rebuilt(frame, None, None, None)
        raw = list(compress(payload.raw(), mask))
        if payload.format is Format.SIZED:
            left = Payload.sized(raw)
        else:
            left = Payload(payload.format, b"\n".join(raw) + b"\n", len(raw))
        meta = frame.meta
        indices = list(compress(range(frame.records) if meta.indices is None else meta.indices, mask))
        subs = None if meta.subs is None else list(compress(meta.subs, mask))
        try:
            return _rebuilt(frame, left, indices, subs)
        except FrameTooLarge:
            # Hundreds of thousands of tiny records: their indices alone fill a frame. Better to number them anew.
            return _rebuilt(frame, left, None, None)

    def _may_meet(self, record: Record, labels: Labels) -> bool:
        try:
            return self._condition(record, labels)
        except PatternTimeout:
            return True  # nobody knows: rather sent than lost


def _rebuilt(frame: Frame, payload: Payload | None, indices: list[int] | None, subs: list[int] | None) -> Frame:
    meta = FrameMeta(frame.labels, frame.meta.ranges, frame.meta.origin, indices, subs, frame.original_check)
    thinned = draft(payload, meta, frame.read_at, thinned_from=frame.original_crc)
    return decode(thinned.stamp(frame.stream, frame.seq)[0])
