"""Cuts what was fetched into batches of the intake's size. On a worker thread, one ``take`` at a time."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from shipper.batch import ELSEWHERE, Batch, Labels, Payload, SourceRange
from shipper.errors import ShipperError
from shipper.sources.kafka.partition import Partition, encode
from shipper.sources.kafka.position import Position
from shipper.sources.kafka.records import Content, Maker, Rows, pieces
from shipper.sources.kafka.unpack import Fetched, Missing, Unreadable, unpack


class Cut:
    """The batches of some fetches, partition by partition, each in the order of its offsets.

    A batch covers its partition from where the one before it ended, whatever offsets have no record. Where a partition
    ends with such offsets alone there is no batch for them: the next one covers them.

    Where something cannot be read, what stands before it is cut all the same, and so are the other partitions: whoever
    gives up what is damaged gives up nothing else (decision 184).
    """

    def __init__(
        self,
        source: str,
        labels: Labels,
        max_bytes: int,
        maker: Maker,
        portions: Mapping[Partition, Sequence[Fetched]],
    ) -> None:
        """``max_bytes``: of values in a batch."""
        self._source = source
        self._labels = labels
        self._max_bytes = max_bytes
        self._maker = maker
        self._batches = self._all(portions)
        self.done = False
        """There are no more batches."""
        self.ends: dict[Partition, int] = {}
        """Of the partitions of which there are no more batches: how far they were read."""
        self.failure: ShipperError | None = None
        """Why one of them could not be read to its end; known once ``done``. It is not raised by ``read``: whoever
        takes several batches at once would not learn of those before it."""

    def read(self) -> Batch | None:
        """The next batch."""
        batch = next(self._batches, None)
        self.done = batch is None
        return batch

    def _all(self, portions: Mapping[Partition, Sequence[Fetched]]) -> Iterator[Batch]:
        for partition, fetches in portions.items():
            held, size, end = Rows([], []), 0, fetches[-1].end
            try:
                for fetch in fetches:
                    if isinstance(fetch, Missing):
                        yield from self._made(partition, held, fetch.start)
                        yield self._lost(partition, fetch)
                        held, size = Rows([], []), 0
                        continue
                    for records in unpack(fetch, partition.key):
                        cut = pieces(Rows.of(records), self._max_bytes - size, self._max_bytes)
                        for number, (rows, more) in enumerate(cut):
                            if number:
                                yield from self._made(partition, held, rows.records[0].offset)
                                held, size = Rows([], []), 0
                            held.add(rows)
                            size += more
            except Unreadable as found:
                end, self.failure = found.at, self.failure or found.error
            yield from self._made(partition, held, end)
            self.ends[partition] = end

    def _made(self, partition: Partition, rows: Rows, end: int) -> Iterator[Batch]:
        """The batches of records, up to an offset."""
        contents = []
        if rows.records:
            contents = self._maker.contents(rows, partition.generation, self._named(partition))
        for number, content in enumerate(contents, 1):
            after = contents[number].first if number < len(contents) else end
            span = SourceRange(
                self._source, partition.generation, partition.taken, after, read=content.records, kept=content.records
            )
            partition.time = max(partition.time, content.time)
            yield self._batch(partition, content, span)

    def _lost(self, partition: Partition, missing: Missing) -> Batch:
        """An empty batch that says which offsets are lost; it passes every hop as it is."""
        span = SourceRange(self._source, partition.generation, partition.taken, missing.end, lost="expired")
        nothing = Content(self._named(partition), Payload.lines(b""))
        return self._batch(partition, nothing, span)

    def _batch(self, partition: Partition, content: Content, span: SourceRange) -> Batch:
        since, partition.since, partition.taken = partition.since, None, span.end
        ranges = [span]
        if since is not None and since < span.start:
            ranges.insert(0, SourceRange(self._source, span.generation, since, span.start, lost=ELSEWHERE))
        return Batch(
            self._source,
            content.labels,
            content.payload,
            ranges,
            time.time_ns() // 1000 if content.read_at is None else content.read_at,
            {partition.key: encode(Position(span.end, partition.generation, partition.time))},
            origin=content.origin,
            indices=content.indices,
            subs=content.subs,
        )

    def _named(self, partition: Partition) -> Labels:
        topic, number = partition.place
        return {**self._labels, "topic": topic, "partition": number}


class Turn:
    """One ``take`` of a cut. It can be called off as long as no worker has begun with it: then it takes nothing."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._lock = threading.Lock()
        self._begun = False
        self._off = False

    def read(self) -> Batch | None:
        """The next batch; none where it was called off."""
        with self._lock:
            if self._off:
                return None
            self._begun = True
        return self._cut.read()

    def call_off(self) -> bool:
        """Whether that was in time."""
        with self._lock:
            self._off = not self._begun
            return self._off
