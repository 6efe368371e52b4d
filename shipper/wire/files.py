"""Small files that are replaced while shipper runs, certificates and tokens: whether they changed, and their bytes."""

import os
from pathlib import Path
from typing import Final

_MOST: Final = 16 * 1024 * 1024
Signature = tuple[int, int, int, int]


def signature(path: Path) -> Signature | None:
    """Another value when the file was written or replaced; None where it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def contents(path: Path, *, most: int = _MOST, missing: str = "") -> bytes:
    """Its first bytes. ``missing``: what to do where there is no such file.

    :raises ValueError: it cannot be read; the message names it, says why and what to do, and shows nothing of it.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except PermissionError as error:
        raise ValueError(f"{path}: permission denied: the user that runs shipper must be able to read it") from error
    except FileNotFoundError as error:
        hint = f"; {missing}" if missing else ""
        raise ValueError(f"{path}: cannot be read: {error.strerror}{hint}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
