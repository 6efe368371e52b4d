"""What became of the records of one source: the counts that make the metrics."""

import asyncio
from typing import TYPE_CHECKING

from shipper.batch import Batch
from shipper.log import get_logger
from shipper.spool.frame import Frame
from shipper.spool.upstream import DUPLICATE

if TYPE_CHECKING:
    from shipper.metrics import Registry

log = get_logger("intake")


class Counts:
    """Those of one source."""

    def __init__(self, name: str, metrics: "Registry") -> None:
        self._name = name
        self._metrics = metrics
        self._replaced = metrics.counter("shipper_text_replaced_total", source=name)
        self._stages = {
            stage: metrics.counter("shipper_records_total", source=name, stage=stage)
            for stage in ("read", "kept", "dropped", "failed")
        }

    def text(self, invalid: int, kept_errors: list[tuple[str, int]]) -> None:
        """Records whose text was not UTF-8, and those that failed and were kept, by processor."""
        if invalid:
            self._replaced.add(invalid)
        for processor, count in kept_errors:
            self._metrics.counter("shipper_parse_errors_total", source=self._name, processor=processor).add(count)

    def if_new(self, batch: Batch, durable: "asyncio.Future[int]") -> None:
        """``batch``, once the writer has said whether it is a duplicate."""
        if durable.cancelled() or durable.exception() is not None:
            return
        if durable.result() == DUPLICATE:
            self._metrics.counter("shipper_duplicates_total", source=self._name).add()
        else:
            self.batch(batch)

    def batch(self, batch: Batch) -> None:
        """Records that were read, and what became of them."""
        stages = self._stages
        if isinstance(batch.payload, Frame):
            stages["read"].add(batch.payload.records)
            stages["kept"].add(batch.payload.records)
            return
        for span in batch.ranges:
            stages["read"].add(span.read)
            stages["kept"].add(span.kept)
            stages["failed"].add(span.failed)
            for by, count in span.dropped.items():
                stages["dropped"].add(count)
                processor, _, reason = by.rpartition("/")
                self._metrics.counter("shipper_records_dropped_total", processor=processor, reason=reason).add(count)
        for letter in batch.dead_letters:
            log.warning(
                "a record goes to the dead letters",
                source=self._name,
                processor=letter.processor,
                error=letter.error,
                every=60.0,
                key=(self._name, letter.processor),
            )
            self._metrics.counter("shipper_dead_letters_total", processor=letter.processor).add()
