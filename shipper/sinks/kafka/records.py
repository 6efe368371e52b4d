"""Frames to record batches. CPU-bound; runs on the sink's thread.

A message's value is the record's flat JSON line, its headers are the record's identity and the frame's labels. Frames
of one topic share batches as far as they fit; a batch that a broker finds too large is made again as smaller ones.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from shipper.kafka.batch import HEADER_SIZE, Compression, Draft
from shipper.kafka.cluster import Topic
from shipper.kafka.murmur import partition_of
from shipper.sinks.base import Frame, Item
from shipper.sinks.flat import Refusal, lines_of
from shipper.sinks.kafka.headers import NO_HEADERS, headers_of
from shipper.sinks.kafka.partition import Key, Sticky, by_partition, encoded_key

_OLDEST: Final = 3_600_000
"""Milliseconds: messages claim no time that is longer ago. Brokers take it for the time when a producer was there last,
and forget a day after that (``producer.id.expiration.ms``) which batches of its they have: one that is sent again is
written twice then."""
_BESIDE: Final = 32
"""What a record takes beside key, value and headers, at most."""


@dataclass(slots=True, eq=False)
class Handed:
    """An item that was handed to the sink and is not acknowledged yet."""

    item: Item
    topic: str = ""
    left: int = 1
    """Steps until it is done: being built, and each batch that holds records of it."""
    refusals: list[Refusal] = field(default_factory=list)
    size: int = 0
    """Bytes of the frame, once it is counted."""


@dataclass(slots=True, eq=False)
class Batch:
    """A record batch on its way to one partition."""

    topic: str
    partition: int
    data: bytearray
    count: int
    size: int
    """Bytes before compression."""
    of: list[tuple[Handed, Sequence[int]]]
    """Whose records it holds, by their places in the frames."""


@dataclass(slots=True, eq=False)
class _Open:
    draft: Draft
    of: list[tuple[Handed, Sequence[int]]]


class Builder:
    """Makes batches by a sink's settings."""

    def __init__(
        self,
        *,
        key: Key | None,
        headers: bool,
        read_at: bool,
        identity: bool,
        compression: Compression,
        max_message_bytes: int,
        transactional: bool = False,
    ) -> None:
        self._key = key
        self._headers = headers
        self._read_at = read_at
        self._identity = identity
        self.compression: Final[Compression] = compression
        self.limit: Final = max_message_bytes
        self.transactional: Final = transactional

    def build(
        self, group: Sequence[Handed], topics: Mapping[str, Topic], now: int, limits: Mapping[str, int] | None = None
    ) -> list[Batch]:
        """The batches of a group, in order; what can never be sent is in each item's ``refusals``.

        ``now``: milliseconds since 1970; no message claims a later time, which brokers refuse. ``limits``: the size of
        a topic's batches where the brokers take less than the sink's own limit.
        """
        work = _Work(self, limits or {})
        sticky = Sticky(topics)
        for handed in group:
            prepared = self._prepared(handed, now)
            if prepared is None:
                continue
            partitions = len(topics[handed.topic].leaders)
            if prepared.key is None:
                work.add_sticking(prepared, sticky)
            elif isinstance(prepared.key, bytes):
                work.add(prepared, partition_of(prepared.key, partitions), range(len(prepared.values)))
            else:
                places = by_partition(prepared.key, partitions, sticky.partition(handed.topic))
                for partition, chosen in places.items():
                    work.add(prepared, partition, chosen)
        return work.finish()

    def smaller(self, batch: Batch, now: int) -> list[Batch]:
        """The records of a batch in batches of half the size, for the same partition."""
        work = _Work(self, {batch.topic: batch.size // 2})
        for handed, places in batch.of:
            prepared = self._prepared(handed, now)
            if prepared is not None:
                work.add(prepared, batch.partition, places)
        return work.finish()

    def _prepared(self, handed: Handed, now: int) -> "_Prepared | None":
        frame = handed.item.body
        values = lines_of(
            handed.item, identity=self._identity, read_at=self._read_at, refusals=handed.refusals, end=b""
        )
        if not values or not isinstance(frame, Frame):
            return None
        prefix, marks = headers_of(frame) if self._headers else NO_HEADERS
        key = None if self._key is None else self._key.of(frame.labels, values)
        keys = [encoded_key(one) for one in key] if isinstance(key, list) else encoded_key(key)
        claimed = min(max(frame.read_at // 1000, now - _OLDEST), now)
        return _Prepared(handed, claimed, key, keys, values, prefix, marks)


@dataclass(slots=True)
class _Prepared:
    """A frame's messages."""

    handed: Handed
    time: int
    key: list[bytes | None] | bytes | None
    """One of all records, or one each; None: no record has one."""
    keys: list[bytes] | bytes
    """The same, encoded."""
    values: list[bytes]
    prefix: bytes
    """The headers that are the same for all."""
    marks: list[bytes]
    """Those that are not."""

    @property
    def size(self) -> int:
        """How many bytes all messages take, at most."""
        size = sum(map(len, self.values)) + len(self.values) * self._beside
        return size + sum(map(len, self.keys)) if isinstance(self.keys, list) else size

    def sizes(self, places: Sequence[int]) -> list[int]:
        """How many bytes each of these messages takes, at most."""
        beside = self._beside
        if isinstance(self.keys, list):
            return [len(self.values[at]) + len(self.keys[at]) + beside for at in places]
        return [len(self.values[at]) + beside for at in places]

    @property
    def _beside(self) -> int:
        """What each takes beside its value and a key of its own."""
        key = len(self.keys) if isinstance(self.keys, bytes) else 0
        return key + len(self.prefix) + len(self.marks[-1] if self.marks else b"") + _BESIDE


class _Work:
    """The batches that grow while a group is built."""

    def __init__(self, builder: Builder, limits: Mapping[str, int]) -> None:
        """``limits``: bytes of a topic's batches before compression. A single record may be larger, up to the
        builder's limit.
        """
        self._builder = builder
        self._limits = limits
        self._open: dict[tuple[str, int], _Open] = {}
        self._done: list[Batch] = []

    def add(self, prepared: _Prepared, partition: int, places: Sequence[int]) -> None:
        """Messages to one partition, in order."""
        where = (prepared.handed.topic, partition)
        for part in self._parts(prepared, places, lambda: self._room(where)):
            if part is None:
                self._close(where)
            else:
                self._put(where, prepared, part)

    def add_sticking(self, prepared: _Prepared, sticky: Sticky) -> None:
        """Messages without keys: each batch to another partition."""
        topic = prepared.handed.topic
        room = lambda: self._room((topic, sticky.partition(topic)))  # noqa: E731
        for part in self._parts(prepared, range(len(prepared.values)), room):
            where = (topic, sticky.partition(topic))
            if part is None:
                self._close(where)
                sticky.turn(topic)
            else:
                self._put(where, prepared, part)

    def finish(self) -> list[Batch]:
        """All batches, those of one partition in order."""
        for where in list(self._open):
            self._close(where)
        return self._done

    def _parts(
        self, prepared: _Prepared, places: Sequence[int], room: Callable[[], int]
    ) -> Iterator[Sequence[int] | None]:
        """What goes into the batch that is open; None: close it."""
        if len(places) == len(prepared.values) and prepared.size <= room():
            yield places
            return
        sizes = prepared.sizes(places)
        largest = self._builder.limit - HEADER_SIZE
        if max(sizes) > largest:
            places = self._refuse(prepared, places, sizes, largest)
            sizes = prepared.sizes(places)
        ends = list(accumulate(sizes))
        empty = self._limit(prepared.handed.topic) - HEADER_SIZE
        start = taken = 0
        while start < len(places):
            end = bisect_right(ends, taken + room())
            if end <= start and room() < empty:
                yield None
                continue
            end = max(end, start + 1)  # one that is larger than the limit of such batches goes alone
            yield places[start:end]
            start, taken = end, ends[end - 1]

    def _refuse(self, prepared: _Prepared, places: Sequence[int], sizes: list[int], largest: int) -> list[int]:
        reason = (
            "the message would have {} bytes; max_message_bytes is {}: raise it here and at the brokers, or log less"
        )
        handed, raw = prepared.handed, raw_records(prepared.handed)
        for at, size in zip(places, sizes, strict=True):
            if size > largest:
                handed.refusals.append(Refusal(handed.item, at, raw[at], reason.format(size, self._builder.limit)))
        return [at for at, size in zip(places, sizes, strict=True) if size <= largest]

    def _room(self, where: tuple[str, int]) -> int:
        found = self._open.get(where)
        return self._limit(where[0]) - (HEADER_SIZE if found is None else found.draft.size)

    def _limit(self, topic: str) -> int:
        return self._limits.get(topic, self._builder.limit)

    def _put(self, where: tuple[str, int], prepared: _Prepared, part: Sequence[int]) -> None:
        found = self._open.get(where)
        if found is None:
            found = self._open[where] = _Open(Draft(prepared.time), [])
        whole = len(part) == len(prepared.values)
        values = prepared.values if whole else [prepared.values[at] for at in part]
        marks = prepared.marks if whole or not prepared.marks else [prepared.marks[at] for at in part]
        keys = prepared.keys
        if isinstance(keys, list) and not whole:
            keys = [keys[at] for at in part]
        found.draft.add(prepared.time, keys, values, prepared.prefix, marks)
        found.of.append((prepared.handed, part))

    def _close(self, where: tuple[str, int]) -> None:
        found = self._open.pop(where)
        data = found.draft.build(self._builder.compression, transactional=self._builder.transactional)
        self._done.append(Batch(*where, data, found.draft.count, found.draft.size, found.of))


def now() -> int:
    """Milliseconds since 1970, as messages count."""
    return time.time_ns() // 1_000_000


def refuse_batch(batch: Batch, reason: str) -> None:
    """All records of a batch go to the dead letters."""
    text = f"topic {batch.topic}: {reason}"
    for handed, places in batch.of:
        raw = raw_records(handed)
        handed.refusals += [Refusal(handed.item, at, raw[at], text) for at in places]


def raw_records(handed: Handed) -> list[bytes]:
    """The records as they stand in their frame."""
    frame = handed.item.body
    payload = frame.payload() if isinstance(frame, Frame) else None
    return [] if payload is None else payload.raw()
