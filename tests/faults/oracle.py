"""The campaign's oracles: lines that tell who they are and whether they were altered; and the ledger."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from faults.row import BALANCED, Outcome
from support.processes import records

_LEAST: Final = 8


def line(file: str, number: int, size: int = 60) -> str:
    """Line ``number`` (from 0) of a file, without its newline; no other line of any file or size is like it.

    ``file``: a name without spaces. ``size``: hexadecimal digits at its end, which cannot be compressed below half.
    """
    begin = f"{file} {number} {max(size, _LEAST)}"
    return f"{begin} {hashlib.shake_128(begin.encode()).hexdigest(max(size, _LEAST))[: max(size, _LEAST)]}"


def place_of(message: str) -> tuple[str, int] | None:
    """The file and number that a line says; None: it was altered, or is no line of the campaign."""
    words = message.split(" ")
    if len(words) != 4 or not words[1].isdigit() or not words[2].isdigit() or int(words[2]) > len(message):
        return None
    found = words[0], int(words[1])
    return found if line(*found, int(words[2])) == message else None


class Judge:
    """Hears the lines of all files as they arrive; its memory is bounded however many these are."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._missing: dict[str, set[int]] = {}
        """Those below the highest that was seen, by file."""
        self.seen = 0
        self.doubled = 0
        self.altered = 0
        self.misordered = 0

    def hear(self, messages: Iterable[str]) -> None:
        """Lines, in the order in which they arrived."""
        for message in messages:
            self.seen += 1
            if (found := place_of(message)) is None:
                self.altered += 1
                continue
            file, number = found
            due, missing = self._next.get(file, 0), self._missing.setdefault(file, set())
            if number >= due:
                missing.update(range(due, number))
                self._next[file] = number + 1
            elif number in missing:
                missing.remove(number)
                self.misordered += 1
            else:
                self.doubled += 1

    def lost(self, written: Mapping[str, int]) -> list[tuple[str, int]]:
        """Lines that did not arrive, of so many of each file."""
        found: list[tuple[str, int]] = []
        for file, count in written.items():
            found += [(file, number) for number in sorted(self._missing.get(file, ())) if number < count]
            found += [(file, number) for number in range(self._next.get(file, 0), count)]
        return found

    def invented(self, begun: Mapping[str, int]) -> int:
        """Lines that arrived though nobody ever began to write them: at or beyond so many of each file."""
        return sum(max(0, due - begun.get(file, 0)) for file, due in self._next.items())

    def give(
        self,
        outcome: Outcome,
        written: Mapping[str, int],
        begun: Mapping[str, int] | None = None,
        excused: Iterable[tuple[str, int]] = (),
    ) -> Outcome:
        """Write the judgement into an outcome, which is returned.

        ``written``: how many lines of each file were durable at their source. ``begun``: how many may have been; the
        same, if it is not given. ``excused``: lines whose loss is no fault, as they are lost by definition and counted.
        """
        lost = self.lost(written)
        dead = set(lost).difference(excused)
        outcome.written = sum(written.values())
        outcome.lost, outcome.doubled, outcome.misordered = len(dead), self.doubled, self.misordered
        outcome.altered = self.altered + self.invented(begun or written)
        if dead:
            outcome.notes.append(f"lost: {_some(sorted(dead))}")
        return outcome


def _some(lines: list[tuple[str, int]]) -> str:
    named = ", ".join(f"{file} {number}" for file, number in lines[:5])
    return f"{named} and {len(lines) - 5} more" if len(lines) > 5 else named


def messages(*paths: Path) -> Iterator[str]:
    """The ``message`` of every record in NDJSON files, one file after the other."""
    for path in paths:
        for record in records(path):
            yield str(record["message"])


def ledger_of(*data_dirs: Path, inside: Sequence[str] = ()) -> str:
    """What ``shipper audit`` says of each; all has to have come to rest. ``inside``: the command to run it in."""
    said = []
    for data_dir in data_dirs:
        done = subprocess.run(
            [*inside, sys.executable, "-m", "shipper", "audit", str(data_dir)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said.append(f"{data_dir.name}: {done.stdout}{done.stderr}".strip())
    return "\n".join(said) or BALANCED


def delivered(data_dir: Path, sink: str) -> int:
    """Bytes of lines that a node says its sink has; it has come to rest."""
    return sum(account["sinks"][sink]["delivered"] for account in _accounts(data_dir))


def refused(data_dir: Path, sink: str) -> Counter[str]:
    """Records that a node says its sink refused, by what became of them; it has come to rest."""
    counts: Counter[str] = Counter()
    for account in _accounts(data_dir):
        counts.update(account["sinks"][sink]["refused"])
    return counts


def _accounts(data_dir: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "shipper", "audit", "--json", str(data_dir)]
    found: dict[str, list[dict[str, Any]]] = json.loads(
        subprocess.run(command, capture_output=True, check=False).stdout
    )
    return found["accounts"]
