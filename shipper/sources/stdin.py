"""The ``stdin`` source: lines from a pipe, a terminal or a redirected file."""

import asyncio
import os
import time
from contextlib import suppress
from typing import Final

from shipper.batch import Batch
from shipper.errors import SourceError
from shipper.sources.base import Given, Intake, Receipt, Source
from shipper.sources.file.framing import Framer, cut_off, to_batch

_READ: Final = 64 * 1024
"""A pipe holds so much by default."""
_LAST_WORDS: Final = 5.0
"""Seconds that a full spool may hold up the end of the process for lines that were read."""


class StdinSource(Source):
    """Read lines from standard input; ends when the input ends.

    There is nothing to resume from: lines that were read and are not durable yet when the process dies are lost with
    it. While the spool is full nothing is read, so the program before the pipe waits. The positions in source ranges
    count the bytes since the start of the process.
    """

    @property
    def gives(self) -> tuple[Given, ...]:
        """Lines."""
        return ("raw lines",)

    def claims(self) -> list[str]:
        """See ``Source``."""
        return ["standard input"]

    async def run(self, intake: Intake, *, once: bool) -> None:  # noqa: ARG002 - it ends with its input in any case
        """See ``Source``."""
        await StreamReader(0, intake).run()

    def describe(self) -> str:
        """See ``Source``."""
        return "reading standard input"


class StreamReader:
    """Hands the lines of an open descriptor to an intake."""

    def __init__(self, descriptor: int, intake: Intake) -> None:
        self._descriptor = descriptor
        self._intake = intake
        self._framer = Framer(intake.max_bytes, intake.max_record)
        self._generation = os.urandom(16)
        self._taking: asyncio.Future[Receipt | None] | None = None

    async def run(self) -> None:
        """Read to the end. When cancelled, what was read is handed over, unless that takes too long.

        :raises SourceError: the descriptor is closed or cannot be read.
        """
        try:
            await self._read()
            await self._hand_over()
        except OSError as error:
            raise SourceError(f"standard input cannot be read: {error.strerror or error}") from error
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    if self._taking is not None:
                        await self._taking
                    await self._hand_over()
            raise
        finally:
            if self._taking is not None:
                self._taking.cancel()

    async def _read(self) -> None:
        due = 0.0
        while True:
            if await self._readable(due if self._framer.held else None):
                # On the loop: it is there, so this is a copy of at most 64 KiB.
                data = os.read(self._descriptor, _READ)
                if not data:
                    self._framer.finish()
                    return
                self._framer.feed(data)
            if self._framer.held and (self._framer.held >= self._intake.max_bytes or time.monotonic() >= due):
                await self._hand_over()
                due = time.monotonic() + self._intake.max_delay

    async def _readable(self, until: float | None) -> bool:
        """Wait for input, at most until a time of the monotonic clock. Whether there is some."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:  # a regular file: always readable
            await asyncio.sleep(0)
            return True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                    await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return readable.is_set()

    async def _hand_over(self) -> None:
        """Give the intake all whole lines."""
        while self._framer.held:
            # Shielded: nobody could read again what a cancelled call had taken out of the framer.
            self._taking = asyncio.ensure_future(self._intake.take(self._batch))
            await asyncio.shield(self._taking)

    def _batch(self) -> Batch | None:
        intake = self._intake
        chunk = self._framer.take()
        if chunk is None:
            return None
        batch = to_batch(chunk, intake.name, dict(intake.labels), self._generation)
        batch.losses = cut_off(chunk, "standard input", self._generation)
        return batch
