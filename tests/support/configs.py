"""Config files in a folder of a test, and components that have a setting of every type."""

from pathlib import Path

from shipper.config import Config, load
from shipper.errors import ConfigError

PARTS = '''
import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from shipper.sinks.base import Sink
from shipper.sources.base import Source
from shipper.units import ByteSize, Duration


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Inner(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An inner block."""

    ca: Path
    verify: bool = True


class Probe(Source):
    """A source with a setting of every type."""

    text: str = "x"
    """Any text."""
    maybe: str | None = None
    number: int = 1
    ratio: float = 0.5
    switch: bool = False
    size: ByteSize = ByteSize(1)
    wait: Duration = Duration(1)
    place: Path = Path("/")
    pattern: re.Pattern[str] = re.compile("")
    mode: Literal["fast", "safe"] = "fast"
    color: Color = Color.RED
    names: list[str] = []
    numbers: list[int] | None = None
    unique: set[str] = set()
    pair: tuple[str, ...] = ()
    table: dict[str, int] = {}
    anything: Any = None
    inner: Inner | None = None
    several: list[Inner] = []
    auto: Literal["auto"] | int = "auto"
    flexible: str | list[str] = "x"
    scalar: str | int | float | bool | None = None
    sized: ByteSize | str = "x"
    bounded: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    listen: str = "127.0.0.1:1"

    def setup(self):
        if self.text == "refused":
            raise ValueError("text must not be 'refused'")
        if self.text.startswith("told"):
            raise ValueError(f"cannot use {self.text!r}, that is {self.text[4:12]}")
        if self.text == "bug":
            raise KeyError("lost")

    async def run(self, intake, *, once):
        pass


class Needy(Source):
    """A source that needs something."""

    include: list[str]
    key: int

    async def run(self, intake, *, once):
        pass


class Strange(Source):
    """A source with a setting that no config can hold."""

    when: complex = 0j

    async def run(self, intake, *, once):
        pass


class Out(Sink):
    """A sink."""

    path: str = ""

    async def connect(self, outlet):
        return outlet.cursor

    async def send(self, items):
        pass

    async def close(self):
        pass
'''

OUT = 'sinks: {out: {type: "./parts.py:Out"}}\n'


def write(folder: Path, text: str, name: str = "c.yaml") -> Path:
    """Write a config file, with ``parts.py`` beside it."""
    (folder / "parts.py").write_text(PARTS)
    path = folder / name
    path.write_text(text)
    return path


def probe(settings: str) -> str:
    """A config with one source ``s`` whose settings are these lines; they start at line 4."""
    lines = "".join(f"    {line}\n" for line in settings.splitlines())
    return f'sources:\n  s:\n    type: "./parts.py:Probe"\n{lines}{OUT}'


def load_text(folder: Path, text: str) -> Config:
    """Load a config of one file."""
    return load([write(folder, text)])


def problems_of(folder: Path, text: str) -> list[str]:
    """The problems of a config of one file, without the folder of the file."""
    try:
        load_text(folder, text)
    except ConfigError as error:
        return [problem.replace(f"{folder}/", "") for problem in error.problems]
    return []
