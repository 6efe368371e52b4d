"""What the campaign found in shipper, and what came of it: ``docs/reliability/found.toml``, a part of the report."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path(__file__).parents[2] / "docs/reliability/found.toml"
_HEAD: Final = """\
## Found and mended

What the campaign and its oracles, the simulation, the mutants and the fuzzers found in shipper. Each fault is mended at
its root, and the test fails without that.

| fault | found by | mended in | test |
|---|---|---|---|
"""


class Found(msgspec.Struct, forbid_unknown_fields=True):
    """A fault that is mended."""

    what: str
    by: str
    """The row, target or test that showed it first."""
    fix: str
    """The commit."""
    test: str
    """``path::name``: fails without the fix."""


def found(path: Path = FILE) -> list[Found]:
    """All of them. :raises msgspec.ValidationError: the file is none of these."""
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, list[Found]])["found"]


def table(faults: Sequence[Found]) -> str:
    """For the report; empty where nothing was found."""
    rows = [f"| {one.what.replace('|', chr(92) + '|')} | {one.by} | {one.fix} | `{one.test}` |" for one in faults]
    return _HEAD + "\n".join(rows) + "\n" if rows else ""
