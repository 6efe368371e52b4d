"""What every open does before the first write of a log: recover, take the next epoch, decide where numbers go on."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from shipper.ledger.book import Book
from shipper.spool import segment
from shipper.spool.body import Mark
from shipper.spool.cursor import FOLDER, Cursor, is_name
from shipper.spool.disk import Disk
from shipper.spool.files import DAMAGE_KEY, ENDED_KEY, Damage, Segment
from shipper.spool.recovery import place_cursors, recover, seal_predecessor
from shipper.spool.streams import Identity, open_identity

_EPOCHS_KEPT: Final = 1024


@dataclass(slots=True, frozen=True)
class Opened:
    """What a log goes on from."""

    identity: Identity
    cursors: dict[str, Cursor]
    removed: list[str]
    """Sinks whose cursor is here and that the config does not have."""
    forgotten: list[str]
    """Cursors' files that may go once no snapshot names them."""
    next_seq: int
    highest: int
    """No segment had a higher number."""
    segments: dict[int, Segment]
    state: dict[str, bytes]
    marks: dict[bytes, Mark]
    ledger: Book
    epochs: list[tuple[int, int]]
    damages: list[Damage]


def open_files(disk: Disk, sinks: Iterable[str], dropping: Collection[str] = ()) -> Opened:
    """Recover what is there and raise the epoch. ``dropping``: the sinks whose frames may be dropped.

    :raises FutureFormat: a newer shipper wrote it; nothing was changed.
    :raises SpoolFailed: the disk refused.
    """
    cursors = {name: Cursor(disk, name) for name in sinks}
    others = {name: Cursor(disk, name) for name in disk.names(FOLDER) if name not in cursors and is_name(name)}
    forgotten = [name for name, cursor in others.items() if cursor.forgotten]
    for name in forgotten:
        others.pop(name).close()
    cursors |= others
    found = recover(disk, [cursor.value for cursor in cursors.values() if cursor.known])
    identity = open_identity(disk, found.stream if found.highest else None, found.epoch)
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
    place_cursors(cursors, found, {*dropping, *others})
    epochs = [*found.snapshot.epochs[1 - _EPOCHS_KEPT :], (identity.epoch, next_seq)]
    return Opened(
        identity,
        cursors,
        list(others),
        forgotten,
        next_seq,
        found.highest,
        found.segments,
        state,
        found.snapshot.marks,
        found.snapshot.ledger,
        epochs,
        found.damages,
    )
