"""The file source at work in a directory of a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.intake import MemoryIntake, stopping

from shipper.sources.file import FileSource
from shipper.sources.file.limits import Timings

QUICK = Timings(rescan=0.05, linger=0.1, forget=0.1)
"""For what happens by the clock alone."""
NEVER = Timings(rescan=3600, linger=3600, forget=3600)
"""For what has to happen by hints alone."""


def source(root: Path, *include: str, **options: Any) -> FileSource:
    """A source for patterns below ``root``, set up."""
    made = FileSource(include=[str(root / pattern) for pattern in include or ("*.log",)], **options)
    made.setup()
    return made


@asynccontextmanager
async def following(made: FileSource, intake: MemoryIntake, timings: Timings = NEVER) -> AsyncIterator[None]:
    """The source at work, having looked at the directories once."""
    async with stopping(asyncio.create_task(made.follow(intake, timings, once=False))):
        await intake.until(lambda: not made.describe().startswith("looking"))
        yield


def append(path: Path, *lines: bytes) -> None:
    """Write lines to the end of a file."""
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def numbered(first: int, last: int) -> list[bytes]:
    """Lines that differ."""
    return [b"line %d" % number for number in range(first, last)]
