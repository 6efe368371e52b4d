"""Who writes a spool: its stream id, and those that it had before.

A stream has one history. Where a collector knows another one (a data directory was copied, or put back from a backup),
the spool goes on under a new random id; its numbers go on too. Frames that it wrote under a former id and that wait in
the backlog are stamped anew when they are read (heads.py), so that no identity ever stands for two records.
"""

import os
from typing import Final

import msgspec

from shipper.spool.disk import Disk
from shipper.spool.slots import Slots

_NAME: Final = "stream"
_FORMER_KEPT: Final = 16
"""More do not fit into a slot. Frames of an older id, if any still wait, go on as they are."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """Kept in the two-slot file ``stream``. On disk: only append fields, with defaults."""

    stream: bytes
    epoch: int
    incarnation: bytes
    home: bytes = b""
    """The id under which the numbers began: places in this spool are told from those of another by it."""
    former: tuple[bytes, ...] = ()
    """Ids that it had before, oldest first."""


def open_identity(disk: Disk, known: bytes | None, epoch: int) -> Identity:
    """Take the next epoch, durably. ``known``: the stream id that the segments name; None: there is no segment.

    :raises FutureFormat: a newer shipper wrote the file.
    :raises SpoolFailed: the disk refused.
    """
    slots = Slots(disk, _NAME, Identity)
    old = slots.value
    if old is None:
        stream = known or os.urandom(16)
        identity = Identity(stream, epoch + 1, os.urandom(16), stream)
    elif known is None:  # every segment was removed by hand: this stream's numbers must not be given again
        stream = os.urandom(16)
        identity = Identity(stream, max(old.epoch, epoch) + 1, os.urandom(16), stream)
    else:
        home = old.home or old.stream
        identity = Identity(old.stream, max(old.epoch, epoch) + 1, os.urandom(16), home, old.former)
    slots.write(identity)
    slots.close()
    return identity


def take_new(disk: Disk, old: Identity) -> Identity:
    """Take a new stream id and incarnation, durably.

    :raises SpoolFailed: the disk refused; the old ones are in force.
    """
    former = (*old.former, old.stream)[-_FORMER_KEPT:]
    identity = Identity(os.urandom(16), old.epoch, os.urandom(16), old.home, former)
    slots = Slots(disk, _NAME, Identity)
    slots.write(identity)
    slots.close()
    return identity
