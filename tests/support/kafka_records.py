"""Kafka's records without a broker: as aiokafka unpacks them, and as the sink packs frames."""

from typing import Any

from aiokafka.record.default_records import DefaultRecord
from aiokafka.record.memory_records import MemoryRecords

from shipper.kafka.batch import stamp
from shipper.kafka.cluster import Topic
from shipper.sinks.items import Item
from shipper.sinks.kafka.records import Builder, Handed
from shipper.spool.frame import Frame

Headers = list[tuple[str, bytes | None]]


def record(
    offset: int, value: bytes | None, *, key: bytes | None = None, headers: Headers | None = None, time: int = 0
) -> Any:
    """A record as aiokafka has it. ``time``: milliseconds since 1970."""
    return DefaultRecord(offset, time, 0, key, value, headers or [])


def sent(frames: list[Frame], **options: Any) -> list[Any]:
    """The records that the sink makes of frames in a topic with one partition."""
    settings = {"key": None, "headers": True, "read_at": True, "identity": False, "compression": "zstd"} | options
    builder = Builder(max_message_bytes=1_000_000, **settings)
    handed = [Handed(Item(frame.seq, frame), "topic") for frame in frames]
    made = []
    for batch in builder.build(handed, {"topic": Topic({0: 1}, 0.0)}, now=2**41):
        stamp(batch.data, 1, 0, 0)
        parts = MemoryRecords(bytes(batch.data))
        made += list(parts.next_batch())
    return [record(at, each.value, key=each.key, headers=each.headers) for at, each in enumerate(made)]
