"""A journald source on a real journal, and what it makes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.intake import DEADLINE, MemoryIntake, stopping
from support.journal import Journal

from shipper.sources.journald import JournaldSource


def journald_source(journal: Journal, **options: Any) -> JournaldSource:
    """A source that reads this journal, set up."""
    made = JournaldSource(directory=str(journal.directory), **options)
    made.setup()
    return made


async def read(made: JournaldSource, intake: MemoryIntake | None = None) -> MemoryIntake:
    """Everything that is there."""
    intake = intake or MemoryIntake()
    await asyncio.wait_for(made.run(intake, once=True), DEADLINE)
    return intake


@asynccontextmanager
async def following(made: JournaldSource, intake: MemoryIntake) -> AsyncIterator[None]:
    """The source at work; it does not wait long when journalctl fails."""
    async with stopping(asyncio.create_task(made.read(intake, 0.02, once=False))):
        yield


def records(intake: MemoryIntake) -> list[dict[str, Any]]:
    """All records that the intake took."""
    found = []
    for batch in intake.batches:
        assert not batch.ranges or isinstance(batch.payload, list)
        found += batch.payload if isinstance(batch.payload, list) else []
    return found
