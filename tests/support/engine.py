"""The engine's side of one source on a real spool, without the rest of a pipeline."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from shipper.budget import Budget
from shipper.chain.line import Line
from shipper.chain.run import Chain
from shipper.intake import SourceIntake
from shipper.metrics import Registry
from shipper.processor import Processor
from shipper.spool.browse import browse, start_of
from shipper.spool.frame import Frame
from shipper.spool.inspect import look
from shipper.spool.real_disk import RealDisk
from shipper.spool.spool import Spool


class _Spec(NamedTuple):
    name: str
    processor: Processor


@asynccontextmanager
async def engine(
    root: Path, processors: Sequence[Processor] = (), room: int = 4 << 20, line: Line | None = None
) -> AsyncIterator[SourceIntake]:
    """An intake named ``app`` on a spool of ``room`` bytes below ``root``, whose sink takes nothing. ``line``: the
    processors in workers.
    """
    spool = Spool(root, room, 1 << 20, ["central"])
    spool.start()
    workers = ThreadPoolExecutor(1)
    specs = [_Spec(f"p{number}", processor) for number, processor in enumerate(processors)]
    chain = Chain(specs, "app", lambda: 0)
    try:
        yield SourceIntake(
            "app", {"host": "edge-1"}, chain, spool, Registry(), Budget(1 << 20), workers, 1 << 18, 0.02, line, 4
        )
    finally:
        await spool.close()
        workers.shutdown()


def frames(root: Path) -> list[Frame]:
    """The frames of a spool."""
    disk = RealDisk(root)
    view = look(disk)
    steps = browse(disk, view, *start_of(view, 0))
    return [step.item.body for step in steps if step.item is not None and isinstance(step.item.body, Frame)]
