"""The mistakes: each is a change of one file that breaks one promise. The ``*.toml`` beside this hold them, as data.

A file of them is laid out so; ``tests`` are what pytest is called with, one call after the other until a test fails:

    tests = ["tests/spool/test_log.py"]      # those of every mistake that names none of its own

    [[mutants]]
    file = "shipper/spool/upstream.py"
    promise = "a frame that comes twice is written once"
    before = '''
        if last < expected:
            return DUPLICATE
    '''
    after = '''
    '''

``before`` stands in the file exactly once. Every call that syncs something is a mistake of its own (``syncs.py``).
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from mutants.syncs import unsynced

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


class Stale(Exception):
    """The code has changed, and a mistake no longer fits it."""


class Mutant(NamedTuple):
    """One mistake."""

    file: str
    """Its path from the root of the tree."""
    promise: str
    """What is promised, and broken by it."""
    text: str
    """The whole file with the mistake."""
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """What the file is imported as."""
        return self.file.removeprefix("processors/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def mutants(root: Path = ROOT, tables: Path = HERE) -> Iterator[Mutant]:
    """Every mistake, in the order of the tables.

    :raises Stale: one does not fit the code, or is none: the file would do the same with it.
    """
    for table in sorted(tables.glob("*.toml")):
        content = tomllib.loads(table.read_text("utf-8"))
        for folder in content.get("syncs", ()):
            for path in sorted((root / folder).rglob("*.py")):
                name = path.relative_to(root).as_posix()
                own = content.get("syncs_of", {}).get(path.name, content["tests"])
                for promise, text in unsynced(path.read_text("utf-8")):
                    yield Mutant(name, promise, text, tuple(own))
        for entry in content.get("mutants", ()):
            yield _replaced(root, entry, content.get("tests", ()))


def _replaced(root: Path, entry: dict[str, Any], tests: list[str]) -> Mutant:
    file, promise, before = entry["file"], entry["promise"], entry["before"]
    source = (root / file).read_text("utf-8")
    if (times := source.count(before)) != 1:
        raise Stale(f"{file} holds {times} times, and not once, what breaks this promise: {promise}\n{before}")
    text = source.replace(before, entry["after"])
    try:
        same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(source))
    except SyntaxError as error:
        raise Stale(f"{file} does not compile without this promise: {promise}: {error}") from error
    if same:
        raise Stale(f"{file} does the same without this promise: {promise}")
    return Mutant(file, promise, text, tuple(entry.get("tests", tests)))
