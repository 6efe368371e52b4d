"""A source's chain in worker processes, without the rest of an agent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shipper.batch import Batch, Payload, SourceRange
from shipper.chain.line import Answer, Line
from shipper.chain.parcels import Made, Recipe, Step
from shipper.chain.workers import Workers
from shipper.processor import Processor

ROOM = 1 << 30


def steps(processors: Sequence[Processor]) -> tuple[Step, ...]:
    return tuple(Step(f"p{number}", f"a.yaml:{number}", each) for number, each in enumerate(processors))


def recipe(*processors: Processor) -> Recipe:
    return Recipe("app", {"source": "app"}, steps(processors), 1 << 20)


def batch(lines: Sequence[str], start: int = 0) -> Batch:
    data = b"".join(line.encode() + b"\n" for line in lines)
    span = SourceRange("app", b"g" * 16, start, start + len(data), len(lines), len(lines))
    return Batch("app", {"file": "/a.log"}, Payload.lines(data), [span], 5)


@asynccontextmanager
async def working(count: int, *processors: Processor) -> AsyncIterator[Line]:
    """A line of processors in so many workers."""
    failures: list[BaseException] = []
    workers = Workers(count, failures.append)
    await workers.start([recipe(*processors)])
    bound = any(not each.bisect for each in processors)
    try:
        yield workers.open(recipe(*processors), {}, bound=bound)
    finally:
        workers.close()
    assert not failures


def ran(line: Line, batch: Batch) -> "asyncio.Future[Made]":
    """What becomes of a batch."""
    future: asyncio.Future[Made] = asyncio.get_running_loop().create_future()

    def told(answer: Answer) -> None:
        if isinstance(answer, Made):
            future.set_result(answer)
        else:
            future.set_exception(answer)

    line.run(batch, lambda: ROOM, told)
    return future
