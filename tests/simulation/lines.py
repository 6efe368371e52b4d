"""Log files of a simulated machine, and the source that follows them: positions are durable with their lines."""

import asyncio
import hashlib
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from faults.oracle import line

from shipper.batch import Batch, Payload, SourceRange
from shipper.sources.base import Intake

if TYPE_CHECKING:
    from simulation.world import World

_LOOK: Final = 0.5
"""Seconds between two looks at the files."""
_TOGETHER: Final = 4


class LogFile:
    """A file that programs append to; what is in it is durable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = hashlib.blake2b(name.encode(), digest_size=16).digest()
        self.data = bytearray()
        self.ends: list[int] = []
        """Where each line ends."""

    @property
    def lines(self) -> int:
        """Whole ones."""
        return len(self.ends)

    def append(self, size: int) -> None:
        """One more line."""
        self.data += line(self.name, self.lines, size).encode() + b"\n"
        self.ends.append(len(self.data))

    def size(self, number: int) -> int:
        """Bytes of a line."""
        return self.ends[number] - (self.ends[number - 1] if number else 0)


class Programs:
    """What writes to the files of one machine."""

    def __init__(self, world: "World", name: str, files: int) -> None:
        self.files = [LogFile(f"{name}-{number}") for number in range(files)]
        self.pause = 0.5
        """Seconds between two bursts, about."""
        self.burst = 20
        """Lines of a burst, at most."""
        self.quiet = False
        self._world = world
        self._name = name
        self._plan()

    def _plan(self) -> None:
        self._world.at(self._world.dice.expovariate(1 / self.pause), f"{self._name} writes", self._write)

    def _write(self) -> None:
        dice = self._world.dice
        if not self.quiet:
            file = dice.choice(self.files)
            for _ in range(dice.randint(1, self.burst)):
                file.append(dice.choice((8, 60, 60, 200, 2000)))
        self._plan()

    @property
    def written(self) -> dict[str, int]:
        """Lines by file."""
        return {file.name: file.lines for file in self.files}


async def follow(files: list[LogFile], intake: Intake) -> None:
    """Read the files into an intake until cancelled, as the file source does: from the durable positions on."""
    at = {file.name: int(intake.state.get(file.name, b"0")) for file in files}

    def read(file: LogFile) -> Batch | None:
        begin = at[file.name]
        end = file.data.rfind(b"\n", begin, begin + intake.max_bytes) + 1
        if end <= begin:
            return None
        payload = Payload.lines(bytes(file.data[begin:end]))
        count = payload.count
        span = SourceRange(intake.name, file.generation, begin, end, read=count, kept=count)
        at[file.name] = end
        labels = {**intake.labels, "file": file.name}
        state: dict[str, bytes | None] = {file.name: str(end).encode()}
        return Batch(intake.name, labels, payload, [span], int(time.time() * 1e6), state=state)

    while True:
        for file in files:
            if at[file.name] < len(file.data):
                await intake.take(partial(read, file), _TOGETHER)
        await asyncio.sleep(_LOOK)
