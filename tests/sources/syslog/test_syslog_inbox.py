"""The inbox of the syslog source: what it holds is bounded in memory, not in bytes of text."""

import asyncio
import tracemalloc

from shipper.sources.syslog.inbox import MOST, Inbox
from shipper.syslog import SyslogFramer

LIMIT = 1_000_000


def filled(line: bytes) -> tuple[Inbox, int]:
    """An inbox that is full of such lines, and the bytes that it takes."""
    inbox, framer = Inbox(LIMIT, lambda: None, lambda: None), SyslogFramer(1000)
    tracemalloc.start()
    try:
        while not inbox.full:
            inbox.put(framer.feed(line * 100), "127.0.0.1", "tcp://127.0.0.1:601")
        return inbox, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_flood_of_tiny_messages_takes_no_more_memory_than_the_limit() -> None:
    """A message of one byte takes some two hundred: a limit in bytes of text would be seventy times too high."""
    for line in (b"x\n", b"<13>" + b"x" * 200 + b"\n"):
        _, held = filled(line)
        assert held < 1.5 * LIMIT, line


def test_a_batch_has_only_so_many_messages() -> None:
    """Each becomes a record of some hundred bytes, however short it is."""
    inbox, _ = filled(b"x\n")
    count = len(inbox)
    assert len(inbox.take(10**9)) == min(count, MOST)
    while len(inbox):
        assert len(inbox.take(10**9)) <= MOST
    assert inbox.held == 0


async def test_a_full_inbox_is_not_waited_for() -> None:
    """It is full by the number of messages long before the bytes of a batch are there."""
    inbox = Inbox(LIMIT, lambda: None, lambda: None)
    waiting = asyncio.ensure_future(inbox.wait(LIMIT, None))
    await asyncio.sleep(0)
    framer = SyslogFramer(1000)
    while not inbox.full:
        inbox.put(framer.feed(b"x\n" * 100), "127.0.0.1", "tcp://127.0.0.1:601")
    await asyncio.wait_for(waiting, 60)
    await asyncio.wait_for(inbox.wait(LIMIT, None), 60)


def test_who_stopped_goes_on_when_half_is_gone() -> None:
    """Not at each message, and not only when all is gone."""
    said: list[str] = []
    inbox, framer = Inbox(100_000, lambda: said.append("stop"), lambda: said.append("resume")), SyslogFramer(1000)
    while not inbox.full:
        inbox.put(framer.feed(b"x" * 900 + b"\n"), "127.0.0.1", "tcp://127.0.0.1:601")
    count = len(inbox)
    assert said == ["stop"]
    while said == ["stop"]:
        inbox.take(1)
    assert abs(len(inbox) - count / 2) <= 1
    assert said == ["stop", "resume"]
