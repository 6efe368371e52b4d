"""Files that were renamed since the last scan, and that may have come and gone without being seen."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from shipper.log import get_logger
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.examine import look_at
from shipper.sources.file.globs import Sighting
from shipper.sources.file.kin import is_archive
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import Watcher

_ROUNDS: Final = 4
"""Looks for renamed files in one scan, while they are renamed on and on."""

_OFTEN: Final = 60.0
"""Seconds between two lines of one kind about one file."""
log = get_logger("file")


def tell(what: str, tail: Tail, **more: Any) -> None:
    """Say what became of a file."""
    log.info(
        what,
        file=tail.label,
        **more,
        unread_bytes=tail.unread,
        generation=tail.generation.hex(),
        every=_OFTEN,
        key=(what, tail.label),
    )


def tell_renamed(tail: Tail, before: str) -> None:
    """Say where a file stands now."""
    if tail.where != before:
        tell("a file was renamed: it is read to its end", tail, to=os.fsencode(tail.where).decode("utf-8", "replace"))


async def trace(
    watcher: Watcher, catalog: Catalog, missed: AbstractSet[str], examine: Callable[[list[Sighting]], Awaitable[None]]
) -> None:
    """Have renamed files examined that nobody has seen; those that left ``missed`` paths wait for the next scan.

    In the order in which they left their paths, as they are read in that order; one that is renamed again just now
    holds up those that left the same path later, and is looked for anew.
    """
    moves, line = watcher.moves, catalog.order.names.line
    for _ in range(_ROUNDS):
        watcher.drain()
        waiting = moves.waiting()
        if not waiting:
            return
        places = await asyncio.to_thread(look_at, [place for place, _ in waiting])
        watcher.drain()  # what was seen at a place is the file only if it was not renamed again by then
        # An archive may hold what came and went: it has to be looked for first.
        held = {*missed, *map(line, moves.gone)}
        unknown = []
        for place, moved in waiting:
            if line(moved.origin) in held or not moves.still(place, moved):
                held.add(line(moved.origin))
            elif place in places and catalog.find_moved(places[place], place, moved.left):
                info = places[place].info
                tail = catalog.followed((info.st_dev, info.st_ino))
                if tail is not None:
                    tell_renamed(tail, moved.origin)
            elif place in places:
                unknown.append(Sighting(moved.origin, place, places[place].info, away=True, left=moved.left))
        await examine([sighting for sighting in unknown if not is_archive(sighting)])
        for place, moved in waiting:
            if line(moved.origin) not in held:
                moves.done(place, moved)
