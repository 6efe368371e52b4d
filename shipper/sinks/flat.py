"""What the sinks share that write one JSON object a record: turning items into lines, and refusing what is none."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from shipper.chain.flat import flat_lines
from shipper.errors import FrameError
from shipper.sinks.base import Frame, Item, Outlet
from shipper.spool.frame import HEADER_SIZE

_AT_ONCE: Final = 256
"""Refusals that wait for the same sync."""


class Refusal(NamedTuple):
    """A record for the dead letters: the arguments of ``Outlet.refuse``."""

    item: Item
    at: int
    """The record's index in the frame."""
    raw: bytes
    reason: str


def lines_of(item: Item, *, identity: bool, read_at: bool, refusals: list[Refusal], end: bytes = b"\n") -> list[bytes]:
    """The item's records as JSON objects with ``end`` behind each; none for a gap and an empty frame.

    A frame whose payload cannot be read never will be: it is added to ``refusals``. CPU-bound.
    """
    frame = item.body
    if not isinstance(frame, Frame) or not frame.records:
        return []
    try:
        return flat_lines(frame, identity=identity, read_at=read_at, end=end)
    except FrameError as error:
        refusals.append(damaged(item, frame, error))
        return []


def damaged(item: Item, frame: Frame, error: FrameError) -> Refusal:
    """A whole frame as one dead letter, with its payload as it is stored."""
    reason = f"{error}; all its {frame.records} records are in this dead letter"
    return Refusal(item, 0, frame.raw[HEADER_SIZE + frame.meta_size :], reason)


def each_record(item: Item, frame: Frame, reason: str) -> list[Refusal]:
    """Every record of a frame, refused for one reason."""
    try:
        payload = frame.payload()
    except FrameError as error:
        return [damaged(item, frame, error)]
    raw = [] if payload is None else payload.raw()
    return [Refusal(item, index, record, reason) for index, record in enumerate(raw)]


async def refuse(outlet: Outlet, refusals: Sequence[Refusal]) -> None:
    """Put records to the dead letters, in order, many to a sync; returns when all are durable."""
    for at in range(0, len(refusals), _AT_ONCE):
        await asyncio.gather(*(outlet.refuse(*refusal) for refusal in refusals[at : at + _AT_ONCE]))
