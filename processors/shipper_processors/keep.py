"""Keep some records only."""

from typing import ClassVar, Literal

from shipper import Processor, Record


class Keep(Processor):
    """Keep only the records that meet a condition. The others are counted as dropped; the rest keeps its bytes.

    Example::

        processors:
          - keep: {where: "level in ['error', 'fatal']"}
    """

    owns_where: ClassVar[bool] = True
    selects: ClassVar[Literal["keep", "drop"] | None] = "keep"

    def setup(self) -> None:
        """:raises ValueError: there is no condition."""
        if self.where is None:
            raise ValueError("where is missing: say which records to keep, as in where: level == 'error'")

    @property
    def reads(self) -> frozenset[str] | None:
        """What the condition names."""
        return None if self.condition is None else self.condition.fields

    @property
    def writes(self) -> frozenset[str] | None:
        """Nothing: it only takes records out."""
        return frozenset()

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take out what does not meet the condition."""
        return records if self.condition is None else self.condition.select(records, self.labels)
