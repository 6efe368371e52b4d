"""The environment of a Python process that a test starts."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]


def environment(*folders: Path) -> dict[str, str]:
    """That of this process, in which modules are looked for in these folders, too: before those that its
    ``PYTHONPATH`` names, which stay. They may hold the very copy of shipper that is to be tested (``mutants``).
    """
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), *filter(None, known)])}
