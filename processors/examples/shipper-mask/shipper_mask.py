"""Mask what matches a pattern."""

import re

from shipper import Processor, Record


class Mask(Processor):
    r"""Replace every match of a regular expression in a field.

    Example::

        processors:
          - mask: {pattern: '\b\d{16}\b', replacement: "[card]"}
    """

    pattern: re.Pattern[str]
    """What to replace: a regular expression."""
    replacement: str = "***"
    """What to put in its place."""
    field: str = "message"
    """The field to look at. Records without text in it pass as they are."""

    def process(self, record: Record) -> Record:
        """Mask one record."""
        text = record.get(self.field)
        if isinstance(text, str):
            record[self.field] = self.pattern.sub(self.replacement, text)
        return record
