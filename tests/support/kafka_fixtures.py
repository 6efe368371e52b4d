"""The fixtures for tests with a real Kafka; ``support.kafka`` says how to use them.

Where no broker can run, those tests are left out, and the end of the run says which and why.

``KAFKA_BROKERS=host:port`` gives the tests that need a plain broker another one than ours.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from support.kafka import Broker, Cluster
from support.kafka_client import Kafka
from support.kafka_jars import fetch, missing
from support.kafka_shared import shared_broker

_OTHER: Final = os.environ.get("KAFKA_BROKERS", "")
_LEFT_OUT: Final = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Kafka]:
    """The broker that all tests share; make topics of your own on it."""
    if _OTHER:
        yield Kafka(_OTHER)
        return
    base = tmp_path_factory.getbasetemp()
    with shared_broker((base if worker_id == "master" else base.parent) / "kafka") as address:
        yield Kafka(address)


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder of Kafka's jars. Tests that start brokers without the fixtures below must ask for it."""
    return fetch()


@pytest.fixture
def start_kafka(tmp_path: Path, kafka_jars: Path) -> Iterator[Callable[..., Broker]]:
    """Start a broker with the keywords of ``Broker``; it ends with the test."""
    brokers: list[Broker] = []

    def start(**keywords: Any) -> Broker:
        brokers.append(Broker(tmp_path / f"kafka-{len(brokers)}", **keywords))
        brokers[-1].start()
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def own_kafka(start_kafka: Callable[..., Broker]) -> Broker:
    """A broker of this test's own, to kill, to stop and to pause."""
    return start_kafka()


@pytest.fixture
def kafka_cluster(tmp_path: Path, kafka_jars: Path) -> Iterator[Cluster]:
    """Three brokers of this test's own."""
    cluster = Cluster(tmp_path / "kafka")
    cluster.start()
    yield cluster
    cluster.kill()


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests away that need what this machine lacks."""
    lacks = missing()
    if not lacks:
        return
    needs = {"kafka_jars"} if _OTHER and "kcat" not in lacks else {"kafka_jars", "kafka"}
    left_out = [item for item in items if needs.intersection(getattr(item, "fixturenames", ()))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        config.stash[_LEFT_OUT] = [item.nodeid for item in left_out]


def left_out(config: pytest.Config) -> list[str]:
    """The tests that ``leave_out`` took away."""
    return config.stash.get(_LEFT_OUT, [])


def remember(config: pytest.Config, names: list[str]) -> None:
    """What a worker left out; every worker says the same."""
    config.stash[_LEFT_OUT] = names


def report(config: pytest.Config, write: Callable[[str], None]) -> None:
    """Say which tests were left out, and why."""
    names = left_out(config)
    if names:
        write(f"{len(names)} tests of Kafka were left out: this machine has no {' and no '.join(missing())}.")
        for file, count in Counter(name.partition("::")[0] for name in names).items():
            write(f"    {file}: {count}")
