"""What log files hold in the end, against what arrived: the judge where a fault takes lines away from their source."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from faults.row import Outcome
from support.processes import records


def lines_of(file: bytes) -> list[str]:
    """The lines of a file; what stands behind the last newline is one. NULs before a line are a hole, not its part."""
    found = [text.lstrip("\0") for text in file.decode().split("\n")]
    return found if found[-1] else found[:-1]


def arrivals(*paths: Path) -> Iterator[tuple[str, str]]:
    """The name of the log and the line of every record in NDJSON files, one file after the other."""
    for path in paths:
        for record in records(path):
            yield Path(str(record["file"])).name, str(record["message"])


def compare(outcome: Outcome, held: Mapping[str, Sequence[bytes]], arrived: Iterable[tuple[str, str]]) -> Outcome:
    """Write into an outcome, which is returned, what became of the lines that each log holds: ``held`` are its files,
    the oldest first.

    A line that arrived and is nowhere is altered; so is one that was there once, before the fault took it away. Half a
    line at the end of a file may come late: nobody knows at first that it never becomes a whole one.
    """
    outcome.written = 0
    places: dict[tuple[str, str], deque[tuple[int, bool]]] = {}
    for log, files in held.items():
        count = 0
        for file in files:
            lines = lines_of(file)
            for number, text in enumerate(lines, 1):
                half = number == len(lines) and not file.endswith(b"\n")
                places.setdefault((log, text), deque()).append((count, half))
                count += 1
        outcome.written += count
    last: dict[str, int] = {}
    doubled: list[str] = []
    strange: list[str] = []
    late: list[str] = []
    for log, text in arrived:
        left = places.get((log, text))
        if not left:
            (strange if left is None else doubled).append(text)
            continue
        at, half = left.popleft()
        if at < last.get(log, 0) and not half:
            late.append(text)
        last[log] = max(at, last.get(log, 0))
    dead = [text for (_, text), left in places.items() for _ in left]
    outcome.lost, outcome.doubled, outcome.altered, outcome.misordered = map(len, (dead, doubled, strange, late))
    for what, found in (("lost", dead), ("doubled", doubled), ("in no file", strange), ("late", late)):
        if found:
            outcome.notes.append(f"{what}: {', '.join(repr(text[:40]) for text in found[:3])}, {len(found)} in all")
    return outcome
