"""The Acks of one connection: a task sends them while there is news, so an idle connection has none."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from shipper.v1 import ingest_pb2 as pb
from shipper.wire.budget import LARGEST

_STUCK: Final = 1.0
"""Seconds that a take lasts before the sender is told that the spool is full."""


class Standing(Protocol):
    """How it stands with a connection."""

    @property
    def acknowledged(self) -> int:
        """The first number that is not acknowledged."""
        ...

    @property
    def window(self) -> int:
        """In bytes."""
        ...


class Acks:
    """Those of one connection. Called on the event loop only."""

    __slots__ = ("_closed", "_send", "_standing", "_task", "_wanted", "blocked_since", "last")

    def __init__(self, standing: Standing, send: Callable[[pb.Ack], Awaitable[bool]]) -> None:
        """``send`` writes an Ack and says whether it could."""
        self._standing = standing
        self._send = send
        self._wanted = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.last = math.inf
        """When the last one went out; before ``start`` none is due, however long that takes: Welcome comes first."""
        self.blocked_since: float | None = None
        """Since when something is being taken; None: nothing is."""

    def start(self) -> None:
        """Welcome goes out now."""
        self.last = time.monotonic()

    def want(self) -> None:
        """Have one sent, of how it stands then."""
        self._wanted = True
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def sent(self) -> None:
        """Wait until none is wanted any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True

    async def _run(self) -> None:
        """Send Acks as long as there is news: what became durable while one was being written goes into the next."""
        try:
            while self._wanted and not self._closed:
                self._wanted = False
                self.last = now = time.monotonic()
                window = self._standing.window
                reason = pb.Ack.REASON_UNSPECIFIED
                if self.blocked_since is not None and now - self.blocked_since > _STUCK:
                    reason = pb.Ack.SPOOL_FULL
                elif window < LARGEST:
                    reason = pb.Ack.SHARED
                if not await self._send(pb.Ack(next=self._standing.acknowledged, window_bytes=window, reason=reason)):
                    break
        finally:
            self._task = None
