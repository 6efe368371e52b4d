"""From what a broker sent to records: checksums, compression, transactions. On a worker thread.

A fetch is a row of record batches, as producers made them. A batch of an aborted transaction is passed over, and so are
markers that end a transaction; offsets have holes where they stood, and where compaction removed records.
"""

import gc
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from aiokafka.errors import KafkaError

from shipper.errors import SourceUnavailable
from shipper.kafka.codecs import bound_decoders
from shipper.kafka.errors import SOURCE, translate

bound_decoders()


class Fetch(NamedTuple):
    """What came of one partition with one answer, not unpacked."""

    start: int
    """The offset that was asked for; earlier ones in the first batch are not wanted."""
    end: int
    """The next offset to ask for."""
    batches: deque[Any]
    """aiokafka's record batches; ``unpack`` uses them up."""
    aborted: list[tuple[int, int]]
    """First offset and producer id of each aborted transaction, in the order of the offsets."""
    size: int
    """Bytes as they came."""


class Missing(NamedTuple):
    """Offsets that were removed before they were read."""

    start: int
    end: int


Fetched: TypeAlias = Fetch | Missing


def unpack(fetch: Fetch, place: str) -> Iterator[list[Any]]:
    """The records of each batch. One batch is decompressed at a time.

    :raises ShipperError: a batch is damaged, or compressed in a way that nobody here knows.
    """
    aborted = list(reversed(fetch.aborted))
    dropping: set[int] = set()
    while fetch.batches:
        batch = fetch.batches.popleft()  # once unpacked it holds what it was decompressed to
        at = fetch.start if batch.producer_id is None else batch.base_offset  # formats before Kafka 0.11 have neither
        while aborted and aborted[-1][0] <= at:
            dropping.add(aborted.pop()[1])
        if not batch.validate_crc():
            raise _damaged(place, at, "checksum")
        try:
            if batch.is_control_batch:
                dropping.discard(batch.producer_id)  # its transaction ends; what the marker said compaction may remove
            elif not (batch.is_transactional and batch.producer_id in dropping):
                records = _all(batch)
                if records and records[0].offset < fetch.start:
                    records = [record for record in records if record.offset >= fetch.start]
                yield records
        except KafkaError as error:
            raise translate(error, f"{place}: the records from offset {at} on cannot be read", SOURCE) from error
        except Exception as error:  # whatever its decoders raise: a producer may have sealed anything
            raise _damaged(place, at, str(error) or type(error).__name__) from error


def _damaged(place: str, at: int, why: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{place}: the records from offset {at} on are damaged ({why}); if this stays so, set the group's offset "
        "behind them with kafka-consumer-groups --reset-offsets"
    )


def _all(batch: Any) -> list[Any]:
    """The records of a batch. Without the garbage collector, which would look through thousands of new objects, none of
    them in a cycle, several times: a fifth of what records with headers cost.
    """
    gc.disable()
    try:
        return list(batch)
    finally:
        gc.enable()
