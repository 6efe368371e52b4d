"""Record batches as brokers send them: told apart, and opened. Sans-IO.

All formats begin alike (``shipper.kafka.batch`` has the whole of the current one):

    offset size
     0      8   offset of the first record; before Kafka 0.11 of the last one
     8      4   length of what follows
    16      1   format: 2; before Kafka 0.11 it was 0 or 1
    23      4   format 2: how many offsets behind the first record the last one stands

What is damaged may have any length and end; so nothing here is trusted before the checksum was compared, and that does
not cover the first offset.
"""

from collections import deque
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from shipper.kafka.batch import HEADER_SIZE

_BEFORE: Final = 12
"""Bytes before those that the length counts."""
_SMALLEST: Final = 26
"""Bytes of the smallest record of the first format."""
_FORMAT_AT: Final = 16
_CURRENT: Final = 2


def split(data: bytes) -> deque[memoryview]:
    """The batches, at least one, none of them opened. One that the broker cut off behind others is left out. One whose
    length cannot be is the last, with all that follows it, and ``opened`` refuses it.
    """
    view, at = memoryview(data), 0
    batches: deque[memoryview] = deque()
    while len(view) - at >= _BEFORE:
        size = _whole(view[at:])
        if size < _SMALLEST:
            batches.append(view[at:])
            break
        if size > len(view) - at:
            break
        batches.append(view[at : at + size])
        at += size
    return batches or deque([view])


def first(batch: memoryview) -> int:
    """The offset of its first record; before Kafka 0.11 that of its last one."""
    return int.from_bytes(batch[:8], "big", signed=True)


def behind(batch: memoryview) -> int:
    """The offset behind its last record, as it says itself."""
    current = len(batch) >= HEADER_SIZE and batch[_FORMAT_AT] == _CURRENT
    last = int.from_bytes(batch[23:27], "big", signed=True) if current else 0
    return first(batch) + last + 1


def opened(batch: memoryview) -> Any:
    """The object that aiokafka has for a batch.

    :raises ValueError: its length or format is none. aiokafka raises anything for one that is damaged otherwise.
    """
    if len(batch) < _SMALLEST or _whole(batch) != len(batch):
        raise ValueError("the length is wrong")
    number = batch[_FORMAT_AT]
    if number < _CURRENT:
        return LegacyRecordBatch(batch, number)
    if number > _CURRENT:
        raise ValueError(f"a format of records that is not known, {number}")
    if len(batch) < HEADER_SIZE:
        raise ValueError("the length is wrong")
    return DefaultRecordBatch(batch)


def _whole(batch: memoryview) -> int:
    """Bytes that a batch has, as it says itself."""
    return _BEFORE + int.from_bytes(batch[8:_BEFORE], "big", signed=True)
