"""What a simulated collector delivers to: a store elsewhere, which takes a group whole or not at all."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from faults.oracle import Judge

from shipper.batch import Format
from shipper.errors import SinkUnavailable
from shipper.sinks.base import Gap, Item, Outlet, Sink

if TYPE_CHECKING:
    from simulation.world import World


class Archive:
    """Lines, and how much of each spool is here, in one transaction; and what a reader sees."""

    def __init__(self, world: "World", *hear: Judge) -> None:
        self.world = world
        self.next: dict[bytes, int] = {}
        """By the stream id that a spool began with: the number after the last one."""
        self.judges = hear
        self.trouble = 0.0
        """How often an answer gets lost, or the store is away: 0 to 1."""
        self.away = False
        self.gaps: list[Gap] = []

    def commit(self, home: bytes, items: Sequence[Item]) -> None:
        """Take what is not here."""
        for item in items:
            expected = self.next.get(home, 0)
            if isinstance(item.body, Gap):
                # One that was dropped after a crash may begin with frames that arrived, and nobody heard of it.
                self.gaps.append(item.body if item.seq >= expected else replace(item.body, records=-1))
                self.next[home] = max(expected, item.next)
                continue
            assert item.seq >= expected, f"number {item.seq} was delivered where {expected} was expected"
            self.next[home] = item.next
            self.hear([item])

    def hear(self, items: Sequence[Item]) -> None:
        """Readers see the records of these items."""
        for item in items:
            payload = None if isinstance(item.body, Gap) else item.body.payload()
            if payload is None:
                continue
            lines = [raw.decode() for raw in payload.raw()]
            if payload.format is Format.NDJSON:
                lines = [json.loads(one)["message"] for one in lines]
            for judge in self.judges:
                judge.hear(lines)

    async def round_trip(self) -> None:
        """There and back again.

        :raises SinkUnavailable: there is trouble.
        """
        await asyncio.sleep(self.world.dice.uniform(0.001, 0.05))
        if self.away or self.world.dice.random() < self.trouble:
            raise SinkUnavailable("the archive does not answer")


class ArchiveSink(Sink):
    """Delivers to an ``Archive``, exactly once."""

    def use(self, archive: Archive) -> "ArchiveSink":
        """The one to deliver to."""
        self.archive = archive
        return self

    async def connect(self, outlet: Outlet) -> int:
        """See ``Sink``."""
        self.outlet = outlet
        await self.archive.round_trip()
        return max(outlet.cursor, self.archive.next.get(outlet.home, 0))

    async def send(self, items: Sequence[Item]) -> None:
        """See ``Sink``."""
        await self.archive.round_trip()
        self.archive.commit(self.outlet.home, items)
        await self.archive.round_trip()
        self.outlet.acked(items[-1].next)

    async def close(self) -> None:
        """See ``Sink``."""
