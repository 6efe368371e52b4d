"""What every open does before the first write of a log: recover, take the next epoch, decide where numbers go on."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from shipper.spool import segment
from shipper.spool.body import Mark
from shipper.spool.cursor import Cursor
from shipper.spool.disk import Disk
from shipper.spool.files import DAMAGE_KEY, ENDED_KEY, Damage, Segment
from shipper.spool.recovery import place_cursors, recover, seal_predecessor
from shipper.spool.slots import Slots

_EPOCHS_KEPT: Final = 1024


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """Who writes this spool: kept in the two-slot file ``stream``."""

    stream: bytes
    epoch: int
    incarnation: bytes


@dataclass(slots=True, frozen=True)
class Opened:
    """What a log goes on from."""

    identity: Identity
    cursors: dict[str, Cursor]
    next_seq: int
    highest: int
    """No segment had a higher number."""
    segments: dict[int, Segment]
    state: dict[str, bytes]
    marks: dict[bytes, Mark]
    epochs: list[tuple[int, int]]
    damages: list[Damage]


def open_files(disk: Disk, sinks: Iterable[str]) -> Opened:
    """Recover what is there and raise the epoch.

    :raises FutureFormat: a newer shipper wrote it; nothing was changed.
    :raises SpoolFailed: the disk refused.
    """
    slots = Slots(disk, "stream", Identity)
    cursors = {name: Cursor(disk, name) for name in sinks}
    found = recover(disk, [cursor.value for cursor in cursors.values() if cursor.known])
    known = slots.value
    if known is None:
        known = Identity(found.stream or os.urandom(16), 0, b"")
    elif not found.highest:  # every segment was removed by hand: this stream's numbers must not be given again
        known = Identity(os.urandom(16), known.epoch, b"")
    identity = Identity(known.stream, max(known.epoch, found.epoch) + 1, os.urandom(16))
    slots.write(identity)
    slots.close()
    next_seq = max([found.next_seq, *(cursor.value.seq for cursor in cursors.values())])
    next_seq += found.lost * segment.MAX_ENTRIES
    if found.unended is not None:
        first = found.unended.first
        found.damages.append(replace(found.unended, last=max(first, next_seq) - 1))
    state = {
        key: value
        for key, value in found.snapshot.state.items()
        if not key.startswith((DAMAGE_KEY, ENDED_KEY)) or int(key.split("/")[1]) in found.segments
    }
    seal_predecessor(disk, found)
    place_cursors(cursors, found)
    epochs = [*found.snapshot.epochs[1 - _EPOCHS_KEPT :], (identity.epoch, next_seq)]
    return Opened(
        identity,
        cursors,
        next_seq,
        found.highest,
        found.segments,
        state,
        found.snapshot.marks,
        epochs,
        found.damages,
    )
