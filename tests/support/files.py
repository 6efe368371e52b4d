"""What tests of files need from the system."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_nobody(root: Path) -> Iterator[None]:
    """Run as a user without rights where the tests run as root, who may read everything. ``root`` stays reachable.

    For the caller's files that take part: their modes decide, as for any user.
    """
    if os.geteuid() != 0:
        yield
        return
    modes = {path: path.stat().st_mode for path in [root, *root.parents] if not path.stat().st_mode & 0o005}
    for path, mode in modes.items():
        path.chmod(mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)
