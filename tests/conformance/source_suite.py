"""What every source has to do, whatever it reads from. A source's tests inherit this suite and give it a ``Rig``.

class TestMySource(SourceSuite):
    @pytest.fixture
    def rig(self, tmp_path): return MyRig(tmp_path)
"""

import asyncio
from abc import abstractmethod
from typing import ClassVar

import pytest
from support.intake import DEADLINE, MemoryIntake, raw_records, running

from shipper.errors import SpoolFailed
from shipper.sources.base import Source


class Rig:
    """What the source under test reads from."""

    @abstractmethod
    def source(self) -> Source:
        """The source, as a config would make it; a new one for every start."""

    @abstractmethod
    async def write(self, *records: bytes) -> None:
        """Give the source records, after those that were given before. They may have to wait until it runs."""

    @abstractmethod
    async def end(self) -> None:
        """No more will come. Sources that end by themselves do so now."""

    async def close(self) -> None:
        """Give everything back."""


class SourceSuite:
    """What holds for all sources."""

    relays: ClassVar[bool] = False
    """The records come framed from another shipper, with their labels and ranges."""

    @pytest.fixture
    def rig(self) -> Rig:
        """What the source under test reads from."""
        raise NotImplementedError

    async def test_records_arrive_once_and_in_order(self, rig: Rig) -> None:
        """Those that were there and those that come."""
        intake = MemoryIntake()
        await rig.write(*numbered(0, 100))
        async with running(rig.source(), intake):
            await intake.have(100)
            await rig.write(*numbered(100, 200))
            await intake.have(200)
        await rig.close()
        assert intake.records() == numbered(0, 200)

    async def test_ranges_join_and_balance(self, rig: Rig) -> None:
        """Each says what was read, and every record is kept or failed."""
        intake = MemoryIntake(max_bytes=1000)
        await rig.write(*numbered(0, 500))
        async with running(rig.source(), intake):
            await intake.have(500)
        await rig.close()
        ends: dict[bytes, int] = {}
        for batch in intake.batches:
            for span in batch.ranges:
                assert span.source == intake.name
                assert span.start == ends.get(span.generation, span.start)
                assert span.end > span.start
                ends[span.generation] = span.end
                assert span.read == span.kept + span.failed
            assert sum(span.kept for span in batch.ranges) == len(raw_records(batch))

    async def test_labels_are_the_intakes_and_more(self, rig: Rig) -> None:
        """What a source discovers is added; the intake's own stay as they are."""
        intake = MemoryIntake()
        given = dict(intake.labels)
        await rig.write(b"one")
        async with running(rig.source(), intake):
            await intake.until(intake.records)
        await rig.close()
        assert intake.labels == given
        if not self.relays:
            assert all(batch.labels.items() >= given.items() for batch in intake.batches if raw_records(batch))

    async def test_calls_of_take_do_not_overlap(self, rig: Rig) -> None:
        """The intake keeps their order by that."""
        intake = MemoryIntake(max_bytes=500, max_delay=0.0)
        async with running(rig.source(), intake):
            for number in range(0, 300, 30):
                await rig.write(*numbered(number, number + 30))
            await intake.have(300)
        await rig.close()
        assert intake.overlaps == 0

    async def test_a_full_spool_holds_the_source_up_and_no_more(self, rig: Rig) -> None:
        """It goes on when there is room, with nothing lost."""
        intake = MemoryIntake()
        intake.block()
        await rig.write(*numbered(0, 50))
        async with running(rig.source(), intake) as task:
            assert not (await asyncio.wait({task}, timeout=0.05))[0]
            assert intake.records() == []
            intake.unblock()
            await intake.have(50)
        await rig.close()
        assert intake.records() == numbered(0, 50)

    async def test_it_ends_when_it_is_cancelled(self, rig: Rig) -> None:
        """Soon, with nothing to read, and while the spool is full."""
        for blocked in (False, True):
            intake = MemoryIntake()
            if blocked:
                intake.block()
            task = asyncio.create_task(rig.source().run(intake, once=False))
            await asyncio.sleep(0.02)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=DEADLINE)
            assert done
            assert task.cancelled()
        await rig.close()


class ReadingSuite(SourceSuite):
    """More, for sources that read by themselves (nobody is at the other end who could be told)."""

    async def test_an_error_of_the_intake_ends_it_with_that_error(self, rig: Rig) -> None:
        """The engine decides by its class what to do."""
        await rig.write(*numbered(0, 10))
        with pytest.raises(SpoolFailed):
            await asyncio.wait_for(rig.source().run(MemoryIntake(fail_at=0), once=False), DEADLINE)
        await rig.close()

    async def test_once_reads_what_is_there_and_returns(self, rig: Rig) -> None:
        """All of it, and without waiting for more."""
        intake = MemoryIntake()
        await rig.write(*numbered(0, 300))
        await rig.end()
        await asyncio.wait_for(rig.source().run(intake, once=True), DEADLINE)
        await rig.close()
        assert intake.records() == numbered(0, 300)


class ResumingSuite(ReadingSuite):
    """More, for sources whose positions are durable with their records."""

    async def test_a_restart_reads_again_what_was_not_durable_and_nothing_else(self, rig: Rig) -> None:
        """After any batch."""
        intake = MemoryIntake(max_bytes=300, max_delay=0.0)
        for number in range(0, 400, 40):
            await rig.write(*numbered(number, number + 40))
            intake.hold = number % 80 == 0
            async with running(rig.source(), intake):
                await intake.have(number + 40)
            intake = intake.restarted()
        async with running(rig.source(), intake):
            await intake.have(400)
        await rig.close()
        assert intake.records() == numbered(0, 400)

    async def test_a_restart_after_an_error_loses_nothing(self, rig: Rig) -> None:
        """What was read when the intake failed comes again."""
        intake = MemoryIntake(max_bytes=300, max_delay=0.0)
        await rig.write(*numbered(0, 400))
        for fail_at in range(1, 6):
            intake.fail_at = fail_at
            with pytest.raises(SpoolFailed):
                await asyncio.wait_for(rig.source().run(intake, once=False), DEADLINE)
            intake = intake.restarted()
        async with running(rig.source(), intake):
            await intake.have(400)
        await rig.close()
        assert intake.records() == numbered(0, 400)


def numbered(first: int, last: int) -> list[bytes]:
    """Records that tell their order."""
    return [b"record %d" % number for number in range(first, last)]
