"""Keep some records only."""

from typing import ClassVar

from shipper import Processor, Record


class Keep(Processor):
    """Keep only the records that meet a condition. The others are counted as dropped; the rest keeps its bytes.

    Example::

        processors:
          - keep: {where: "level in ['error', 'fatal']"}
    """

    owns_where: ClassVar[bool] = True
    writes: ClassVar[frozenset[str] | None] = frozenset()

    def setup(self) -> None:
        """:raises ValueError: there is no condition."""
        if self.where is None:
            raise ValueError("where is missing: say which records to keep, as in where: level == 'error'")

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take out what does not meet the condition."""
        return records if self.condition is None else self.condition.select(records, self.labels)
