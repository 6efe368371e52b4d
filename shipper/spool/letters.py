"""The dead letters of a spool, to be listed and replayed: read without a lock, also while a process writes them.

The writer only appends, changes single bytes (a letter is struck out) and removes whole files, so whatever is whole and
not struck out is there. A letter that is being written is not whole yet.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shipper.spool.dead_letters import (
    FOLDER,
    LETTER,
    STRUCK,
    Place,
    StoredLetter,
    is_file,
    letter_of,
    letters,
    stream_of,
)
from shipper.spool.disk import Disk, File, read_again


class Letter(NamedTuple):
    """A dead letter and where it stands."""

    file: str
    start: int
    end: int
    """Its bytes in the file."""
    stream: bytes
    """The stream id that the file names; empty where its header is damaged."""
    stored: StoredLetter
    struck: bool
    """It was replayed."""


def letters_of(disk: Disk, name: str) -> Iterator[Letter]:
    """The whole letters of one file.

    :raises FileNotFoundError: it is gone. :raises SpoolError: the disk cannot read it. :raises FutureFormat: a newer
        shipper wrote it.
    """
    path = f"{FOLDER}/{name}"
    stream = stream_of(disk, path) or b""
    file = disk.open(path)
    try:
        data = read_again(file, disk.size(path), 0)
    finally:
        file.close()
    for stored, start, end in letters(data):
        yield Letter(name, start, end, stream, stored, is_struck(data, start))


def sizes_of(disk: Disk) -> dict[str, int]:
    """The files of dead letters and their sizes, oldest first."""
    sizes = {}
    for name in filter(is_file, disk.names(FOLDER)):
        with contextlib.suppress(FileNotFoundError):  # all of it was replayed meanwhile
            sizes[name] = disk.size(f"{FOLDER}/{name}")
    return sizes


def all_letters(disk: Disk, sizes: Mapping[str, int]) -> Iterator[Letter]:
    """The letters of files, each once, as far as the files reached when they had these sizes.

    :raises SpoolError: the disk cannot read one. :raises FutureFormat: a newer shipper wrote one.
    """
    newest: dict[bytes, Place] = {}
    for name, size in sizes.items():
        try:
            found = list(letters_of(disk, name))
        except FileNotFoundError:
            continue
        for letter in found:
            place = letter.stored.place
            # A disk that failed may have left some twice.
            if letter.end <= size and place > newest.get(letter.stream, (0, 0, -1)):
                newest[letter.stream] = place
                yield letter


def is_struck(data: bytes, start: int) -> bool:
    """Whether the letter that begins there was replayed."""
    return data[start : start + len(STRUCK)] == STRUCK


def letter_at(file: File, start: int) -> StoredLetter | None:
    """The letter that begins there, struck out or not; None: none does. :raises SpoolFailed: the disk refused."""
    head = file.read(LETTER.size, start)
    return letter_of(head, file.read(int.from_bytes(head[4:8], "little"), start + LETTER.size))


def id_of(place: Place, stream: bytes, home: bytes) -> str:
    """How people name a letter: ``7-20480-0``; with part of the stream id where another spool wrote it.

    ``home``: the stream id that this spool's numbers began under.
    """
    name = "-".join(map(str, place))
    return name if stream == home else f"{name}@{stream[:4].hex()}"
