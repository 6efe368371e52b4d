"""Is what arrived what was sent? Streaming: memory does not grow with what is lost, doubled or altered.

Expected contents are made anew from the generator by code that shares nothing with the product (``json.loads`` and
``str.split``, where the agent uses msgspec and regular expressions), and compared with the lines of the collector's
file sink. Memory: one byte a line of the input, and a block of lines.
"""

import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.lines import Corpus

Content = str | dict[str, Any]
Expect = Callable[[str], Content | None]
"""What must arrive for a line of the input; None: it must not arrive."""

CONSTANTS: Final = {"team": "payments", "region": "eu-west-1"}
"""The constants that workloads 2 and 3 add."""
_LABELS: Final = frozenset({"host", "source", "file", "_read_at"})
"""What the file sink adds to every record."""
_ID: Final = re.compile(r'(?:"id":|/api/[a-z/]+/)(\d+)')


@dataclass
class Verdict:
    """What became of the records that must arrive."""

    expected: int = 0
    received: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    """Arrived with another content, without a known id, or though it had to be dropped."""
    reordered: int = 0

    @property
    def clean(self) -> bool:
        """Every expected record arrived once, unchanged, in order."""
        return not (self.lost or self.doubled or self.altered or self.reordered) and self.expected == self.received

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __str__(self) -> str:
        late = f" ({self.reordered} out of order)" if self.reordered else ""
        return f"{self.lost} / {self.doubled} / {self.altered}{late}"


def compare(corpus: Corpus, expect: Expect, received: Iterable[Content | None]) -> Verdict:
    """Compare what arrived, in order, with what must arrive. None stands for a line that could not be read."""
    verdict = Verdict()
    seen = bytearray(corpus.lines)
    wanted = _Wanted(corpus, expect)
    arrived = 0
    for got in received:
        verdict.received += 1
        if got is not None and got == wanted.content:  # contents hold their id: equal ones are the same record
            seen[wanted.number] = 1
            arrived += 1
            wanted.advance()
            continue
        number = _first_seen(got, seen, verdict)
        if number is not None:
            must = expect(corpus.line(number))
            verdict.altered += got != must
            if must is not None:
                arrived += 1
                verdict.reordered += number < wanted.number
                while wanted.number <= number:
                    wanted.advance()
    while wanted.content is not None:
        wanted.advance()
    verdict.expected = wanted.count
    verdict.lost = verdict.expected - arrived
    return verdict


def compare_parts(corpus: Corpus, each: int, received: Iterable[Content | None]) -> Verdict:
    """Compare the raw lines of a corpus that was cut into files of ``each`` lines: order counts within each file.

    Memory: nine bytes a line.
    """
    verdict = Verdict(expected=corpus.lines)
    wanted = array("q", map(hash, corpus))
    seen = bytearray(corpus.lines)
    last = [-1] * -(-corpus.lines // each)
    for got in received:
        verdict.received += 1
        number = _first_seen(got, seen, verdict)
        if number is not None:
            verdict.altered += hash(got) != wanted[number]
            verdict.reordered += number < last[number // each]
            last[number // each] = number
    verdict.lost = corpus.lines - sum(seen)
    return verdict


def _first_seen(got: Content | None, seen: bytearray, verdict: Verdict) -> int | None:
    """Which record arrived that had not arrived before; what is none, or came twice, is counted."""
    number = None if got is None else identify(got)
    if number is None or number >= len(seen):
        verdict.altered += 1
        return None
    if seen[number]:
        verdict.doubled += 1
        return None
    seen[number] = 1
    return number


class _Wanted:
    """What must arrive next, in the order of the input."""

    def __init__(self, corpus: Corpus, expect: Expect) -> None:
        self._end = corpus.lines
        self.number = 0
        self.content: Content | None = None
        self._contents = ((n, content) for n, line in enumerate(corpus) if (content := expect(line)) is not None)
        self.count = 0
        """Records that must arrive, as far as the input was gone through."""
        self.advance()

    def advance(self) -> None:
        """Go to the next; behind the last one ``content`` is None."""
        following = next(self._contents, None)
        self.count += following is not None
        self.number, self.content = following or (self._end, None)


def identify(content: Content) -> int | None:
    """The id of a line or record; None where there is none to read."""
    if isinstance(content, dict):
        number = content.get("id")
        if isinstance(number, int):
            return number
        content = str(content.get("path", ""))
    found = _ID.search(content)
    return int(found[1]) if found else None


def expect_raw(line: str) -> Content:
    """The line itself."""
    return line


def expect_json(line: str) -> Content:
    """The JSON object."""
    record: dict[str, Any] = json.loads(line)
    return record


def expect_added(line: str) -> Content | None:
    """Workload 2: no debug lines; two constants."""
    record = json.loads(line)
    return None if record["level"] == "debug" else {**record, **CONSTANTS}


def expect_errors(line: str) -> Content | None:
    """Workload 5: errors only."""
    record: dict[str, Any] = json.loads(line)
    return record if record["level"] == "error" else None


def expect_changed(line: str) -> Content | None:
    """Workload 3: no debug lines; two constants; the level in capitals."""
    record = json.loads(line)
    if record["level"] == "debug":
        return None
    return {**record, **CONSTANTS, "level": record["level"].upper()}


def expect_access(line: str) -> Content:
    """Workload 4: the ten fields of the combined log format, two of them numbers."""
    head, request, numbers, referer, _, agent, _ = line.split('"')
    remote, _, user, time = head[:-2].split(" ", 3)
    method, path, protocol = request.split(" ")
    status, size = numbers.split()
    return {
        "remote": remote,
        "user": user,
        "time": time[1:],
        "method": method,
        "path": path,
        "protocol": protocol,
        "status": int(status),
        "bytes": int(size),
        "referer": referer,
        "agent": agent,
    }


def read_raw(path: Path) -> Iterator[Content | None]:
    """The ``message`` of each line that the file sink wrote."""
    for record in read_records(path):
        yield None if record is None else record.get("message")


def read_fields(path: Path) -> Iterator[Content | None]:
    """The fields of each record that the file sink wrote, without the labels that every record has."""
    for record in read_records(path):
        yield None if record is None else {k: v for k, v in record.items() if k not in _LABELS}


def read_records(path: Path) -> Iterator[dict[str, Any] | None]:
    """The object of each line; None for a line that is none."""
    if not path.exists():  # nothing arrived
        return
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with path.open("rb") as file:
        for line in file:
            try:
                yield decode(line)
            except msgspec.MsgspecError:
                yield None
