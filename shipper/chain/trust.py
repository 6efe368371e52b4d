"""Does a processor read only what it names? The planner trusts it: records may lack every other field. Sans-IO."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from shipper.batch import Batch, Record
from shipper.chain.decode import records_of
from shipper.processor import Processor

Run: TypeAlias = Callable[[Sequence[Record]], Batch]
"""Runs a processor on records, without a plan."""


def named_fields(processor: Processor) -> frozenset[str] | None:
    """The fields that every record has for the processor on a plan's way, if the record has them at all; None: all
    fields.

    :raises ValueError: the processor cannot be set up.
    """
    processor.setup()
    reads, writes = processor.reads, processor.writes
    processor.teardown()
    if reads is None or writes is None:
        return None
    named = reads | writes | {processor.error_field}
    if processor.where is not None:
        from shipper.chain.expression import Condition  # what few processors need

        named |= Condition.parse(processor.where).fields
    return named


def unnamed_reads(run: Run, records: Sequence[Record], named: frozenset[str]) -> list[str]:
    """The fields outside ``named`` without which other results come; nothing where it is as it must be. Where no field
    by itself makes a difference, but all together do, they are all there.
    """
    others = sorted(frozenset[str]().union(*records) - named)
    if not others or not _differs(run, records, frozenset(others)):
        return []
    return [name for name in others if _differs(run, records, frozenset([name]))] or others


def came_of(batch: Batch, left_out: frozenset[str] = frozenset()) -> tuple[object, ...]:
    """What became of a batch, for comparison, without some fields."""
    kept = [
        {name: value for name, value in record.items() if name not in left_out} for record in records_of(batch.payload)
    ]
    texts = [msgspec.json.encode(record, order="sorted").decode() for record in kept]
    counts = [(span.dropped, span.failed) for span in batch.ranges]
    return texts, batch.labels, counts, [(letter.processor, letter.error) for letter in batch.dead_letters]


def _differs(run: Run, records: Sequence[Record], names: frozenset[str]) -> bool:
    less = [{name: value for name, value in record.items() if name not in names} for record in records]
    return came_of(run(records), names) != came_of(run(less), names)
