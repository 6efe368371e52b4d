"""A stream that several collectors may carry comes to this one.

Where it goes on says the far side of the sinks, whoever brought it there. What this spool holds beyond that was passed
over, or will be, if somebody else had the stream meanwhile: the mark goes back, and the sender sends it again. The
sinks drop what comes twice.
"""

import asyncio
from typing import Final

from shipper.errors import SinkError
from shipper.sinks.base import Claimed
from shipper.sinks.sharing import Sharing
from shipper.spool.body import Mark
from shipper.v1.ingest_pb2 import Hello, Refused
from shipper.wire import handshake
from shipper.wire.delivered import Delivered
from shipper.wire.hop import HopIntake
from shipper.wire.refusal import Refusal

_PAUSES: Final = (0.2, 0.4)
"""Seconds between attempts: a sink that somebody else shut out finds that out by the first one, and connects again. A
sender that is refused would go elsewhere, and shut out the next one."""


async def take_over(intake: HopIntake, delivered: Delivered, hello: Hello) -> Claimed:
    """Claim the sender's stream, of which nothing is on its way any more; the mark is as low as it must be then.

    :raises Refusal: it cannot be had now, or the far side knows another history of it.
    :raises ShipperError: the spool takes nothing any more.
    """
    claimed = await _claimed(intake.sharing, hello)
    there, here = claimed.mark, intake.mark(hello.stream)
    if there.epoch:
        handshake.check_opening(hello, there)
    handshake.check_history(hello, there)
    if here is None or here.next <= there.next:
        return claimed
    fresh = claimed.fresh or delivered.passed_over(hello.stream, here.next, there.next)
    if fresh:
        newest = max(here, there, key=lambda mark: mark.epoch)
        mark = Mark(there.next, newest.epoch, newest.incarnation, there.crc, there.original_crc)
        await intake.lower(hello.stream, mark)
    return Claimed(there, fresh)


async def _claimed(sharing: Sharing, hello: Hello) -> Claimed:
    """:raises Refusal: the stream cannot be had now."""
    for pause in (*_PAUSES, None):
        try:
            return await sharing.claim(hello.stream, hello.floor)
        except SinkError as error:
            if pause is None or not error.retriable:
                raise Refusal(Refused.REPLACED, f"the stream cannot be taken over now: {error}") from error
            await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def last_known(here: handshake.Mark | None, there: Mark | None) -> handshake.Mark | None:
    """The later one: the sender compares its check before it takes anything for acknowledged."""
    known = [mark for mark in (here, there) if mark is not None]
    return max(known, key=lambda mark: mark.next, default=None)


def passed_over(stream: bytes) -> Refusal:
    """Why the connection of a stream ends, of which a sink passed something over."""
    return Refusal(
        Refused.REPLACED,
        f"another collector carries stream {stream.hex()}, or it must go on where the sinks are: connect again",
    )
