"""Which topic a frame goes to, and whether that is there.

A topic that is missing holds the sink up, by name: it may be made in a moment, and nothing is dropped. A name that the
brokers will never take concerns the frames alone whose labels made it: their records go to the dead letters.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from aiokafka.errors import InvalidTopicError, LeaderNotAvailableError, UnknownTopicOrPartitionError

from shipper.errors import FrameError, SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import in_plain_words, translate
from shipper.kafka.topics import NoTopic, TopicTemplate
from shipper.sinks.base import Frame
from shipper.sinks.flat import damaged, each_record
from shipper.sinks.kafka.records import Handed

_INTERNAL: Final = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
"""The brokers' own. In a transaction they answer as if a right were missing, which may be granted."""
_FRESH: Final = 300.0
"""Seconds after which the brokers are asked for a topic's partitions again: there may be more of them."""
_APPEARS: Final = 10.0
"""Seconds within which a topic that was made is known to the brokers."""
_LOOK_EVERY: Final = 0.2


class CreateTopics(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What topics are made with that are not there."""

    partitions: int | None = None
    """How many partitions; without it what the brokers have as their default."""
    replication: int | None = None
    """How many brokers hold each; without it what the brokers have as their default."""

    def __post_init__(self) -> None:
        """:raises ValueError: no topic has so few."""
        for name, number in (("partitions", self.partitions), ("replication", self.replication)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")


class Destinations:
    """The topics of one connection."""

    def __init__(self, cluster: Cluster, template: TopicTemplate, create: CreateTopics | None, cursors: str) -> None:
        """``cursors``: the topic of the cursors, which records never go to: one could be taken for a cursor."""
        self._cluster = cluster
        self._cursors = cursors
        self._template = template
        self._create = create

    async def check(self) -> None:
        """Make sure of the topic where all records go to one.

        :raises SinkUnavailable: it is not there, or nobody says.
        :raises SinkError: this user may not use it, or it cannot be.
        """
        if self._template.constant is not None:
            for name, reason in (await self._refused([self._template.constant])).items():
                raise translate(InvalidTopicError(), f"topic {name}") from ValueError(reason)

    async def assign(self, group: Sequence[Handed]) -> None:
        """Set each frame's topic, or refuse its records.

        :raises SinkUnavailable: a topic is not there, or nobody says.
        :raises SinkError: this user may not use it.
        """
        for handed in group:
            frame = handed.item.body
            if not isinstance(frame, Frame) or not frame.records:
                continue
            try:
                handed.topic = self._template.render(frame.labels)
            except NoTopic as error:
                handed.refusals += each_record(handed.item, frame, str(error))
            except FrameError as error:
                handed.refusals.append(damaged(handed.item, frame, error))
        refused = await self._refused({handed.topic for handed in group if handed.topic})
        for handed in group:
            if handed.topic in refused and isinstance(handed.item.body, Frame):
                handed.refusals += each_record(handed.item, handed.item.body, refused[handed.topic])
                handed.topic = ""

    async def _refused(self, names: Collection[str]) -> dict[str, str]:
        """The names that the brokers take for no topic, or that no records go to, each with the reason."""
        known = self._cluster.topics
        now = time.monotonic()
        refused = {name: f"topic {name}: {in_plain_words(InvalidTopicError())}" for name in names if name in _INTERNAL}
        if self._cursors in names:
            refused[self._cursors] = f"topic {self._cursors}: shippers keep there how far they are (cursor_topic)"
        stale = [n for n in names if n not in refused and (n not in known or now - known[n].at > _FRESH)]
        return refused | (await self._looked_up(stale) if stale else {})

    async def _looked_up(self, names: list[str]) -> dict[str, str]:
        refused: dict[str, str] = {}
        made: set[str] = set()
        until = time.monotonic() + _APPEARS
        while names:
            failures = await self._asked(names)
            names = []
            for name, error in failures.items():
                if isinstance(error, InvalidTopicError):
                    refused[name] = f"topic {name}: {in_plain_words(error)}"
                elif isinstance(error, UnknownTopicOrPartitionError) and self._create is None:
                    raise SinkUnavailable(f"topic {name}: there is no such topic; make it, or set create_topics")
                elif not isinstance(error, UnknownTopicOrPartitionError | LeaderNotAvailableError):
                    raise translate(error, f"topic {name}")
                elif time.monotonic() > until:
                    raise SinkUnavailable(f"topic {name}: the brokers made it and do not know it yet")
                else:
                    names.append(name)
                    if self._create is not None and name not in made:
                        made.add(name)
                        partitions, replication = self._create.partitions or -1, self._create.replication or -1
                        await self._cluster.create(name, partitions=partitions, replication=replication)
            if names:
                await asyncio.sleep(_LOOK_EVERY)
        return refused

    async def _asked(self, names: list[str]) -> dict[str, Exception]:
        try:
            return await self._cluster.refresh(names)
        except Exception as error:
            if all(name in self._cluster.topics for name in names):
                return {}  # what is known goes on being used
            raise translate(error, f"topic {names[0]}") from error
