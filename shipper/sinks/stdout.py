"""The stdout sink."""

import errno
import os
import select
import sys
from collections.abc import Sequence
from typing import ClassVar, Final

from shipper.errors import SinkError, SinkUnavailable
from shipper.sinks.base import Item, Outlet, Sink
from shipper.sinks.flat import Refusal, lines_of, refuse
from shipper.sinks.worker import Worker

_WRITE_SIZE: Final = 1024 * 1024


class StdoutSink(Sink):
    """Write records to standard output, one JSON object a line, each at least once.

    After a crash some records come again; `_stream`, `_seq` and `_index` together name a record, so that a reader can
    drop doubles.
    """

    group_bytes: ClassVar[int] = 256 * 1024
    descriptor: ClassVar[int] = 1

    read_at: bool = True
    """Write `_read_at`, the time at which the record was read."""
    identity: bool = True
    """Write `_stream`, `_seq` and `_index`."""

    def setup(self) -> None:
        """Make the thread that writes: whoever reads slowly holds up this sink alone."""
        self._worker = Worker("stdout-sink")
        self._torn = False

    async def connect(self, outlet: Outlet) -> int:
        """Nothing is remembered at the far side: from the cursor."""
        self._outlet = outlet
        if sys.stdout is not None:
            sys.stdout.flush()  # what was printed at the start comes first
        return outlet.cursor

    async def send(self, items: Sequence[Item]) -> None:
        """Write and acknowledge."""
        refusals: list[Refusal] = []
        await self._worker.run(lambda: self._write(items, refusals))
        await refuse(self._outlet, refusals)
        self._outlet.acked(items[-1].next)

    async def close(self) -> None:
        """A write that nobody reads is left to itself; a later one comes after it."""

    def held_up(self) -> bool:
        """Whoever reads the pipe decides how fast it goes."""
        return True

    def describe(self) -> str:
        """One phrase."""
        return "standard output"

    def _write(self, items: Sequence[Item], refusals: list[Refusal]) -> None:
        lines = [b"\n"] if self._torn else []
        for item in items:
            lines += lines_of(item, identity=self.identity, read_at=self.read_at, refusals=refusals)
        data = memoryview(b"".join(lines))
        done = 0
        try:
            while done < len(data):
                try:
                    done += os.write(self.descriptor, data[done : done + _WRITE_SIZE])
                except BlockingIOError:  # somebody made the terminal or pipe that we share non-blocking
                    select.select([], [self.descriptor], [])
        except OSError as error:
            if error.errno in {errno.EPIPE, errno.EBADF}:
                raise SinkError("standard output is closed; what reads it has ended") from error
            raise SinkUnavailable(f"cannot write to standard output: {error.strerror}") from error
        finally:
            if done:
                self._torn = data[done - 1] != 0x0A
