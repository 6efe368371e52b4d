"""What every sink must do: inherit ``SinkSuite`` and say how to make the sink and what its far side holds.

Frames come from a real spool through the real delivery.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Protocol

import pytest
from support.delivering import DEADLINE, Outpost, frame_draft, lines, unreadable_draft

from shipper.sinks.base import Sink


class FarSide(Protocol):
    """Where a sink's records go."""

    def sink(self) -> Sink:
        """A new sink, set up: as after a restart of the process."""
        ...

    async def messages(self) -> list[str]:
        """The ``message`` of every record that is there, in order."""
        ...


class SinkSuite:
    """Inherit as ``class TestFileSink(SinkSuite)``."""

    keeps_records: ClassVar[bool] = True
    """False: ``messages`` is always empty."""
    reads_records: ClassVar[bool] = True
    """False: the sink passes frames on without looking into them, so it refuses none."""

    @asynccontextmanager
    async def far_side(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        """Start the far side; it lives as long as the test."""
        raise NotImplementedError
        yield

    @pytest.fixture
    async def far(self, tmp_path: Path) -> AsyncIterator[FarSide]:
        """The far side."""
        async with self.far_side(tmp_path) as far:
            yield far

    @pytest.fixture
    def outpost(self, tmp_path: Path) -> Outpost:
        """A spool that ships to the far side."""
        return Outpost(tmp_path)

    async def check(self, far: FarSide, expected: list[str]) -> None:
        """The far side holds these, in this order."""
        if self.keeps_records:
            assert await far.messages() == expected

    async def test_records_arrive_in_the_order_in_which_they_were_written(self, far: FarSide, outpost: Outpost) -> None:
        async with outpost.opened(), outpost.delivering(far.sink()) as delivery:
            for number in range(20):
                await outpost.append(frame_draft(lines(f"{number}a", f"{number}b")))
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        await self.check(far, [f"{number}{letter}" for number in range(20) for letter in "ab"])
        assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 40

    async def test_a_backlog_is_delivered_whole(self, far: FarSide, outpost: Outpost) -> None:
        async with outpost.opened():
            await outpost.append(*(frame_draft(lines(*(f"{n}-{i}" for i in range(100)))) for n in range(30)))
        await outpost.deliver_all(far.sink())
        await self.check(far, [f"{number}-{i}" for number in range(30) for i in range(100)])

    async def test_after_a_restart_nothing_acknowledged_comes_again(self, far: FarSide, outpost: Outpost) -> None:
        for life in range(3):
            async with outpost.opened(), outpost.delivering(far.sink()) as delivery:
                await outpost.append(frame_draft(lines(f"life {life}")))
                await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        await self.check(far, ["life 0", "life 1", "life 2"])

    async def test_a_lost_cursor_loses_nothing(self, far: FarSide, outpost: Outpost) -> None:
        """An exactly-once sink shows nothing twice; another may, in order."""
        sink = far.sink()
        async with outpost.opened(), outpost.delivering(sink) as delivery:
            for number in range(5):
                await outpost.append(frame_draft(lines(str(number))))
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        outpost.lose_cursor()
        async with outpost.opened(), outpost.delivering(far.sink()) as delivery:
            await outpost.append(frame_draft(lines("5")))
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        first, again = [str(n) for n in range(5)], [str(n) for n in range(6)]
        if sink.exactly_once:
            await self.check(far, again)
        else:
            await self.check(far, first + again)

    async def test_connecting_again_shows_nothing_acknowledged_twice(self, far: FarSide, outpost: Outpost) -> None:
        sink = far.sink()
        async with outpost.opened():
            for number in range(4):
                await outpost.append(frame_draft(lines(str(number))))
                async with outpost.delivering(sink) as delivery:
                    await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        await self.check(far, ["0", "1", "2", "3"])

    async def test_empty_frames_are_acknowledged(self, far: FarSide, outpost: Outpost) -> None:
        async with outpost.opened():
            await outpost.append(
                frame_draft(None),
                frame_draft(lines("one")),
                frame_draft(None),
                frame_draft(None),
                frame_draft(lines("two")),
            )
        await outpost.deliver_all(far.sink())
        await self.check(far, ["one", "two"])

    async def test_only_empty_frames_are_acknowledged_too(self, far: FarSide, outpost: Outpost) -> None:
        async with outpost.opened():
            await outpost.append(frame_draft(None), frame_draft(None))
        await outpost.deliver_all(far.sink())
        await self.check(far, [])

    async def test_a_gap_is_passed(self, far: FarSide, outpost: Outpost) -> None:
        async with outpost.opened():
            await outpost.append(frame_draft(lines("before")))
            await outpost.append_gap(7)
            await outpost.append(frame_draft(lines("after")))
        await outpost.deliver_all(far.sink())
        await self.check(far, ["before", "after"])

    async def test_a_frame_that_cannot_be_read_goes_to_the_dead_letters_once(
        self, far: FarSide, outpost: Outpost
    ) -> None:
        """And what follows it arrives."""
        if not (self.reads_records and self.keeps_records):
            return
        async with outpost.opened():
            await outpost.append(frame_draft(lines("before")), unreadable_draft(), frame_draft(lines("after")))
        for _ in range(2):
            await outpost.deliver_all(far.sink())
            outpost.lose_cursor()
        assert [letter.raw for letter in outpost.dead_letters()] == [b"two\nlines\n"]
        messages = await far.messages()
        assert set(messages) == {"before", "after"}, messages

    async def test_closing_is_idempotent_and_a_sink_may_connect_again(self, far: FarSide, outpost: Outpost) -> None:
        sink = far.sink()
        await sink.close()
        async with outpost.opened():
            for _ in range(2):
                assert await sink.connect(outpost.delivery(sink)) >= 0
                await sink.close()
                await sink.close()
            await outpost.append(frame_draft(lines("still works")))
            async with outpost.delivering(sink) as delivery:
                await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
        await self.check(far, ["still works"])
