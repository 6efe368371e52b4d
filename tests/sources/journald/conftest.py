"""An empty journal for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal; it has a directory from the first entry on."""
    made = Journal(tmp_path / "journal")
    yield made
    made.close()
