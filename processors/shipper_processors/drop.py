"""Drop records."""

from typing import ClassVar

from shipper import Processor, Record


class Drop(Processor):
    """Drop the records that meet a condition. They are counted, and the rest keeps its bytes as they are.

    Example::

        processors:
          - drop: {where: "level == 'debug'"}
          - drop: {where: "path == '/healthz' and status < 400"}
    """

    owns_where: ClassVar[bool] = True
    writes: ClassVar[frozenset[str] | None] = frozenset()

    def setup(self) -> None:
        """:raises ValueError: there is no condition."""
        if self.where is None:
            raise ValueError("where is missing: say which records to drop, as in where: level == 'debug'")

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take out what meets the condition."""
        return records if self.condition is None else self.condition.reject(records, self.labels)
