"""The processor of workload 3: a class of one's own beside the config, as the guide shows it."""

from shipper import Processor, Record


class UpperLevel(Processor):
    """Write a text field in capitals."""

    field: str = "level"

    def process(self, record: Record) -> Record | None:
        """Change the field of one record."""
        record[self.field] = record[self.field].upper()
        return record
