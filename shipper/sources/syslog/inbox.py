"""Messages that came in and wait for their batch, of all senders together, within one limit.

Who puts messages in goes on reading until the inbox is full; then everybody stops until half of it is gone. What the
kernel holds meanwhile holds back the senders (TCP), or is dropped by it (UDP).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final, TypeAlias

from shipper.syslog import Message

Received: TypeAlias = tuple[Message, str, str]
"""A message, its sender's address without a port, and the address that it came in at, as in ``udp://0.0.0.0:514``."""

MOST: Final = 8192
"""Messages in a batch: each becomes a record of some hundred bytes, however short it is."""
_EACH: Final = 160
"""What a message takes beside its text. Without it a flood of empty lines would take seventy times the limit."""


class Inbox:
    """The messages, in the order in which they came."""

    def __init__(self, limit: int, stop: Callable[[], None], resume: Callable[[], None]) -> None:
        """``limit``: bytes of memory. ``stop`` is called when they are held, ``resume`` when half of them are gone."""
        self.held = 0
        """Bytes of messages that wait, without what they take beside."""
        self.received = 0
        """Bytes of messages that ever came in."""
        self.full = False
        self._limit = limit
        self._stop = stop
        self._resume = resume
        self._waiting: deque[Received] = deque()
        self._wanted = 0
        self._there = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, messages: Sequence[Message], peer: str, endpoint: str) -> None:
        """Take messages. Never refuses: who has read them cannot give them back."""
        size = sum([len(message.data) for message in messages]) + len(messages)
        self._waiting.extend(zip(messages, repeat(peer), repeat(endpoint), strict=False))
        self.held += size
        self.received += size
        if self._memory >= self._limit and not self.full:
            self.full = True
            self._stop()
        if self._enough:
            self._there.set()

    async def wait(self, wanted: int, within: float | None) -> None:
        """Until so many bytes are there or no more fit, or that many seconds are over (None: never)."""
        self._wanted = wanted
        if self._enough or (within is not None and within <= 0):
            return
        self._there.clear()
        try:
            async with asyncio.timeout(within):
                await self._there.wait()
        except TimeoutError:
            return

    def take(self, size: int) -> list[Received]:
        """The first messages, of at most so many bytes and ``MOST`` together, at least one if there is one."""
        taken: list[Received] = []
        total = 0
        while self._waiting and len(taken) < MOST:
            total += len(self._waiting[0][0].data) + 1
            if taken and total > size:
                break
            taken.append(self._waiting.popleft())
        self.held -= sum(len(message.data) + 1 for message, _, _ in taken)
        if self.full and self._memory <= self._limit // 2:
            self.full = False
            self._resume()
        return taken

    @property
    def _memory(self) -> int:
        return self.held + _EACH * len(self._waiting)

    @property
    def _enough(self) -> bool:
        return self.full or self.held >= self._wanted
