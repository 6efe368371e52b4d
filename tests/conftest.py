"""Settings of all tests."""

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support import kafka_fixtures
from support.kafka_fixtures import kafka, kafka_cluster, kafka_jars, own_kafka, start_kafka
from support.processes import Node

from shipper import log

__all__ = ["kafka", "kafka_cluster", "kafka_jars", "own_kafka", "start_kafka"]

# Time says nothing on a shared machine: no deadline an example, no complaint about slow generation. The examples are
# the same every time, so that a red run is the change's; SHIPPER_SEED=0 looks for new ones.
settings.register_profile(
    "shipper",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("SHIPPER_SEED") != "0",
)
settings.load_profile("shipper")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of Kafka need Java, Maven and kcat. Where those are missing, the run goes on without them."""
    kafka_fixtures.leave_out(config, items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the one process that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = kafka_fixtures.left_out(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a worker told."""
    kafka_fixtures.remember(node.config, getattr(node, "workeroutput", {}).get("left_out", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last lines say what was left out."""
    kafka_fixtures.report(config, terminalreporter.write_line)


@pytest.fixture(autouse=True)
def _end_all_nodes() -> Iterator[None]:
    """No test leaves a process behind, whatever became of it; those of a module's own fixtures go on."""
    shared = list(Node.all)
    yield
    for node in Node.all:
        if node.running and node not in shared:
            node.kill()
    Node.all[:] = shared


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    """What another test said a moment ago, in the same process, holds nothing back that this one looks for."""
    log._output.limits = log.RateLimit()


@pytest.fixture(name="lines")
def _lines() -> Iterator[io.StringIO]:
    """What is logged, one JSON object a line."""
    stream = io.StringIO()
    log.configure(stream=stream, force_json=True)
    yield stream
    log.configure()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """As ``tmp_path``, for ``as_nobody``: every run of pytest takes the rights of others from where ``tmp_path`` is."""
    with tempfile.TemporaryDirectory(prefix="shipper-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)
