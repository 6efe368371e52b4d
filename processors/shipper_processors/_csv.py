"""Rows of CSV, whose fields may be as long as what they stand in."""

import csv
from collections.abc import Iterable
from typing import Any, Final

_LIMIT: Final = 2**31 - 1
"""Characters of a field. Python has one limit for the process, 131,072 at first; lines and tables have their own."""


def rows(lines: Iterable[str], **dialect: Any) -> Any:
    """The reader of these lines. It raises ``csv.Error`` where one is not CSV."""
    if csv.field_size_limit() != _LIMIT:
        csv.field_size_limit(_LIMIT)
    return csv.reader(lines, strict=True, **dialect)
