"""Which topic a frame goes to, and whether that is there.

A topic that is missing holds the sink up, by name: it may be made in a moment, and nothing is dropped. A name that the
brokers will never take concerns the frames alone whose labels made it: their records go to the dead letters. So does
one that differs in ``.`` and ``_`` only from a topic that is there: brokers refuse to make it, whoever asks.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from aiokafka.errors import InvalidTopicError, LeaderNotAvailableError, UnknownTopicOrPartitionError

from shipper.errors import FrameError, SinkError, SinkUnavailable
from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import in_plain_words, translate
from shipper.kafka.topics import NoTopic, TopicTemplate
from shipper.sinks.base import Frame
from shipper.sinks.flat import damaged, each_record
from shipper.sinks.kafka.records import Handed

_MOST_PARTITIONS: Final = 9999
"""Kafka 4 makes at most 10,000 things at once, and the topic is one of them."""
_MOST_COPIES: Final = 2**15 - 1
"""In a request it has 15 bits."""
_FRESH: Final = 300.0
"""Seconds after which the brokers are asked for a topic's partitions again: there may be more of them."""
_REFUSED_FOR: Final = 60.0
"""Seconds for which the brokers are not asked again for a topic that they refused: each time costs the controller."""
_APPEARS: Final = 10.0
"""Seconds within which a topic that was made is known to the brokers."""
_LOOK_EVERY: Final = 0.2


class CreateTopics(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What topics are made with that are not there."""

    partitions: int | None = None
    """How many partitions, at most 9999; without it what the brokers have as their default."""
    replication: int | None = None
    """How many brokers hold each; without it what the brokers have as their default."""

    def __post_init__(self) -> None:
        """:raises ValueError: no topic has so few, or so many."""
        for name, number, most in (
            ("partitions", self.partitions, _MOST_PARTITIONS),
            ("replication", self.replication, _MOST_COPIES),
        ):
            if number is not None and not 1 <= number <= most:
                raise ValueError(f"{name} is {number}, expected 1 to {most}")


class Destinations:
    """The topics of one connection."""

    def __init__(self, cluster: Cluster, template: TopicTemplate, create: CreateTopics | None, cursors: str) -> None:
        """``cursors``: the topic of the cursors, which records never go to: one could be taken for a cursor."""
        self._cluster = cluster
        self._cursors = cursors
        self._template = template
        self._create = create
        self._refusals: dict[str, tuple[float, str]] = {}
        """Names that the brokers refused: when, on the monotonic clock, and why."""

    async def check(self) -> None:
        """Make sure of the topic where all records go to one.

        :raises SinkUnavailable: it is not there, or nobody says.
        :raises SinkError: this user may not use it, or it cannot be.
        """
        if self._template.constant is not None:
            for reason in (await self._refused([self._template.constant])).values():
                raise SinkError(reason)

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
        self._refusals = {name: each for name, each in self._refusals.items() if now - each[0] < _REFUSED_FOR}
        refused = {name: self._refusals[name][1] for name in names if name in self._refusals}
        if self._cursors in names:
            refused[self._cursors] = f"topic {self._cursors}: shippers keep there how far they are (cursor_topic)"
        stale = [n for n in names if n not in refused and (n not in known or now - known[n].at > _FRESH)]
        if stale:
            found = await self._looked_up(stale)
            self._refusals |= {name: (now, reason) for name, reason in found.items()}
            refused |= found
        return refused

    async def _looked_up(self, names: list[str]) -> dict[str, str]:
        refused: dict[str, str] = {}
        made: set[str] = set()
        until = time.monotonic() + _APPEARS
        while names:
            failures = await self._asked(names)
            names = []
            for name, failure in failures.items():
                error: Exception | None = failure
                if isinstance(failure, UnknownTopicOrPartitionError) and name not in made:
                    error = await self._make(name)
                    made.add(name)
                if isinstance(error, InvalidTopicError):
                    refused[name] = f"topic {name}: {in_plain_words(error)}"
                elif not isinstance(error, UnknownTopicOrPartitionError | LeaderNotAvailableError | None):
                    raise translate(error, f"topic {name}")
                elif time.monotonic() > until:
                    raise SinkUnavailable(f"topic {name}: the brokers made it and do not know it yet")
                else:
                    names.append(name)
            if names:
                await asyncio.sleep(_LOOK_EVERY)
        return refused

    async def _make(self, name: str) -> InvalidTopicError | None:
        """Make a topic; returns why there can be none of this name.

        :raises SinkUnavailable: nobody asked for topics to be made.
        :raises SinkError: the brokers refuse for another reason.
        """
        if self._create is None:
            raise SinkUnavailable(f"topic {name}: there is no such topic; make it, or set create_topics")
        partitions, replication = self._create.partitions or -1, self._create.replication or -1
        try:
            await self._cluster.create(name, partitions=partitions, replication=replication)
        except InvalidTopicError as error:
            return error
        return None

    async def _asked(self, names: list[str]) -> dict[str, Exception]:
        try:
            return await self._cluster.refresh(names)
        except Exception as error:
            if all(name in self._cluster.topics for name in names):
                return {}  # what is known goes on being used
            raise translate(error, f"topic {names[0]}") from error
