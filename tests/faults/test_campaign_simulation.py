"""The short form of the rows of ``rows/simulation.py``."""

import pytest
from faults import short
from faults.row import Row
from faults.rows.simulation import ROWS


@pytest.mark.timeout(900)  # a row waits as long as a busy machine needs
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_nothing_is_lost_doubled_or_altered(row: Row) -> None:
    short.check(row)
