"""From what a broker sent to records: checksums, compression, transactions. On a worker thread.

A fetch is a row of record batches, as producers made them. A batch of an aborted transaction is passed over, and so are
markers that end a transaction; offsets have holes where they stood, and where compaction removed records.

A batch that cannot be read ends the fetch. It is a whole batch always: of one that is damaged somewhere no record is
taken for right.
"""

import gc
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecord

from shipper.errors import ShipperError
from shipper.kafka.codecs import bound_decoders
from shipper.kafka.errors import SOURCE, in_plain_words, passes
from shipper.sources.kafka.parse import parse
from shipper.sources.kafka.sealed import behind, first, opened

bound_decoders()


class Fetch(NamedTuple):
    """What came of one partition with one answer, not unpacked."""

    start: int
    """The offset that was asked for; earlier ones in the first batch are not wanted."""
    end: int
    """The next offset to ask for."""
    batches: deque[memoryview]
    """Of ``sealed.split``; ``unpack`` uses them up."""
    aborted: list[tuple[int, int]]
    """First offset and producer id of each aborted transaction, in the order of the offsets."""
    size: int
    """Bytes as they came."""


class Missing(NamedTuple):
    """Offsets that were removed before they were read."""

    start: int
    end: int


Fetched: TypeAlias = Fetch | Missing


class Unreadable(Exception):
    """A batch cannot be read. All before it is."""

    def __init__(self, at: int, error: ShipperError) -> None:
        """``error``: why, and what to do, for whoever runs the source."""
        super().__init__(str(error))
        self.at = at
        """All offsets before this one were read, or have no record."""
        self.error = error


def unpack(fetch: Fetch, place: str) -> Iterator[list[Any]]:
    """The records of each batch. One batch is decompressed at a time.

    :raises Unreadable: a batch is damaged, too large, or compressed in a way that nobody here knows.
    """
    aborted = list(reversed(fetch.aborted))
    dropping: set[int] = set()
    at = fetch.start
    while fetch.batches:
        sealed = fetch.batches.popleft()
        whole = False
        try:
            batch = opened(sealed)  # once unpacked it holds what it was decompressed to
            whole = batch.validate_crc()
            if not whole:
                raise ValueError("the checksum is wrong")  # noqa: TRY301 - told as all else that is wrong with it
            begin = at if batch.producer_id is None else batch.base_offset  # formats before Kafka 0.11 have neither
            while aborted and aborted[-1][0] <= begin:
                dropping.add(aborted.pop()[1])
            records = []
            if batch.is_control_batch:
                dropping.discard(batch.producer_id)  # its transaction ends; what the marker said compaction may remove
            elif not (batch.is_transactional and batch.producer_id in dropping):
                records = _all(batch, sealed)
        except Exception as error:  # whatever its decoders raise: a producer may have sealed anything
            raise Unreadable(at, _why(place, at, sealed, whole, fetch.batches, error)) from error
        at = max(at, batch.next_offset)
        if records and records[0].offset < fetch.start:
            records = [record for record in records if record.offset >= fetch.start]
        if records:
            yield records


def _why(
    place: str, at: int, sealed: memoryview, whole: bool, following: deque[memoryview], error: Exception
) -> ShipperError:
    """What is wrong, and what to do. ``whole``: the checksum is right."""
    kind, why = SOURCE.unavailable, str(error) or type(error).__name__
    if isinstance(error, KafkaError):
        kind, why = SOURCE.unavailable if passes(error) else SOURCE.refused, in_plain_words(error)
    end = behind(sealed) if whole or not following else first(following[0])
    what, to, doubt = f"from offset {at} on", "(where kafka-dump-log shows the next batch)", ""
    if end > at:
        what, to = f"at offsets {at} to {end - 1}", str(end)
        if not whole and not following:
            doubt = f"; that they end there is what they say themselves, and it may be as damaged: look at {end} first"
    return kind(
        f"{place}: the records {what} cannot be read ({why}); those before them are. If this stays so, give them up, "
        "and no others, while no member runs: kafka-consumer-groups --reset-offsets --execute --group ... --topic "
        f"{place.replace('/', ':')} --to-offset {to}{doubt}"
    )


def _all(batch: Any, sealed: memoryview) -> list[Any]:
    """The records of a batch. Without the garbage collector, which would look through thousands of new objects, none of
    them in a cycle, several times: a fifth of what records with headers cost.
    """
    gc.disable()
    try:
        records = list(batch)
        return records if batch.producer_id is not None else list(map(_later, records))
    except UnicodeDecodeError:  # the name of a header
        return parse(sealed)
    finally:
        gc.enable()


def _later(record: Any) -> Any:
    """A record of a format before Kafka 0.11 as one of the present; the first of them had no time."""
    time = -1 if record.timestamp is None else record.timestamp
    return DefaultRecord(record.offset, time, record.timestamp_type or 0, record.key, record.value, [])
