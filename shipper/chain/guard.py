"""A step before all others that takes records out, for a batch that its worker process does not survive."""

from shipper.batch import Record
from shipper.processor import Processor


class Guard(Processor):
    """Let only some of a batch's records pass. It is made for one batch: it counts."""

    first: int
    """The first record that passes."""
    end: int
    """The first one after those."""
    guilty: dict[int, str]
    """Records that fail, and why."""

    @property
    def writes(self) -> frozenset[str]:
        """Nothing: it only takes records out."""
        return frozenset()

    def setup(self) -> None:
        """Begin to count."""
        self._next = 0

    def process(self, record: Record) -> Record | None:
        """By its number in the batch."""
        number = self._next
        self._next += 1
        if number in self.guilty:
            raise ValueError(self.guilty[number])
        return record if self.first <= number < self.end else None
