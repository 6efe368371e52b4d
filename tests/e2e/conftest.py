"""No test leaves a process behind, whatever became of it."""

from collections.abc import Iterator

import pytest
from support.processes import Node


@pytest.fixture(autouse=True)
def _end_all_nodes() -> Iterator[None]:
    yield
    for node in Node.all:
        if node.running:
            node.kill()
    Node.all.clear()
