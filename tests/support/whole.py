"""What stands in a file that a process is writing to just now."""

from pathlib import Path
from typing import Any

import orjson


def whole_records(path: Path) -> list[dict[str, Any]]:
    """The records of an NDJSON file whose lines have ended; none while it is not there.

    A reader may see the beginning of a write of several pages. Where the process has ended, ``processes.records`` does
    not forgive that.
    """
    whole, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    return [orjson.loads(line) for line in whole.splitlines()]
