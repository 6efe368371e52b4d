"""Drop records."""

from typing import ClassVar, Literal

from shipper import Processor, Record


class Drop(Processor):
    """Drop the records that meet a condition. They are counted, and the rest keeps its bytes as they are.

    Example::

        processors:
          - drop: {where: "level == 'debug'"}                        # {"level": "debug", "n": 1} -> nothing
          - drop: {where: "path == '/healthz' and status < 400"}
    """

    owns_where: ClassVar[bool] = True
    selects: ClassVar[Literal["keep", "drop"] | None] = "drop"

    def setup(self) -> None:
        """:raises ValueError: there is no condition."""
        if self.where is None:
            raise ValueError("where is missing: say which records to drop, as in where: level == 'debug'")

    @property
    def reads(self) -> frozenset[str] | None:
        """What the condition names."""
        return None if self.condition is None else self.condition.fields

    @property
    def writes(self) -> frozenset[str] | None:
        """Nothing: it only takes records out."""
        return frozenset()

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take out what meets the condition."""
        return records if self.condition is None else self.condition.reject(records, self.labels)
