"""How far a partition was read, and by whose word. Sans-IO.

A position is kept twice: in the spool, in the same entry as the records before it, and at the group, after that entry
was synced. The group's is what other members go by; the spool's is ahead of it after a crash in between. Neither may be
trusted alone:

- The group's may have been set by somebody: an operator who wants records again, or not at all; another program that
  read in this group before. It has no mark of ours then, and it is obeyed.
- The spool's may be about a topic that was deleted and made anew, or from before somebody set the group's.

So every position has a *generation*: 16 random bytes, chosen when a partition is read for the first time, or from a
place that is not the one reached before. What is committed carries it in the commit's metadata. Two positions of one
generation are about the same records, and the further one counts; with two generations the group's counts.
"""

import os
from typing import Final

import msgspec

_MARK: Final = "shipper "


class Position(msgspec.Struct, array_like=True, frozen=True):
    """How far a partition was read. On disk: only append fields, with defaults."""

    offset: int
    """The first offset that was not read."""
    generation: bytes
    """Names what is read: see above. The generation of the source ranges."""
    time: int = -1
    """The latest time of a record before the offset, as Kafka has it: milliseconds since 1970; -1: not known."""


class Committed(msgspec.Struct, frozen=True):
    """What the group holds for a partition."""

    offset: int
    metadata: str


def new_generation() -> bytes:
    """One that no other position has."""
    return os.urandom(16)


def metadata(generation: bytes) -> str:
    """What is committed beside an offset."""
    return _MARK + generation.hex()


def resume(own: Position | None, group: Committed | None) -> Position | None:
    """Where to go on: None where neither the spool nor the group has a position."""
    if group is None:
        return own
    generation = _generation(group.metadata)
    if generation is None:
        return Position(group.offset, new_generation())
    if own is not None and own.generation == generation:
        return own if own.offset >= group.offset else Position(group.offset, generation)
    return Position(group.offset, generation)


def _generation(text: str) -> bytes | None:
    """The generation in a commit's metadata; None where shipper did not write it."""
    try:
        generation = bytes.fromhex(text.removeprefix(_MARK)) if text.startswith(_MARK) else b""
    except ValueError:
        return None
    return generation if len(generation) == 16 else None
