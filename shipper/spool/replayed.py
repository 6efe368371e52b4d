"""Which dead letters have been replayed: what the spool keeps of that, and how their files say it.

A batch of replayed letters and the list of these letters become durable in one entry; the list is the state ``KEY``.
Only then are the letters struck out in their files, one byte each (dead_letters.py), and only then does the next batch
replace the list. So a letter is replayed if it is struck out *or* in the list, whatever a crash left of the striking,
and the state never holds more than one batch.

Before a file goes whose letters are all struck out, the last place in it is durable as the ``floor``: no letter up to
there is copied out of the spool again.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import msgspec

from shipper.errors import UNREADABLE, SpoolError
from shipper.spool.dead_letters import (
    FOLDER,
    HEADER_SIZE,
    STRUCK,
    Place,
    is_file,
    letters,
    stream_of,
)
from shipper.spool.disk import Disk, File, read_again
from shipper.spool.letters import letter_at, letters_of

KEY: Final = "dead_letters/replayed"


class Replayed(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The value of the state ``KEY``. On disk: only append fields, with defaults."""

    file: str = ""
    """The file that held the letters when they were read."""
    stream: bytes = b""
    """The stream id that the file names: places of another spool may be the same."""
    letters: list[tuple[int, Place]] = []
    """Where each began in the file, and its place. They may not be struck out yet."""
    floor: Place = (0, 0, -1)
    """No letter of this spool at or before this place is copied again."""

    @property
    def places(self) -> set[Place]:
        """Those of the letters."""
        return {place for _, place in self.letters}


_Look: TypeAlias = "Callable[[File, int, Replayed], Iterator[tuple[Place, int]]]"
encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Replayed).decode


def decode(value: bytes | None) -> Replayed:
    """The state's value. :raises SpoolError: it is not what version 1 writes."""
    try:
        return Replayed() if value is None else _decode(value)
    except UNREADABLE as error:
        raise SpoolError(f"the list of replayed dead letters cannot be read: {error}") from error


def strike(disk: Disk, replayed: Replayed) -> None:
    """Strike the letters out, durably; again does no harm. Letters that no file holds any more are left out.

    :raises SpoolFailed: the disk refused; the same call can be made again.
    """
    left = _strike_in(disk, replayed.file, replayed, replayed.places, look=_at_their_places)
    for name in disk.names(FOLDER):  # a repair, or a file that was written again, may have moved them
        if left and is_file(name):
            left = _strike_in(disk, name, replayed, left, look=_anywhere)


def _strike_in(disk: Disk, name: str, replayed: Replayed, wanted: set[Place], look: "_Look") -> set[Place]:
    """Strike letters out in one file; those that it does not hold."""
    path = f"{FOLDER}/{name}"
    try:
        if (stream_of(disk, path) or b"") != replayed.stream:
            return wanted
        file = disk.open(path, write=True)
    except FileNotFoundError:
        return wanted
    try:
        starts = {place: start for place, start in look(file, disk.size(path), replayed) if place in wanted}
        for start in starts.values():
            file.write([STRUCK[-1:]], start + len(STRUCK) - 1)  # a single byte is never torn
        if starts:
            file.sync()
    finally:
        file.close()
    return wanted - starts.keys()


def _at_their_places(file: File, _size: int, replayed: Replayed) -> Iterator[tuple[Place, int]]:
    for start, _ in replayed.letters:
        stored = letter_at(file, start)
        if stored is not None:
            yield stored.place, start


def _anywhere(file: File, size: int, _replayed: Replayed) -> Iterator[tuple[Place, int]]:
    for stored, start, _ in letters(read_again(file, size, 0)):
        yield stored.place, start


def finished(disk: Disk, name: str) -> tuple[int, Place] | None:
    """The size of a file that holds replayed letters and nothing else, and the last place in it; else None.

    :raises SpoolError: the disk cannot read it.
    """
    end, last = HEADER_SIZE, None
    try:
        size = disk.size(f"{FOLDER}/{name}")
        for letter in letters_of(disk, name):
            if letter.start != end or not letter.struck:
                return None
            end, last = letter.end, letter
    except FileNotFoundError:
        return None
    if last is None or end < size:
        return None
    others = [other for other in disk.names(FOLDER) if is_file(other) and other > name]
    for follower in (next(letters_of(disk, other), None) for other in others):
        if follower is not None and follower.stream == last.stream and follower.stored.place <= last.stored.place:
            return None  # a disk that failed left letters twice: these copies hide the others
    return size, last.stored.place
