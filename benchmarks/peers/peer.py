"""What the comparison must know of another program."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from benchmarks import verify
from benchmarks.verify import Content


class Missing(Exception):
    """The program is not to be had on this machine; the message says what was tried, and what would help."""


class Peer(ABC):
    """A program that reads a file, does what a workload does, and writes a file with one JSON object a line."""

    name: str
    promise: str
    """What its figure does not show: whether what it wrote is durable, and what a crash costs."""
    share: float = 1.0
    """Of the file's lines, from its beginning: less for a program that would need hours."""
    mark: bytes = b"\n"
    """What stands once in its output for each record."""

    @abstractmethod
    def find(self, folder: Path) -> str:
        """The program's path. One that a registry has is installed under ``folder`` first.

        :raises Missing: it is not there.
        """

    @abstractmethod
    def version(self, program: str) -> str:
        """Name and version, as the table has it."""

    @abstractmethod
    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """Write the config for a workload into the folder of ``output``, which is empty; what is to be run."""

    def read(self, output: Path) -> Iterator[Content | None]:
        """The fields of each record that it wrote; None for a line that is none."""
        return verify.read_fields(output)
