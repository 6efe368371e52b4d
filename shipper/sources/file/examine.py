"""Whose file is this, and where is that file? What the catalog asks of the disk; all of it runs on worker threads."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from shipper.batch import Labels
from shipper.sources.file.doubts import Looked
from shipper.sources.file.durable import sync_together
from shipper.sources.file.globs import Sighting
from shipper.sources.file.identity import PREFIX_SIZE, NotRegular, open_regular, same, version_of
from shipper.sources.file.refused import foreign, unfinished
from shipper.sources.file.rotated import base_of
from shipper.sources.file.tail import Tail


@dataclass(slots=True)
class Found:
    """What stands behind a sighting that no claimed tail is known for."""

    sighting: Sighting
    tail: Tail | None = None
    descriptor: int = -1
    info: os.stat_result | None = None
    error: OSError | None = None
    head: bytes | None = None
    """Of a new one: its first bytes, as in ``Looked``."""


@dataclass(slots=True)
class Sought:
    """What was found of a closed tail that is not under its path any more."""

    tail: Tail
    place: str | None = None
    """None: it is not in its directory."""
    descriptor: int = -1
    info: os.stat_result | None = None
    unknown: bool = False
    """The directory could not be listed: nothing can be said."""
    certain: bool = False
    """It is not in its directory, which is there and on its file system: nothing waits to be mounted."""


def examine(
    sightings: Iterable[Sighting], strays: Mapping[int, list[Tail]], ends: Collection[str], labels: Labels
) -> list[Found]:
    """Open what was sighted and find out whose generation it is: of one of the ``strays`` (by inode), or a new one that
    begins at its end where its path is among ``ends``. New ones are synced: they become known before they are read.
    """
    examined = [_examine(sighting, strays, ends, labels) for sighting in sightings]
    new = [found.tail for found in examined if found.tail is not None and found.descriptor < 0]
    sync_together(new)
    for tail in new:
        tail.sync()
    return examined


def _examine(sighting: Sighting, strays: Mapping[int, list[Tail]], ends: Collection[str], labels: Labels) -> Found:
    try:
        descriptor, info = open_regular(sighting.where)
    except OSError as error:
        return Found(sighting, error=error)
    # The device settles ties between equal files with equal inode numbers, then the path.
    candidates = sorted(
        strays.get(info.st_ino, ()), key=lambda tail: (tail.device != info.st_dev, tail.path != sighting.path)
    )
    try:
        for tail in candidates:
            if same(descriptor, info.st_size, tail.position()):
                return Found(sighting, tail, descriptor, info)
        head = os.pread(descriptor, PREFIX_SIZE, 0)
        refusal = foreign(sighting.path, head)
        if refusal is not None or unfinished(sighting.path, head):
            os.close(descriptor)
            return Found(sighting, error=refusal)
        tail = Tail(sighting.path, labels)
        tail.adopt(descriptor, info, sighting.where)
        tail.fix()
        if sighting.path in ends:
            tail.start_at(info.st_size)
    except OSError as error:
        os.close(descriptor)
        return Found(sighting, error=error)
    return Found(sighting, tail, info=info, head=head)


def seek(absent: Iterable[tuple[Tail, bool]]) -> list[Sought]:
    """Look for closed tails under other names in the directories where they were. With each: whether it is claimed."""
    listings: dict[str, dict[int, str] | None] = {}
    return [_seek(tail, listings, claimed=claimed) for tail, claimed in absent]


def _seek(tail: Tail, listings: dict[str, dict[int, str] | None], *, claimed: bool) -> Sought:
    directory = os.path.dirname(tail.where)
    if directory not in listings:
        listings[directory] = _inodes(directory)
    listing = listings[directory]
    if listing is None:
        return Sought(tail, unknown=True)
    place = listing.get(tail.inode)
    if place is None or (tail.prefix_size == 0 and base_of(place) not in (tail.line, tail.where)):
        # Of an empty file nothing can be compared but its number and its name.
        return Sought(tail, certain=_on_device(directory, tail.device))
    try:
        if claimed:
            info = os.stat(place)
            there = (info.st_dev, info.st_ino) == (tail.device, tail.inode)
            if there and (info.st_size, info.st_mtime_ns) == (tail.size, tail.modified):
                return Sought(tail, place, info=info)
        descriptor, info = open_regular(place)
    except OSError as error:
        return Sought(tail, unknown=not isinstance(error, FileNotFoundError | NotRegular))
    there = False
    with suppress(OSError):
        there = info.st_ino == tail.inode and same(descriptor, info.st_size, tail.position())
    if there and not claimed:
        return Sought(tail, place, descriptor, info)
    os.close(descriptor)  # where another file has its inode number by now, it is gone
    return Sought(tail, place, info=info) if there else Sought(tail)


def _on_device(directory: str, device: int) -> bool:
    with suppress(OSError):
        return os.stat(directory).st_dev == device
    return False


def _inodes(directory: str) -> dict[int, str] | None:
    """The paths in a directory by inode; empty when it is not there, None when it cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            return {entry.inode(): entry.path for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        return None


def look_at(places: Iterable[str]) -> dict[str, Looked]:
    """On a worker thread: what stands where."""
    found = {}
    for place in places:
        try:
            descriptor, info = open_regular(place)
        except OSError:  # examining it says what is wrong, if it is there
            with suppress(OSError):
                found[place] = Looked(os.stat(place))
            continue
        try:
            found[place] = Looked(info, version_of(descriptor), os.pread(descriptor, PREFIX_SIZE, 0))
        except OSError:
            found[place] = Looked(info)
        finally:
            os.close(descriptor)
    return found
