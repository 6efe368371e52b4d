"""Where to go on in partitions that the group gives to this member."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shipper.log import get_logger
from shipper.sources.kafka.client import Client, Place
from shipper.sources.kafka.partition import Partition
from shipper.sources.kafka.position import Position, new_generation, resume

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
log = get_logger("kafka")


def milliseconds(start: str) -> int | None:
    """The time in a ``start``, in milliseconds since 1970; None for the words.

    :raises ValueError: it is neither a word nor a time with its zone.
    """
    if start in {EARLIEST, LATEST}:
        return None
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
        raise ValueError(f"start: {start!r} is neither earliest, latest nor a time with its zone: 2026-05-01T00:00:00Z")
    return int(moment.timestamp() * 1000)


class Start:
    """Knows where partitions begin. ``start`` is meant for what was there before the group was: a partition that was
    added to a topic in use, a topic that came later and one that was made anew are read from their begin.
    """

    def __init__(self, client: Client, start: str, source: str) -> None:
        """``source``: its name."""
        self._client = client
        self._start = start
        self._source = source
        self._known: set[str] | None = None
        """The topics that there were when this member first joined."""

    async def partitions(self, places: list[Place], own: Mapping[Place, Position]) -> dict[Place, Partition]:
        """The partitions, each at the offset to go on with. ``own``: how far they were taken into this spool.

        :raises ShipperError: the group or the brokers do not tell what must be known.
        """
        if self._known is None:
            self._known = self._client.topics()
        group = await self._client.committed(places)
        anew = await self._made_anew({place: own[place] for place in places if place in own and place not in group})
        found = {place: None if place in anew else resume(own.get(place), group.get(place)) for place in places}
        fresh = {place for place, position in found.items() if position is None}
        in_use = {topic for topic, _ in group}
        later = {place for place in fresh if place in anew or place[0] in in_use or place[0] not in self._known}
        at = await self._first(sorted(later), EARLIEST) | await self._first(sorted(fresh - later), self._start)
        made = {}
        for place, position in found.items():
            made[place] = Partition.at(place, position or Position(at[place], new_generation()))
            before = own.get(place)
            if before is not None and before.generation == made[place].generation:
                made[place].since = before.offset
            known = group.get(place)
            if known is not None and known.metadata == made[place].metadata:
                made[place].committed = known.offset
        return made

    async def _made_anew(self, positions: Mapping[Place, Position]) -> set[Place]:
        """Those of our positions that are about a topic which is not there any more, but another one of its name.

        The group has nothing about them, because Kafka forgets it with the topic; but it forgets the positions of a
        group that was away for a week, too. Our position is about this topic if the latest record before it is there
        still, or may have been removed by retention.
        """
        if not positions:
            return set()
        bounds = await self._client.bounds(list(positions))
        anew = set()
        for place, position in positions.items():
            first, end = bounds[place]
            if position.offset <= end and position.time >= 0:
                at = (await self._client.since([place], position.time))[place]
                found = at is not None and at[0] < position.offset and at[1] == position.time
            else:
                found = position.offset <= end
            if not found and not (first and position.offset <= end):
                anew.add(place)
                log.warning(
                    "a topic was made anew: it is read from its begin",
                    source=self._source,
                    topic=place[0],
                    partition=place[1],
                    read_of_the_old=position.offset,
                )
        return anew

    async def _first(self, places: list[Place], start: str) -> dict[Place, int]:
        """The first offset that is wanted of each partition."""
        if not places:
            return {}
        bounds = await self._client.bounds(places)
        time = milliseconds(start)
        if time is None:
            return {place: first if start == EARLIEST else end for place, (first, end) in bounds.items()}
        since = await self._client.since(places, time)
        return {place: end if (at := since[place]) is None else at[0] for place, (_, end) in bounds.items()}
