"""All that is fuzzed, a module for each family. Each defines ``TARGETS``; they are found by listing this folder."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from fuzz.target import Target


def every() -> Iterator[Target]:
    """All targets."""
    for module in sorted(found.name for found in iter_modules(__path__)):
        yield from import_module(f"{__name__}.{module}").TARGETS
