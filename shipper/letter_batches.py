"""Dead letters as batches, to be replayed. Sans-IO."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from shipper.batch import Batch, DeadLetter, Format, Payload, SourceRange
from shipper.spool.letters import Letter

_MINUTE: Final = 60_000_000
"""Microseconds."""


class Group(NamedTuple):
    """What letters share that may be one batch."""

    source: str | None
    """Whose chain they go through; None: none."""
    labels: bytes
    json: bool
    minute: int
    """Of the time they were read: sinks may name files by it."""
    file: str


def group_of(letter: Letter, as_source: str | None) -> Group:
    """What a letter shares with others. ``as_source``: whose chain is meant, if not that of the letter's source."""
    it = letter.stored.letter
    source = None if it.processed else as_source or it.source
    labels = msgspec.json.encode(it.labels)
    return Group(source, labels, it.format == Format.NDJSON, it.read_at // _MINUTE, letter.file)


def parts(letters: Sequence[Letter], most: int) -> Iterator[list[Letter]]:
    """The letters in parts of at most so many bytes, or of a single one."""
    part: list[Letter] = []
    size = 0
    for letter in letters:
        if part and size + len(letter.stored.letter.raw) > most:
            yield part
            part, size = [], 0
        part.append(letter)
        size += len(letter.stored.letter.raw)
    if part:
        yield part


def batch_of(group: Group, letters: Sequence[DeadLetter], mark: bytes) -> Batch:
    """The batch of a group's letters; ``mark`` is what the spool keeps of them.

    A source range ends where it starts: it covers no bytes, those were counted when they were read.
    """
    raw = [letter.raw for letter in letters]
    if group.json:
        payload = Payload(Format.NDJSON, b"".join(line + b"\n" for line in raw), len(raw))
    elif any(b"\n" in line for line in raw):
        payload = Payload.sized(raw)
    else:
        payload = Payload.lines(b"".join(line + b"\n" for line in raw))
    ranges = []
    for (source, generation, start), some in groupby(letters, lambda it: (it.source, it.generation, it.start)):
        count = len(list(some))
        ranges.append(SourceRange(source, generation, start, start, read=count, kept=count))
    first = letters[0]
    return Batch(
        group.source or first.source,
        first.labels,
        payload,
        ranges,
        first.read_at,
        replayed=mark,
        letters=list(letters),
    )
